"""How a browser's request begins: where it continues, or why it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from attrs import frozen

from rebyte_async.errors import InvalidRequestError
from rebyte_async.relay._frames import END_MARK
from rebyte_async.streams import TaskEventStream

Source: TypeAlias = TaskEventStream | Callable[[str | None], TaskEventStream]
"""A stream, or a function that is given the cursor to continue after, or None, and opens one."""
RawHeaders: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect the events
}


@frozen
class Refusal:
    """A response without events. A browser doesn't connect again after one."""

    status: int
    document: Mapping[str, str] | None = None

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return b"" if self.document is None else json.dumps(self.document).encode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        kind = {} if self.document is None else {"Content-Type": "application/json"}
        return {"Cache-Control": "no-store", **kind}


def last_event_id(headers: RawHeaders) -> str | None:
    """Return the cursor with which a browser connects again.

        stream = client.tasks.events(task_id, after=last_event_id(request.headers))

    Args:
        headers: The headers of its request, in any framework: a mapping, or pairs of text or bytes.

    Returns:
        What `after=` takes; None where the browser connects for the first time. It isn't checked here: `events` raises
        an `InvalidRequestError` for what is no cursor of that task.
    """
    return read_last_event_id(headers).removesuffix(END_MARK) or None


def read_last_event_id(headers: RawHeaders) -> str:
    """Return the header as it was sent, or an empty string."""
    pairs = cast("Iterable[tuple[Any, Any]]", headers.items() if isinstance(headers, Mapping) else headers)
    return next((_to_text(value).strip() for name, value in pairs if _to_text(name).lower() == "last-event-id"), "")


async def open_stream(source: Source, headers: RawHeaders) -> TaskEventStream | Refusal:
    """Return the stream to relay, or the refusal of the request."""
    if read_last_event_id(headers).endswith(END_MARK):
        if isinstance(source, TaskEventStream):
            await source.aclose()
        return Refusal(204)
    if isinstance(source, TaskEventStream):
        return source
    try:
        return source(last_event_id(headers))
    except InvalidRequestError as error:
        return Refusal(400, {"error": type(error).__name__, "message": error.message})


def _to_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
