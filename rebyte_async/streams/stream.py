"""The event stream of a task, as applications see it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Self

from anyio import CancelScope

from rebyte_async import _validate
from rebyte_async.errors import (
    ConfigurationError,
    InvalidRequestError,
    RebyteError,
    StreamInterruptedError,
)
from rebyte_async.streams._cursor import Place, read_cursor
from rebyte_async.streams._follower import Follower
from rebyte_async.streams._seen import Seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from rebyte_async.streams._source import TurnSource
    from rebyte_async.types.events import Done, TaskEvent
    from rebyte_async.types.tasks import TaskResult

__all__ = ["TaskEventStream"]


class TaskEventStream:
    """The events of one turn of a task: each once, in order, up to the end of the turn.

    Made by `client.tasks.events`. Use it as an async context manager, and iterate over it:

        async with client.tasks.events(task.id) as stream:
            async for event in stream:
                ...
        print(stream.done.final_result)

    Lost connections are mended by connecting again and leaving out what was delivered. Iteration ends only when the
    turn has ended, or when `close` is called; whenever the stream gives up it raises. It connects when it is first
    read from. One consumer reads at a time; any task may call `close`. Closing never affects the remote task.

    Raises, from iteration:
        StreamInterruptedError: The stream was given up; the error has the `cursor` to go on from.
        DecodeError: A frame was no JSON object with an event type. Iteration can go on behind it.
        APIError: The server refuses for good: 401, 403, 404 and other 4xx.
        ConfigurationError: The client is closed, or two consumers read at once.

    *Source*: contract §4, observed.
    """

    __slots__ = ("__weakref__", "_busy", "_closed", "_failure", "_follower", "_scope", "task_id")

    def __init__(
        self,
        source: TurnSource,
        *,
        idle_timeout: float,
        prompt_id: str | None = None,
        after: str | None = None,
        follow_subprompts: bool = False,
        not_found_grace_until: float = 0.0,
    ) -> None:
        self.task_id: str = source.task_id
        """The task."""
        self._follower = Follower(
            source,
            _place(source.task_id, prompt_id, after),
            idle_timeout=_validate.seconds("idle_timeout", idle_timeout, above_zero=True),
            follow_subprompts=follow_subprompts,
            not_found_grace_until=not_found_grace_until,
        )
        self._busy = False
        self._closed = False
        self._failure: RebyteError | None = None
        self._scope: CancelScope | None = None

    @property
    def prompt_id(self) -> str | None:
        """The turn that is followed: as given, else that of the first event; None until then."""
        return self._follower.intake.prompt_id

    @property
    def done(self) -> Done | None:
        """The end of the turn, or None while it hasn't been reached."""
        return self._follower.done

    @property
    def cursor(self) -> str:
        """The place after the last event that was delivered, for `client.tasks.events(task_id, after=cursor)`.

        An opaque string, good in any process: a few bytes where events are numbered, about 11 for each event with a
        key. Making it takes time in proportion.
        """
        return self._follower.intake.cursor

    @property
    def reconnects(self) -> int:
        """How often it connected after the first time."""
        return self._follower.reconnects

    @property
    def result(self) -> TaskResult:
        """What there is of the turn so far; its `status` is None until the end."""
        return self._follower.result

    def __repr__(self) -> str:
        state = self.done.status if self.done else "closed" if self._closed else "open"
        return f"<TaskEventStream of task {self.task_id}: {self._follower.intake.events_seen} events, {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        if self._busy:
            raise ConfigurationError("the stream is being read by another task: one consumer reads at a time")
        follower = self._follower
        while not self._closed:
            if (event := follower.intake.next_event()) is not None:
                return event
            coming = follower.receive()
            if coming is None and follower.done is not None:
                break
            self._busy = True
            try:
                # Closing the connection ends a mere wait for bytes: a scope would cost more than parsing an event.
                if (coming is None or not await coming) and not self._closed:
                    await self._advance()
            except RebyteError as error:
                self._failure = error
                error.task_id = error.task_id or self.task_id
                self._closed = True
                follower.close()
                raise
            finally:
                self._busy = False
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _advance(self) -> None:
        """Steps up to the next event or the end, which `close` may end from another task.

        The scope is left before anything is given out.
        """
        try:
            with CancelScope() as self._scope:
                await self._follower.advance()
                while self._is_waiting():  # further steps in the same scope, which costs as much as many a step
                    await self._follower.advance()
        finally:
            self._scope = None
            if self._closed:  # while it connected: the connection came all the same
                self._follower.close()

    def _is_waiting(self) -> bool:
        return not (self._closed or self._follower.has_more)

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the agent's words instead of its events.

        Yields:
            Pieces of text: deltas as they come, a blank line between blocks, echoes left out. Joined they are the
            result's `text`.
        """
        async for _ in self:
            if self._follower.intake.piece:
                yield self._follower.intake.piece

    async def until_done(self) -> TaskResult:
        """Read to the end of the turn.

        Returns:
            What the turn came to.

        Raises:
            StreamInterruptedError: The stream was given up, or closed before the end.
            Exception: What iteration raises.
        """
        async for _ in self:
            pass
        if self.done is None:
            raise StreamInterruptedError(
                f"the stream of task {self.task_id} was closed before the end of the turn",
                task_id=self.task_id,
                cursor=self.cursor,
                result=self.result,
            )
        return self.result

    async def close(self) -> None:
        """End the stream and its connection; a consumer that waits in another task sees the iteration end.

        The remote task goes on. `cursor` stays readable.
        """
        self._closed = True
        self._follower.close()
        if self._scope is not None:
            self._scope.cancel()

    def disconnect(self) -> None:
        """Close the connection alone: the next read connects again, and goes on where this one stopped."""
        self._follower.close()

    async def aclose(self) -> None:
        """The same as `close`, for `contextlib.aclosing`."""
        await self.close()

    def __del__(self) -> None:
        follower = getattr(self, "_follower", None)
        if follower is not None and follower.is_connected:
            warnings.warn(
                f"{self!r} was never closed: use it with `async with`", ResourceWarning, source=self, stacklevel=2
            )
            follower.close()


def _place(task_id: str, prompt_id: object, after: str | None) -> Place:
    if prompt_id is not None and (not isinstance(prompt_id, str) or not prompt_id):
        raise InvalidRequestError(f"prompt_id must be a string that isn't empty, or None, not {prompt_id!r:.80}")
    if after is None:
        return Place(prompt_id, Seen())
    place = read_cursor(task_id, after)
    if prompt_id is not None and place.prompt_id not in {None, prompt_id}:
        raise InvalidRequestError(f"after is the cursor of the turn {place.prompt_id}, not of {prompt_id}")
    return Place(prompt_id or place.prompt_id, place.seen)
