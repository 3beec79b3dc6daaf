"""Spans of batch items."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from attrs import define, field
from opentelemetry.trace import Span, Status, StatusCode

from rebyte_async._tracing import ItemTrace, TracedOutcome
from rebyte_async.otel._attributes import activate, fail

_FAILURES = frozenset({"ambiguous", "error", "failed"})


@define(eq=False, repr=False)
class ItemSpan(ItemTrace):
    """The span of a batch item: the parent of its uploads, its create, and whatever waits for its task."""

    _span: Span
    _content: bool
    _is_ended: bool = field(default=False, init=False)

    @contextmanager
    def active(self) -> Generator[None]:
        try:
            with activate(self._span):
                yield
        except BaseException as error:
            fail(self._span, error, content=self._content)
            self._end()
            raise

    def end(self, outcome: TracedOutcome) -> None:
        span = self._span
        span.set_attribute("rebyte.batch.item.status", outcome.status)
        span.set_attribute("rebyte.batch.item.attempts", outcome.attempts)
        for name, value in (("conversation", outcome.task_id), ("agent", outcome.workspace_id)):
            if value is not None:
                span.set_attribute(f"gen_ai.{name}.id", value)
        if outcome.status in _FAILURES:
            span.set_attribute("error.type", f"rebyte.item_{outcome.status}")
            span.set_status(Status(StatusCode.ERROR))
        self._end()

    def _end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._span.end()

    def __del__(self) -> None:
        self._end()  # the run was ended before the item's next step began
