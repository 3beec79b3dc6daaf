"""The event stream of a task, as applications see it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

from rebyte_async import _validate
from rebyte_async.errors import ConfigurationError, InvalidRequestError, RebyteError, StreamInterruptedError
from rebyte_async.streams._connection import Connection
from rebyte_async.streams._cursor import CursorPosition, read_cursor, shorten_prompt_id
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._reader import TurnReader
from rebyte_async.streams._source import TurnSource
from rebyte_async.streams._subprompts import SubPrompts
from rebyte_async.streams._turn import NO_FRAMES, TurnState
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

    When a connection is lost, the stream connects again and leaves out what it has delivered. Iteration ends only when
    the turn has ended, or when `close` is called; a stream that gives up raises. It connects when it is first read
    from. One consumer reads at a time; any task may call `close`. Closing never affects the remote task.

    Raises, from iteration:
        StreamInterruptedError: The stream was given up; the error has the `cursor` to resume from.
        DecodeError: A frame was no JSON object with an event type. Iteration can continue with the event after it.
        APIError: The server refuses, and will refuse again: 401, 403, 404 and other 4xx.
        ConfigurationError: The client is closed, or two consumers read at once.

    *Source*: contract §4, observed.
    """

    __slots__ = (
        "__weakref__",
        "_busy",
        "_closed",
        "_connection",
        "_failure",
        "_reader",
        "_step",
        "_trace",
        "_turn",
        "task_id",
    )

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
        position = _position(source.task_id, prompt_id, after)
        idle_timeout = _validate.seconds("idle_timeout", idle_timeout, above_zero=True)
        self._connection = Connection(source, idle_timeout)
        subprompts = SubPrompts(source) if follow_subprompts else None
        self._turn = TurnState(source.task_id, position.prompt_id, Delivered(position), subprompts)
        self._reader = TurnReader(source, self._connection, self._turn, not_found_grace_until)
        self._trace = source.trace
        self._busy = False
        self._closed = False
        self._failure: RebyteError | None = None
        self._step: asyncio.Task[None] | None = None  # a step that hasn't ended, or whose end no read has seen yet

    @property
    def prompt_id(self) -> str | None:
        """The turn that is followed: as given, else that of the first event; None until then."""
        return self._turn.prompt_id

    @property
    def done(self) -> Done | None:
        """The end of the turn, or None while it hasn't been reached."""
        return self._reader.done

    @property
    def cursor(self) -> str:
        """The position after the last event that was delivered, for `client.tasks.events(task_id, after=cursor)`.

        An opaque string, valid in any process, and safe in URLs, headers and file names: at most 200 characters, and 60
        more for each delegation. Making it takes no longer the longer the turn is.
        """
        return self._turn.cursor

    @property
    def reconnects(self) -> int:
        """How often it connected after the first time."""
        return max(0, self._connection.connects - 1)

    @property
    def result(self) -> TaskResult:
        """What there is of the turn so far; its `status` is None until the end."""
        return self._turn.result(self.done)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        end = self.done.status if self.done else state
        return f"<TaskEventStream of task {self.task_id}: {self._turn.events_seen} events, {end}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        if self._busy:
            raise ConfigurationError("the stream is being read by another task: one consumer reads at a time")
        turn, frames = self._turn, NO_FRAMES
        while not self._closed:
            is_due = frames or turn.frames or turn.flow is None
            if is_due and (event := turn.next_event(frames)) is not None:
                return event
            # Nearly every event of a live stream takes the short way: receive, decode, deliver. Anything else is a
            # step of the reader, in a task of its own, which costs more than parsing an event. The short way needs
            # none: cancelling a mere wait for bytes loses nothing, and closing the connection ends it.
            flow, frames = turn.flow, NO_FRAMES
            if flow is None and self._reader.done is not None:
                self._trace.end(self)
                break
            self._busy = True
            try:
                try:
                    data = b"" if flow is None else await flow()
                except Exception:  # noqa: BLE001 - the reader reads again, and fails with an error of ours
                    data = b""
                if data:
                    frames = self._connection.parser.feed_frames(data)
                elif not self._closed:
                    await self._advance()
            except RebyteError as error:
                self._failure = error
                error.task_id = error.task_id or self.task_id
                self._closed = True
                self._connection.close()
                self._trace.end(self, error)
                raise
            finally:
                self._busy = False
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _advance(self) -> None:
        """Take steps up to the next event or the end; `close` and `disconnect` may end them from another task.

        A read that is cancelled leaves the step to the next one, so that impatience doesn't cost a connect or a look at
        the task. The task of a step knows the reader and not the stream, so that a stream that is dropped is noticed.
        """
        step = self._step
        if step is None and self._reader.judge_done():
            return
        if step is None:
            step = self._step = asyncio.ensure_future(self._reader.advance_until_more())
            step.add_done_callback(_note_failure)
        await asyncio.wait([step])
        self._step = None
        if not (step.cancelled() and step.cancelling()):  # else `close` or `disconnect` ended it
            step.result()

    async def text(self) -> AsyncIterator[str]:
        """Iterate over the agent's words instead of its events.

        Yields:
            Pieces of text: deltas as they come, a blank line between blocks, echoes left out. Joined they are the
            result's `text`.
        """
        async for _ in self:
            if self._turn.piece:
                yield self._turn.piece

    @property
    def last_piece(self) -> str:
        """What the last event added to the text, for those who read events and text together; often empty."""
        return self._turn.piece

    async def until_done(self) -> TaskResult:
        """Read to the end of the turn.

        Returns:
            How the turn ended, and what the agent said.

        Raises:
            StreamInterruptedError: The stream was given up, or closed before the end.
            Exception: What iteration raises.
        """
        async for _ in self:
            pass
        if self.done is None:
            message = f"the stream of task {self.task_id} was closed before the end of the turn"
            raise StreamInterruptedError(message, task_id=self.task_id, cursor=self.cursor, result=self.result)
        return self.result

    async def close(self) -> None:
        """End the stream and its connection; a consumer that waits in another task sees the iteration end.

        The remote task continues. `cursor` stays readable; events that were received and not yet delivered are not
        covered by it.
        """
        self._closed = True
        self.disconnect()
        if self._step is not None:
            await asyncio.wait([self._step])
            self._step = None

    def disconnect(self) -> None:
        """Close the connection alone: the next read connects again, and continues where this one stopped."""
        connection = self._connection
        connection.close()
        self._turn.flow = None
        self._trace.end(self)
        if self._step is not None:
            self._step.add_done_callback(lambda _: connection.close())  # it may have been made all the same
            self._step.cancel()

    async def aclose(self) -> None:
        """Do the same as `close`, for `contextlib.aclosing`."""
        await self.close()

    def __del__(self) -> None:
        step = getattr(self, "_step", None)  # missing where the constructor raised, as the connection is
        connection = getattr(self, "_connection", None)
        if (step is not None and not step.done()) or (connection is not None and connection.is_open):
            message = f"{self!r} was never closed: use it with `async with`"
            warnings.warn(message, ResourceWarning, source=self, stacklevel=2)
            with suppress(RuntimeError):  # the event loop is closed
                self.disconnect()


def _note_failure(step: asyncio.Task[None]) -> None:
    """Take note of a failure: a stream that is closed before its next read doesn't leave an unseen one to be logged."""
    if not step.cancelled():
        step.exception()


def _position(task_id: str, prompt_id: object, after: str | None) -> CursorPosition:
    if prompt_id is not None and (not isinstance(prompt_id, str) or not prompt_id):
        raise InvalidRequestError(f"prompt_id must be a string that isn't empty, or None, not {prompt_id!r:.80}")
    if after is None:
        return CursorPosition(prompt_id)
    position = read_cursor(task_id, after)
    if prompt_id is not None and position.prompt_id not in {None, shorten_prompt_id(prompt_id)}:
        raise InvalidRequestError(f"after is the cursor of the turn {position.prompt_id}, not of {prompt_id}")
    return position._replace(prompt_id=prompt_id or position.prompt_id)
