"""One request and its response, while the response is being made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from rebyte_async.emulator.body import RequestBody
    from rebyte_async.emulator.connections import Connection
    from rebyte_async.emulator.log import LogEntry


@define(eq=False, kw_only=True)
class Exchange:
    """A request, the connection and the body that it came with, and how faults want its response changed."""

    request: web.BaseRequest
    connection: Connection
    body: RequestBody
    entry: LogEntry
    handler_task: asyncio.Task[object] | None
    """The task that runs the handler."""
    method: str
    path: str
    """The path below the base URL, percent-encoded as it came."""
    target: str
    """The whole path, percent-encoded as it came."""
    origin: str
    """The origin that the request came to: `api` or `storage`."""
    origins: Mapping[str, str]
    """The URLs of both origins."""
    issue_read_token: Callable[[], str]
    """Makes a token for a URL's query that replaces a key."""
    sends_artifact_bytes: bool = True
    """Whether a download of an artifact from this origin sends its bytes, and doesn't redirect to them."""
    params: dict[str, str] = field(factory=dict[str, str])
    """The decoded parameters of the path."""
    faults: tuple[object, ...] = ()
    """The faults that trouble this exchange, the outermost first."""
    turns_back: int = 0
    """Which turn a stream replays: 0 the latest, 1 the one before it."""
    looks_empty: bool = False
    """Whether a stream is shown as if the agent had produced no events."""

    @property
    def request_id(self) -> str:
        """The id that the response carries."""
        return f"req_{self.entry.record.number}"

    def stop(self) -> None:
        """Cancel the handler."""
        if self.handler_task is not None:
            self.handler_task.cancel()

    def cancel(self) -> None:
        """Break the connection and cancel the handler."""
        self.connection.abort()
        self.stop()
