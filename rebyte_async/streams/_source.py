"""The part of the API that a stream needs. `rebyte_async.resources.reading` implements it over the transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from rebyte_async._clock import Time
from rebyte_async._settings import RetryPolicy
from rebyte_async._tracing import StreamTrace
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.tasks import Task, TaskContent


class EventBody(Protocol):
    """The open body of an event stream. Cancelling a read loses no bytes."""

    async def read(self) -> bytes:
        """Read the bytes that come next; empty at the end of the body.

        Raises:
            TransportError: The connection was lost, or idle for too long (`RequestTimeoutError`).
        """
        ...

    @property
    def read_raw(self) -> Callable[[], Awaitable[bytes]]:
        """Does the same on the hot path, without the coroutine that translates errors: any exception may be raised.

        A failure is permanent, so that the next `read` raises it as an error of this package.
        """
        ...

    def close(self) -> None:
        """Close the connection. A read that waits in another task fails."""
        ...


class TurnSource(Protocol):
    """One task of the API, as its stream sees it. Every read raises `TransportError`, `APIError` or `DecodeError`."""

    @property
    def task_id(self) -> str: ...

    @property
    def time(self) -> Time:
        """How the stream waits."""
        ...

    @property
    def retry(self) -> RetryPolicy:
        """How many failures in a row the stream survives, and how long it waits between them."""
        ...

    @property
    def trace(self) -> StreamTrace:
        """What is traced of the stream."""
        ...

    async def connect(self, *, idle_timeout: float, last_event_id: str, is_reconnect: bool) -> EventBody:
        """Open the task's event stream in one attempt.

        Args:
            idle_timeout: Seconds without a byte after which the body fails.
            last_event_id: The last id that the server gave, to resume after it; empty to have the turn replayed.
            is_reconnect: Whether the stream had connected before; for the statistics.
        """
        ...

    async def read_task(self) -> Task: ...

    async def read_content(self) -> TaskContent:
        """Read the task's content with the events of each turn."""
        ...

    async def read_prompt_events(self, prompt_id: str) -> tuple[TaskEvent, ...]:
        """Read all events of a delegated sub-prompt."""
        ...
