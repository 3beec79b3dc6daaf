"""Runs: start a task or its next turn, and follow it to its end, in one value."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from anyio import move_on_after

from rebyte_async.errors import (
    AmbiguousRequestError,
    InvalidRequestError,
    RebyteError,
    TaskCanceledError,
    TaskFailedError,
)
from rebyte_async.resources.arguments import prompt_text
from rebyte_async.resources.options import OPTIONS, PROMPT_OPTIONS
from rebyte_async.resources.waiting import cancel_until_terminal

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from rebyte_async.resources.tasks import Tasks
    from rebyte_async.streams import TaskEventStream
    from rebyte_async.types.events import TaskEvent
    from rebyte_async.types.tasks import TaskResult

__all__ = ["TaskRun"]

_ABORT = 30.0
"""Seconds that canceling the remote task may take after the local wait was cancelled."""


class TaskRun:
    """A task, or a turn of one, that starts when it is first awaited or iterated, once for all of it.

    Made by `client.tasks.run`.

        result = await client.tasks.run("Summarise data.csv")

        async with client.tasks.run("Build a REST API") as run:
            async for event in run:
                ...
            result = await run

    Await it as often as you like: it starts one task. After a wait that was cancelled, awaiting again goes on where
    it stopped. Breaking off an iteration leaves a connection open until `close`, or `async with`, closes it.
    """

    def __init__(
        self,
        tasks: Tasks,
        prompt: str,
        *,
        task_id: str | None,
        check: bool,
        cancel_remote: bool,
        arguments: dict[str, Any],
    ) -> None:
        allowed = OPTIONS.keys() if task_id is None else PROMPT_OPTIONS
        if unknown := sorted(arguments.keys() - allowed):
            where = "run" if task_id is None else "run with task_id"
            raise InvalidRequestError(
                f"{where} doesn't take {', '.join(unknown)}; it takes {', '.join(sorted(allowed))}"
            )
        self._tasks = tasks
        self._prompt = prompt_text(prompt)
        self._check = check
        self._cancel_remote = cancel_remote
        self._arguments = arguments
        self._turn = asyncio.Lock()
        self._stream: TaskEventStream | None = None
        self._failure: RebyteError | None = None
        self.task_id: str | None = task_id
        """The task, once it is known."""

    @property
    def stream(self) -> TaskEventStream | None:
        """The stream behind the run, with its `done`, `cursor` and `result`; None until it has started."""
        return self._stream

    def __await__(self) -> Generator[object, None, TaskResult]:
        return self._result().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        async with self._turn:
            try:
                return await (await self._started()).__anext__()
            except asyncio.CancelledError:
                await self._left()
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await self._left()
        await self.close()

    async def close(self) -> None:
        """End the following; the remote task goes on."""
        if self._stream is not None:
            await self._stream.close()

    async def _result(self) -> TaskResult:
        async with self._turn:
            try:
                result = await (await self._started()).until_done()
            except asyncio.CancelledError:
                await self._left()
                raise
            except Exception:
                if self._stream is not None:
                    self._stream.disconnect()
                raise
        if self._check and result.status == "failed":
            raise TaskFailedError(f"task {result.task_id} failed: {_first_line(result.final_result)}", result=result)
        if self._check and result.status == "canceled":
            raise TaskCanceledError(f"task {result.task_id} was canceled", result=result)
        return result

    async def _started(self) -> TaskEventStream:
        if self._failure is not None:
            raise self._failure
        if self._stream is None:
            self._stream = await self._start()
        return self._stream

    async def _start(self) -> TaskEventStream:
        if "files" in self._arguments:
            self._arguments["files"] = await self._tasks.attach(self._arguments["files"])
        submitting = asyncio.ensure_future(self._submit())
        try:
            return await asyncio.shield(submitting)
        except asyncio.CancelledError:
            if not self._cancel_remote:
                submitting.cancel()
            with suppress(asyncio.CancelledError, RebyteError), move_on_after(_ABORT, shield=True):
                self._stream = await submitting
            submitting.cancel()
            if self._stream is None:
                # Sending it again could start a second agent, so a later wait must learn what happened instead.
                self._failure = AmbiguousRequestError(
                    "the wait for this run was cancelled while it was being submitted: it may have started",
                    method="POST",
                )
                self._failure.task_id = self.task_id
            raise
        except RebyteError as error:
            self._failure = error
            raise

    async def _submit(self) -> TaskEventStream:
        if self.task_id is None:
            task = await self._tasks.create(self._prompt, **self._arguments)
            self.task_id = task.id
            return self._tasks.events(task.id)
        prompt = await self._tasks.prompt(self.task_id, self._prompt, **self._arguments)
        return self._tasks.events(self.task_id, prompt_id=prompt.id)

    async def _left(self) -> None:
        """The local wait was cancelled: close the socket, and cancel the remote task where that was asked for."""
        if self._stream is None or self._stream.done is not None:
            return
        self._stream.disconnect()
        if self._cancel_remote:
            with suppress(RebyteError), move_on_after(_ABORT, shield=True):
                await cancel_until_terminal(self._tasks, self._stream.task_id)


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0][:200]
    return line or "it gave no reason"
