"""The web service of web_relay.py with FastAPI: tasks in the browser while the agent works.

    uvicorn --app-dir examples web_relay_fastapi:app --port 8080

Ctrl-C ends it at once, although browsers are connected: they connect again to its next start, and continue.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from rebyte_async import AsyncRebyte
from rebyte_async.errors import ConflictError, InvalidRequestError, NotFoundError, RebyteError
from rebyte_async.relay import starlette_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PAGE = Path(__file__).with_name("web_relay.html")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Make the client when the service starts, in its event loop, and close it when it stops."""
    async with AsyncRebyte() as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page() -> Response:
    """Send the page."""
    return FileResponse(PAGE)


@app.post("/tasks")
async def create(request: Request) -> Response:
    """Start a task; the body is the prompt."""
    task = await app.state.client.tasks.create((await request.body()).decode())
    return JSONResponse({"id": task.id})


@app.get("/tasks/{task_id}/events")
async def events(task_id: str) -> Response:
    """Relay the task. A real application checks first who may read it."""
    return starlette_response(lambda after: app.state.client.tasks.events(task_id, after=after))


@app.post("/tasks/{task_id}/answer")
async def answer(task_id: str, request: Request) -> Response:
    """Answer the question that waits, with the options that were chosen."""
    await app.state.client.tasks.answer(task_id, None, options=(await request.json())["options"])
    return JSONResponse({})


@app.exception_handler(RebyteError)
async def report(_: Request, error: RebyteError) -> Response:
    """Respond with the errors of the client, and without their details where they are the service's."""
    if isinstance(error, InvalidRequestError):
        return JSONResponse({"message": str(error)}, status_code=400)
    message = {"message": type(error).__name__}
    if isinstance(error, NotFoundError | ConflictError):  # no such task; no question that waits
        return JSONResponse(message, status_code=error.status)
    return JSONResponse(message, status_code=502)
