"""What tools show that print the variables of every function in a traceback: neither the key nor a signature."""

from __future__ import annotations

import asyncio
import io
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define
from rich import pretty

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, errors, merge
from rebyte_async.batch import BatchItem, BatchRunner
from support.clients import KEY, SkippedTime, client_of
from support.raw_server import DROP, RawRequest, RawServer, chunk, http_response, json_response, stream_head
from support.traces import Spans

SIGNATURE = "s3cr3t"
SECRET_QUERY = f"X-Signature={SIGNATURE}-signature"
LARGE = bytes(9 << 20)  # more than an artifact of a form has, and than the buffers of two sockets hold
TASK = {"id": "t1", "status": "running", "prompts": [{"id": "p1", "status": "running"}], "workspaceId": "w1"}

EXPECTED = (errors.RebyteError, TimeoutError, asyncio.CancelledError, ExceptionGroup)

Call = Callable[[], Awaitable[object]]


def shown_by(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Yield the variables in the tracebacks of an error and all that it is chained to, except those of tests.

    Each is shown as by `repr`, and as by rich, which looks into attrs classes, mappings and lists.
    """
    seen = set[int]()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            code = frame.f_code
            if Path(__file__).parent.parent not in Path(code.co_filename).parents:
                for name, value in frame.f_locals.items():
                    yield f"{code.co_qualname}.{name}", show(value)


def show(value: object) -> str:
    """Return what tools show of a value, of bytes the beginning alone."""
    shown = pretty.pretty_repr(value, max_string=2000)
    return shown if isinstance(value, bytes | tuple) else repr(value) + shown


def leaks_of(error: BaseException) -> list[str]:
    """Return the names of the variables that show a secret."""
    return [name for name, text in shown_by(error) if KEY in text or SIGNATURE in text]


def redirect(to: str) -> bytes:
    """Return a redirect of a GET."""
    return http_response(302, Location=to)


@define
class Service:
    """A service that hands out signed URLs, and that fails in one way where it is asked for what they lead to."""

    way: object
    signed: bool

    async def handle(self, request: RawRequest) -> Any:
        """Lead to a signed URL, or fail."""
        if not self.signed or not request.path.startswith("/v1"):
            return await self.fail()
        url = f"http://{request.headers['host']}/x?{SECRET_QUERY}"
        if request.path.endswith("/files"):
            return json_response({"id": "f", "filename": "f", "uploadUrl": url}, 201)
        if request.path.endswith("/upload-url"):
            return json_response({"urls": [{"filename": "a", "uploadUrl": url}]})
        if request.path.endswith("/artifacts"):
            return json_response({"artifacts": [{"filename": "a", "size": 9, "url": url}]})
        return redirect(url) if request.method == "GET" else json_response(TASK, 201)

    async def fail(self) -> Any:
        """Fail in the way that was given."""
        if self.way is None:
            await anyio.sleep_forever()
        return self.way() if callable(self.way) else self.way


async def amid_body() -> AsyncIterator[bytes]:
    """Begin a response and go on no further."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    await anyio.sleep_forever()


async def amid_stream() -> AsyncIterator[bytes]:
    """Begin an event stream and go on no further."""
    yield stream_head() + chunk(b'event: text\ndata: {"seq": 1, "eventType": "text"}\n\n')
    await anyio.sleep_forever()


WAYS_TO_FAIL: dict[str, object] = {
    "lost": DROP,
    "500": http_response(500),
    "403": json_response({"error": {"code": "x", "message": "y"}}, 403),
    "silent": None,
    "amid the response": amid_body,
    "no http": b"SSH-2.0\r\n\r\n",
}
MOMENTS: dict[str, object] = {
    "before the response": None,
    "amid the response": amid_body,
    "amid the stream": amid_stream,
    "before the next attempt": http_response(503, Retry_After="60"),
    "in a pause": http_response(429, Retry_After="60"),
}


def calls_of(client: AsyncRebyte, folder: Path) -> dict[str, Call]:
    """Return one call of each kind."""
    uploads = client.artifacts.upload

    async def follow() -> None:
        async with client.tasks.events("t1") as stream:
            await stream.until_done()

    async def follow_two() -> None:
        async with client.tasks.events("t1") as one, client.tasks.events("t2") as other:
            async for _ in merge(one, other):
                pass

    async def stream() -> None:
        async for _ in client.artifacts.stream("w1", "a"):
            pass

    async def run_batch() -> None:
        items = [BatchItem(key="a", prompt="Do it"), BatchItem(key="b", prompt="Do that")]
        async for _ in BatchRunner(client, journal=folder / "journal.db").run(items):
            pass

    return {
        "get": lambda: client.tasks.get("t1"),
        "list": client.tasks.list,
        "health": client.health,
        "request": lambda: client.request("POST", "/new", json={"a": 1}),
        "create": lambda: client.tasks.create("Do it"),
        "create with files": lambda: client.tasks.create("Do it", files=[("a", b"x")]),
        "wait": lambda: client.tasks.wait("t1"),
        "run": lambda: client.tasks.run("Do it"),
        "events": follow,
        "merge": follow_two,
        "wait_ready": lambda: client.agent_computers.wait_ready("c1"),
        "file": lambda: client.files.upload(b"x", filename="a"),
        "large file": lambda: client.files.upload(LARGE, filename="a"),
        "files": lambda: client.files.upload_all([("a", b"x"), ("b", LARGE)]),
        "small artifact": lambda: uploads("w1", ("a", b"x")),
        "large artifact": lambda: uploads("w1", ("a", LARGE)),
        "upload_urls": lambda: client.artifacts.upload_urls("w1", ["a"]),
        "read": lambda: client.artifacts.read("w1", "a"),
        "stream": stream,
        "download": lambda: client.artifacts.download("w1", "a", folder / "a"),
        "download_all": lambda: client.artifacts.download_all("w1", folder / "all"),
        "webhook": lambda: client.webhooks.create("https://example.com/hook", ["task.completed"]),
        "webhooks": client.webhooks.list,
        "public key": client.webhooks.public_key,
        "batch": run_batch,
    }


async def time_out(call: Call, _: AsyncRebyte) -> object:
    """Limit the time of a call, which chains the cancellation, with every frame that it came through."""
    async with asyncio.timeout(0.3):
        return await call()


async def fail_after(call: Call, _: AsyncRebyte) -> object:
    """Limit it by anyio."""
    with anyio.fail_after(0.3):
        return await call()


async def wait_for(call: Call, _: AsyncRebyte) -> object:
    """Let a call end by itself."""
    return await call()


async def cancel(call: Call, _: AsyncRebyte) -> object:
    """Cancel the task that makes it, and return the cancellation as it left the call."""

    async def make() -> object:
        try:
            return await call()
        except asyncio.CancelledError as error:
            return error

    task = asyncio.ensure_future(make())
    await asyncio.sleep(0.3)
    task.cancel()
    return await task


async def close_client(call: Call, client: AsyncRebyte) -> object:
    """Close the client while it is made."""
    task = asyncio.ensure_future(call())
    await asyncio.sleep(0.3)
    await client.aclose()
    return await task


async def errors_of(
    service: Service, folder: Path, leave: Callable[..., Awaitable[object]], *, traced: bool = False
) -> dict[str, Any]:
    """Make every call at once, leave each, and return what it raised."""
    options: dict[str, Any] = {"retry": RetryPolicy(max_attempts=2, base_delay=0)}
    if leave is wait_for:
        options["_time"] = SkippedTime().time
        options["timeouts"] = Timeouts(connect=5, read=0.2, create=0.2, stream_idle=0.2)
    async with RawServer(service.handle) as server, client_of(server.url, **options) as client:
        if traced:
            Spans().instrument(client)
        calls = calls_of(client, folder)
        if leave is wait_for:
            del calls["batch"]  # it waits until an outage is over
        found = await asyncio.gather(*(leave(call, client) for call in calls.values()), return_exceptions=True)
        return {name: error for name, error in zip(calls, found, strict=True) if isinstance(error, BaseException)}


def each(ways: dict[str, object]) -> list[tuple[str, bool]]:
    """Return each way with the API's own URLs, and with signed ones where it is the response that is missing."""
    return [
        (way, signed) for way in ways for signed in ([False, True] if not isinstance(ways[way], bytes) else [False])
    ]


def assert_nothing_is_shown(found: dict[str, Any]) -> None:
    """Check that there is something to show, and that none of it is secret."""
    assert len(found) > 10
    # A mistake of the test would show nothing either.
    assert {name for name, error in found.items() if not isinstance(error, EXPECTED)} == set()
    assert sum(len(list(shown_by(error))) for error in found.values()) > 100
    assert {name: leaks for name, error in found.items() if (leaks := leaks_of(error))} == {}


@pytest.mark.parametrize(("moment", "signed"), each(MOMENTS))
async def test_what_ran_out_of_time_shows_neither_key_nor_signature(moment: str, signed: bool, tmp_path: Path) -> None:
    """Calls, uploads, downloads, streams and batches that end at any moment by `asyncio.timeout` show neither."""
    assert_nothing_is_shown(await errors_of(Service(MOMENTS[moment], signed), tmp_path, time_out))


@pytest.mark.parametrize("leave", [fail_after, cancel, close_client])
async def test_what_was_ended_shows_neither_key_nor_signature(
    leave: Callable[..., Awaitable[object]], tmp_path: Path
) -> None:
    """The same holds for anyio's time limits, for cancelled tasks, and for a client that is closed."""
    assert_nothing_is_shown(await errors_of(Service(amid_body, signed=True), tmp_path, leave))


@pytest.mark.parametrize(("way", "signed"), each(WAYS_TO_FAIL))
async def test_what_failed_shows_neither_key_nor_signature(way: str, signed: bool, tmp_path: Path) -> None:
    """The same holds for what fails by itself, also in causes and in aiohttp."""
    assert_nothing_is_shown(await errors_of(Service(WAYS_TO_FAIL[way], signed), tmp_path, wait_for))


@pytest.mark.parametrize(("moment", "leave"), [("amid the response", time_out), ("before the response", wait_for)])
@pytest.mark.parametrize("signed", [False, True], ids=["api", "signed"])
async def test_a_traced_call_shows_neither_key_nor_signature(
    moment: str, leave: Callable[..., Awaitable[object]], tmp_path: Path, *, signed: bool
) -> None:
    """The same holds for a client whose calls are traced."""
    assert_nothing_is_shown(await errors_of(Service(MOMENTS[moment], signed), tmp_path, leave, traced=True))


class FailingFile(io.BytesIO):
    """A file that can be opened, and not be read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read its first bytes alone."""
        if self.tell():
            raise OSError("the disk is gone")
        return super().read(size)


@pytest.mark.parametrize("source", [bytes, FailingFile], ids=["stuck", "unreadable"])
async def test_an_upload_under_way_shows_neither_key_nor_signature(source: Callable[[bytes], Any]) -> None:
    """A storage that takes no more bytes, and a source that fails, leave an upload amid its body."""
    signed: list[str] = []
    writers: list[asyncio.StreamWriter] = []

    async def announce(_: RawRequest) -> bytes:
        return json_response({"id": "f", "filename": "f", "uploadUrl": signed[0]}, 201)

    async with (
        await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0, limit=1024) as storage,
        RawServer(announce) as server,
        client_of(server.url) as client,
    ):
        signed.append(f"http://127.0.0.1:{storage.sockets[0].getsockname()[1]}/x?{SECRET_QUERY}")
        with pytest.raises((TimeoutError, OSError)) as caught:
            await time_out(lambda: client.files.upload(source(LARGE), filename="a"), client)
        assert len(list(shown_by(caught.value))) > 5
        assert leaks_of(caught.value) == []
        for writer in writers:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()
