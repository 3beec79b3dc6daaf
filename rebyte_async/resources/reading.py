"""Reads of tasks that resources and streams share, the responses to creates, and the source of a task's streams."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

from attrs import frozen

from rebyte_async._clock import Time
from rebyte_async._settings import RetryPolicy
from rebyte_async._transport import Response, Transport
from rebyte_async._wire import endpoints, models
from rebyte_async.errors import AmbiguousRequestError, DecodeError, RebyteError
from rebyte_async.streams import EventBody
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.tasks import Task, TaskContent

T = TypeVar("T")


@contextmanager
def error_context(task_id: str) -> Generator[None]:
    """Have errors in the `with` block name their task."""
    try:
        yield
    except RebyteError as error:
        error.task_id = error.task_id or task_id
        raise


async def read_task(transport: Transport, task_id: str) -> Task:
    """Read a task with its prompts. Raises what `Transport.call` raises, and `DecodeError`."""
    with error_context(task_id):
        response = await transport.call(endpoints.GET_TASK, ids={"task_id": task_id})
        return models.decode(Task, response.json())


async def read_content(transport: Transport, task_id: str, *, include_events: bool) -> TaskContent:
    """Read what a task's prompts asked and answered. Raises what `Transport.call` raises, and `DecodeError`."""
    query = {"include": "events"} if include_events else None
    with error_context(task_id):
        response = await transport.call(endpoints.GET_CONTENT, ids={"task_id": task_id}, query=query)
        return models.decode(TaskContent, response.json())


async def read_prompt_events(transport: Transport, task_id: str, prompt_id: str) -> tuple[TaskEvent, ...]:
    """Read the events of a delegated sub-prompt. Raises what `Transport.call` raises, and `DecodeError`."""
    ids = {"task_id": task_id, "prompt_id": prompt_id}
    with error_context(task_id):
        response = await transport.call(endpoints.LIST_PROMPT_EVENTS, ids=ids)
        return models.decode_items(TaskEvent, response.json(), ("events",))


def decode_created(cls: type[T], response: Response) -> T:
    """Read the response to a create, which costs money.

    Raises:
        AmbiguousRequestError: The response can't be read: something was created, and its id isn't known.
    """
    try:
        return models.decode(cls, response.json())
    except DecodeError as error:
        failure = error
    raise AmbiguousRequestError(
        f"{response.method} {response.url} was carried out ({response.status}), but its response can't be read: "
        f"{failure.message}",
        method=response.method,
        url=response.url,
    ) from failure


@frozen(eq=False, weakref_slot=False)
class TransportTurnSource:
    """The `TurnSource` of one task: what its stream needs of the API, over the client's transport.

    Raises:
        InvalidRequestError: The task's id can't be one.
    """

    _transport: Transport
    task_id: str
    """The task."""

    def __attrs_post_init__(self) -> None:
        endpoints.STREAM_EVENTS.path(task_id=self.task_id)  # checks the id before anything is sent

    @property
    def time(self) -> Time:
        return self._transport.time

    @property
    def retry(self) -> RetryPolicy:
        return self._transport.retry

    async def connect(self, *, idle_timeout: float, last_event_id: str, is_reconnect: bool) -> EventBody:
        """Open the task's event stream in one attempt; see `TurnSource.connect`."""
        if is_reconnect:
            self._transport.counters.reconnects += 1
        is_sendable = last_event_id and not endpoints.NOT_IN_HEADERS.search(last_event_id)
        headers = {"Last-Event-ID": last_event_id} if is_sendable else {}
        ids = {"task_id": self.task_id}
        return await self._transport.stream(
            endpoints.STREAM_EVENTS, ids=ids, idle_timeout=idle_timeout, headers=headers
        )

    async def task(self) -> Task:
        return await read_task(self._transport, self.task_id)

    async def content(self) -> TaskContent:
        """Read the task's content with the events of each turn."""
        return await read_content(self._transport, self.task_id, include_events=True)

    async def prompt_events(self, prompt_id: str) -> tuple[TaskEvent, ...]:
        return await read_prompt_events(self._transport, self.task_id, prompt_id)
