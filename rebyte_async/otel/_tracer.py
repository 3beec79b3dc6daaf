"""The spans of a client: what each begins with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from attrs import define, field
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TracerProvider, get_tracer
from yarl import URL

from rebyte_async._tracing import CallTrace, ItemTrace, StreamTrace
from rebyte_async._version import __version__
from rebyte_async._wire import endpoints
from rebyte_async._wire.endpoints import CREATE_PROMPT, CREATE_TASK, HEALTH_PATH, Endpoint
from rebyte_async.otel._attributes import SCHEMA, message, server_attributes
from rebyte_async.otel._calls import CallSpan, SubmitSpan
from rebyte_async.otel._items import ItemSpan
from rebyte_async.otel._origins import Origins, agent_attributes, read_object
from rebyte_async.otel._streams import StreamSpan

_TEMPLATES = {HEALTH_PATH, *(value.template for value in vars(endpoints).values() if isinstance(value, Endpoint))}
"""The paths of the API. Others, which applications request by themselves, may have ids in them."""
_SUBMITS = {CREATE_TASK.template, CREATE_PROMPT.template}
_PROVIDER = {"gen_ai.provider.name": "rebyte"}


def make_tracer(provider: TracerProvider | None, base_url: URL, *, content: bool) -> OpenTelemetryTracer:
    return OpenTelemetryTracer(get_tracer("rebyte_async", __version__, provider, SCHEMA), base_url, content)


@define(eq=False, repr=False)
class OpenTelemetryTracer:
    """Makes the spans of a client."""

    _tracer: Tracer
    _base_url: URL
    _content: bool
    _origins: Origins = field(factory=Origins, init=False)

    def start_call(self, method: str, template: str, url: URL, task_id: str | None, body: object) -> CallTrace:
        is_signed = not template.startswith("/")  # then it is no path
        name = f"{method} {template}" if is_signed or template in _TEMPLATES else method
        attributes: dict[str, str | int] = {"http.request.method": method, **server_attributes(url)}
        attributes["url.full"] = f"{url.origin()}/REDACTED" if is_signed else str(url.with_query(None))
        if template in _TEMPLATES:
            attributes["url.template"] = template
        if task_id is not None:
            attributes["gen_ai.conversation.id"] = task_id
        if method != "POST" or template not in _SUBMITS:
            return CallSpan(self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes), self._content)
        submitted = read_object(body)
        agent = agent_attributes(submitted)
        if self._content:
            attributes["gen_ai.input.messages"] = message("user", str(submitted.get("prompt", "")))
        attributes |= {**_PROVIDER, **agent}
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        return SubmitSpan(span, self._content, agent, task_id, self._origins)

    def start_stream(self, task_id: str) -> StreamTrace:
        return StreamSpan(partial(self._start_stream, task_id), self._content)

    def _start_stream(self, task_id: str, earlier: Link | None) -> Span:
        origin = self._origins.find(task_id)
        agent: Mapping[str, str] = {} if origin is None else origin.agent
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.conversation.id": task_id,
            **_PROVIDER,
            **agent,
            **server_attributes(self._base_url),
        }
        links = [link for link in (None if origin is None else origin.link, earlier) if link is not None]
        name = f"invoke_agent {agent.get('gen_ai.agent.name', '')}".rstrip()
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, links=links)

    def start_item(self, key: str) -> ItemTrace:
        attributes = {**_PROVIDER, "rebyte.batch.item.key": key}
        return ItemSpan(self._tracer.start_span("rebyte.batch.item", attributes=attributes), self._content)
