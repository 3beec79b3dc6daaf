"""Calls with their responses decoded, the responses to creates, and the reads of a task that its stream needs too."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from attrs import frozen

from rebyte_async._clock import Time
from rebyte_async._settings import RetryPolicy
from rebyte_async._tracing import NO_STREAM, StreamTrace
from rebyte_async._transport import Response, Transport
from rebyte_async._wire import endpoints, models
from rebyte_async._wire.endpoints import Endpoint
from rebyte_async.errors import AmbiguousRequestError, DecodeError, RebyteError
from rebyte_async.streams import EventBody
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.tasks import Task, TaskContent

T = TypeVar("T")


class Resource:
    """The base of the client's resources, which says whose they are."""

    __slots__ = ()
    _transport: Transport

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._transport.base_url}>"


@contextmanager
def error_context(task_id: str | None) -> Generator[None]:
    """Have errors in the `with` block name their task."""
    try:
        yield
    except RebyteError as error:
        error.task_id = error.task_id or task_id
        raise


async def fetch(
    transport: Transport,
    cls: type[T],
    endpoint: Endpoint,
    *,
    ids: Mapping[str, str] | None = None,
    query: Mapping[str, str | int] | None = None,
    json: Mapping[str, Any] | None = None,
) -> T:
    """Make a call and decode its response. Raises what `Transport.call` raises, and `DecodeError`."""
    response = await transport.call(endpoint, ids=ids, query=query, json=json)
    try:
        return models.decode(cls, response.json())
    except DecodeError as error:
        error.task_id = error.task_id or (ids or {}).get("task_id")
        raise


def decode_created(cls: type[T], response: Response) -> T:
    """Read the response to a create. One that can't be read hides the id of something that costs money."""
    try:
        return models.decode(cls, response.json())
    except DecodeError as error:
        what = f"{response.method} {response.url} was carried out ({response.status}), but its response can't be read"
        message = f"{what}: {error.message}"
        raise AmbiguousRequestError(message, method=response.method, url=response.url) from error


@frozen(eq=False, repr=False, weakref_slot=False)
class TransportTurnSource:
    """The `TurnSource` of one task: what its stream needs of the API, over the client's transport.

    An id that can't be one is refused at once. Every read raises what `Transport.call` raises, and `DecodeError`.
    """

    _transport: Transport
    task_id: str
    trace: StreamTrace = NO_STREAM

    def __attrs_post_init__(self) -> None:
        endpoints.STREAM_EVENTS.path(task_id=self.task_id)  # checks the id

    @property
    def time(self) -> Time:
        return self._transport.time

    @property
    def retry(self) -> RetryPolicy:
        return self._transport.retry

    async def connect(self, *, idle_timeout: float, last_event_id: str, is_reconnect: bool) -> EventBody:
        if is_reconnect:
            self._transport.counters.reconnects += 1
        is_sendable = last_event_id and not endpoints.NOT_IN_HEADERS.search(last_event_id)
        headers = {"Last-Event-ID": last_event_id} if is_sendable else {}
        ids = {"task_id": self.task_id}
        own = self.trace.headers
        body = await self._transport.stream(
            endpoints.STREAM_EVENTS, ids=ids, idle_timeout=idle_timeout, headers=headers, origin_headers=own
        )
        self.trace.on_connect()
        return body

    async def read_task(self) -> Task:
        return await fetch(self._transport, Task, endpoints.GET_TASK, ids={"task_id": self.task_id})

    async def read_content(self, *, include_events: bool = True) -> TaskContent:
        query = {"include": "events"} if include_events else None
        ids = {"task_id": self.task_id}
        return await fetch(self._transport, TaskContent, endpoints.GET_CONTENT, ids=ids, query=query)

    async def read_prompt_events(self, prompt_id: str) -> tuple[TaskEvent, ...]:
        ids = {"task_id": self.task_id, "prompt_id": prompt_id}
        with error_context(self.task_id):
            response = await self._transport.call(endpoints.LIST_PROMPT_EVENTS, ids=ids)
            return models.decode_items(TaskEvent, response.json(), ("events",))
