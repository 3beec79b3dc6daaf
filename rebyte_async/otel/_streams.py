"""Spans of streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from attrs import define, field
from opentelemetry.trace import Link, Span, Status, StatusCode

from rebyte_async._tracing import StreamTrace, TracedStream
from rebyte_async.otel._attributes import activate, fail, failure_attributes, headers_of, message


@define(eq=False, repr=False)
class StreamSpan(StreamTrace):
    """The span of a stream. One that is read on after it was disconnected has another one, linked to the first."""

    _start: Callable[[Link | None], Span]
    _content: bool
    _span: Span | None = field(default=None, init=False)
    _earlier: Link | None = field(default=None, init=False)
    _connections: int = field(default=0, init=False)

    @property
    def headers(self) -> Mapping[str, str]:
        return headers_of(self._open())

    def active(self) -> AbstractContextManager[object]:
        return activate(self._open())

    def _open(self) -> Span:
        if self._span is None:
            self._span = self._start(self._earlier)
        return self._span

    def on_connect(self) -> None:
        self._connections += 1
        self._open().add_event("connect", {"rebyte.stream.connection": self._connections})

    def on_reconnect(self, error: Exception, delay: float) -> None:
        self._open().add_event("reconnect", {"rebyte.retry.delay": delay, **failure_attributes(error)})

    def end(self, stream: TracedStream, error: Exception | None = None) -> None:
        span = self._take()
        if span is None:
            return
        result, done = stream.result, stream.done
        span.set_attribute("rebyte.stream.reconnects", stream.reconnects)
        span.set_attribute("rebyte.stream.events", result.events_seen)
        if stream.prompt_id is not None:
            span.set_attribute("rebyte.prompt.id", stream.prompt_id)
        if self._content:
            span.set_attribute("gen_ai.output.messages", message("assistant", result.final_result or result.text))
        if error is not None:
            fail(span, error, content=self._content)
        elif done is not None and done.status == "failed":
            span.set_attribute("error.type", "rebyte.turn_failed")
            span.set_status(Status(StatusCode.ERROR))
        outcome = "error" if error is not None else "closed" if done is None else str(done.status)
        span.set_attribute("rebyte.stream.outcome", outcome)
        span.end()

    def _take(self) -> Span | None:
        span, self._span = self._span, None
        if span is not None:
            self._earlier = Link(span.get_span_context())
        return span

    def __del__(self) -> None:
        if (span := self._take()) is not None:
            span.set_attribute("rebyte.stream.outcome", "closed")
            span.end()
