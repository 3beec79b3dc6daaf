"""Traces of calls, streams and batch items: the seams that `rebyte_async.otel` fills.

Without a tracer, nothing is traced, and a call costs one look at `Tracing.tracer`. The classes here trace nothing; a
tracer returns subclasses of them. Each trace ends once: the tracer also ends one that is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, Self

from attrs import define
from yarl import URL

from rebyte_async.types.events import Done
from rebyte_async.types.tasks import TaskResult

_NO_HEADERS: Mapping[str, str] = {}


class CallTrace:
    """A call with all its attempts: from `with`, which ends it, with the error that leaves the block."""

    headers = _NO_HEADERS
    """What to send to the API's own origin, and never to another."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None: ...

    def active(self) -> AbstractContextManager[object]:
        """Return a block in which everything that is traced is a part of this call."""
        return nullcontext()

    def on_retry(self, error: Exception, attempt: int, delay: float) -> None:
        """Note that an attempt failed, and that the next one begins after `delay` seconds."""

    def on_response(self, status: int, body: bytes = b"") -> None:
        """Note the response of the last attempt."""


class TracedStream(Protocol):
    """A stream at its end."""

    @property
    def prompt_id(self) -> str | None: ...
    @property
    def reconnects(self) -> int: ...
    @property
    def done(self) -> Done | None: ...
    @property
    def result(self) -> TaskResult: ...


class StreamTrace:
    """A stream, from its first request to the end of its turn; one that continues after its end begins again."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What to send to the API's own origin, and never to another."""
        return _NO_HEADERS

    def active(self) -> AbstractContextManager[object]:
        """Begin, if it hasn't, and return a block in which everything that is traced is a part of this stream."""
        return nullcontext()

    def on_connect(self) -> None:
        """Note that a connection was made."""

    def on_reconnect(self, error: Exception, delay: float) -> None:
        """Note that a connection failed, and that the next one is made after `delay` seconds."""

    def end(self, stream: TracedStream, error: Exception | None = None) -> None:
        """End it: with the end of its turn, with an error, or because it was closed. Twice is no harm."""


class TracedOutcome(Protocol):
    """The outcome of a batch item."""

    @property
    def status(self) -> str: ...
    @property
    def task_id(self) -> str | None: ...
    @property
    def workspace_id(self) -> str | None: ...
    @property
    def attempts(self) -> int: ...


class ItemTrace:
    """A batch item, from its start or the resumption of its run to its outcome."""

    def active(self) -> AbstractContextManager[object]:
        """Return a block in which everything that is traced is a part of this item; an error that leaves it ends it."""
        return nullcontext()

    def end(self, outcome: TracedOutcome) -> None:
        """End it with the item's outcome."""


class Tracer(Protocol):
    """Makes traces."""

    def start_call(self, method: str, template: str, url: URL, task_id: str | None, body: object) -> CallTrace:
        """Trace a call. `body` is the request's body, if it is in memory."""
        ...

    def start_stream(self, task_id: str) -> StreamTrace: ...
    def start_item(self, key: str) -> ItemTrace: ...


NO_CALL = CallTrace()
NO_STREAM = StreamTrace()
NO_ITEM = ItemTrace()


@define(eq=False, repr=False)
class Tracing:
    """Whether a client is traced; all its views share this."""

    tracer: Tracer | None = None

    def start_call(self, method: str, template: str, url: URL, task_id: str | None, body: object = None) -> CallTrace:
        return NO_CALL if self.tracer is None else self.tracer.start_call(method, template, url, task_id, body)

    def start_stream(self, task_id: str) -> StreamTrace:
        return NO_STREAM if self.tracer is None else self.tracer.start_stream(task_id)

    def start_item(self, key: str) -> ItemTrace:
        return NO_ITEM if self.tracer is None else self.tracer.start_item(key)
