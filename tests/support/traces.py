"""Collected spans of OpenTelemetry's SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, Tracer

from rebyte_async import AsyncRebyte
from rebyte_async.otel import instrument

__all__ = ["Spans", "id_of"]


def id_of(span: ReadableSpan) -> SpanContext:
    """Return what identifies a span."""
    context: SpanContext | None = span.context
    assert context is not None
    return context


@define
class Spans:
    """The spans that have ended."""

    _exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter, init=False)
    provider: TracerProvider = field(factory=lambda: TracerProvider(shutdown_on_exit=False), init=False)

    def __attrs_post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def instrument(self, client: AsyncRebyte, **options: Any) -> AsyncRebyte:
        """Have a client's spans collected."""
        instrument(client, tracer_provider=self.provider, **options)
        return client

    @property
    def tracer(self) -> Tracer:
        """A tracer of the application's own spans."""
        return self.provider.get_tracer("application")

    def all(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the spans, in the order of their ends; those of one name, if one is given."""
        return [span for span in self._exporter.get_finished_spans() if name in {None, span.name}]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of a name."""
        (span,) = self.all(name)
        return span

    def attributes(self, name: str) -> Mapping[str, Any]:
        """Return the attributes of the only span of a name."""
        return self.one(name).attributes or {}

    def children(self, parent: ReadableSpan) -> list[str]:
        """Return the names of the spans below a span."""
        return [span.name for span in self.all() if span.parent and span.parent.span_id == id_of(parent).span_id]

    def events(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of the only span of a name."""
        return [(event.name, dict(event.attributes or {})) for event in self.one(name).events]

    def text(self) -> str:
        """Return all that the spans hold."""
        return "".join(span.to_json() for span in self.all())
