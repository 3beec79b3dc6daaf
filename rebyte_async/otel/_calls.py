"""Spans of calls."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from attrs import define, field
from opentelemetry.trace import Span

from rebyte_async._tracing import CallTrace
from rebyte_async.otel._attributes import activate, fail, failure_attributes, headers_of
from rebyte_async.otel._origins import Origins, agent_attributes, read_object


@define(eq=False, repr=False)
class CallSpan(CallTrace):
    """The span of a call: it ends with its last attempt."""

    _span: Span
    _content: bool
    headers: Mapping[str, str] = field(init=False)
    _retries: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.headers = headers_of(self._span)

    def active(self) -> AbstractContextManager[object]:
        return activate(self._span)

    def on_retry(self, error: Exception, attempt: int, delay: float) -> None:
        self._retries += 1
        noted = {"rebyte.attempt": attempt, "rebyte.retry.delay": delay, **failure_attributes(error)}
        self._span.add_event("retry", noted)

    def on_response(self, status: int, body: bytes = b"") -> None:
        del body
        self._span.set_attribute("http.response.status_code", status)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._retries:
            self._span.set_attribute("http.request.resend_count", self._retries)
        if error is not None and not isinstance(error, GeneratorExit):  # a download that wasn't read to its end
            fail(self._span, error, content=self._content)
        self._span.end()


@define(eq=False, repr=False)
class SubmitSpan(CallSpan):
    """The span of a call that gives a task a prompt; the task's stream is linked to it."""

    _agent: Mapping[str, str]  # what the request says of the agent
    _task_id: str | None  # None for a new task
    _origins: Origins

    def on_response(self, status: int, body: bytes = b"") -> None:
        super().on_response(status)
        created = read_object(body)
        agent = {**self._agent, **agent_attributes(created)}
        task_id = self._task_id or created.get("id")
        self._span.set_attributes(agent)
        if isinstance(task_id, str):
            self._span.set_attribute("gen_ai.conversation.id", task_id)
            self._origins.remember(task_id, self._span, agent)
