"""The driver of a stream: connects, reads, waits and survives failures, one step at a time.

A step leaves a state from which the next one can continue, so a cancelled step loses nothing: what was read is in the
`TurnState`, the phase is in the `CompletionDetector`, and a wait that was cancelled is waited out before the next step.
"""

from __future__ import annotations

import logging

from attrs import Factory, define, field

from rebyte_async import errors
from rebyte_async._retry import backoff, is_transient
from rebyte_async.streams import _actions as act
from rebyte_async.streams._actions import CONTINUE, PAUSE, Action
from rebyte_async.streams._completion import CompletionDetector, Phase
from rebyte_async.streams._connection import Connection, ReadEnd
from rebyte_async.streams._source import TurnSource
from rebyte_async.streams._turn import TurnState
from rebyte_async.types.events import Done
from rebyte_async.types.tasks import Task, TaskContent

_log = logging.getLogger("rebyte_async")
_MAX_REPLAY_SILENCE = 5.0
"""Seconds without an event that end a replay, heartbeats or not: it comes at once."""
_MAX_IDLE_PERIODS = 2  # idle timeouts in a row, nothing new between them, after which a stream is given up


@define(eq=False, repr=False, weakref_slot=False)
class TurnReader:
    """Gets more of a turn, until its end."""

    _source: TurnSource
    _connection: Connection
    _turn: TurnState
    _not_found_grace_until: float
    _completion: CompletionDetector = field(
        default=Factory(lambda self: CompletionDetector(self._turn), takes_self=True), init=False
    )
    _pending: Action | None = field(default=None, init=False)  # what the verdict on a done frame asks for
    _wait_until: float = field(default=0.0, init=False)  # the end of a scheduled or cancelled wait; 0 for none
    # Of this connection:
    _events_at_connect: int = field(default=0, init=False)  # how many were delivered before it was made
    _last_activity: float = field(default=0.0, init=False)  # when it was made or brought an event of the turn
    # In a row, without a new event between them:
    _failures: int = field(default=0, init=False)
    _idle_periods: int = field(default=0, init=False)
    _events_at_progress: int = field(default=0, init=False)  # how many had been delivered when the two were set to 0

    @property
    def done(self) -> Done | None:
        return self._completion.done

    @property
    def has_more(self) -> bool:
        """Whether there is something to look at before the next step: what has come, or the end."""
        return self._turn.has_more or self._completion.done is not None

    @property
    def _is_draining(self) -> bool:
        return self._completion.phase is Phase.DRAINING

    async def advance_until_more(self) -> None:
        """Take steps until there is something to look at. Raises what `advance` raises."""
        with self._source.trace.active():
            await self.advance()
            while not self.has_more:
                await self.advance()

    async def advance(self) -> None:
        """Take one step towards the next event or the end.

        It raises `StreamInterruptedError` to give up, an `APIError` that won't pass, and `EventTooLargeError`.
        """
        self._turn.flow = None
        if self._wait_until and (left := self._wait_until - self._source.time.clock()) > 0:
            await self._wait(left)
        self._note_progress()
        try:
            pending, self._pending = self._pending, None
            await self._perform(pending or await self._step())
        except errors.StreamInterruptedError:
            raise
        except (errors.TransportError, errors.APIError) as error:
            failure = error
        else:
            return
        await self._recover(failure)  # outside the handler, so that a cancelled wait doesn't show the failure

    def judge_done(self) -> bool:
        """Judge a done frame at once, as can be done without a read for nearly all; False where none has come.

        What it takes beyond that is left to the next step.
        """
        done = self._turn.blocked_by
        if not isinstance(done, Done) or self._wait_until or not self._completion.is_reading:
            return False
        self._note_progress()
        action = self._on_done(done)
        if self._completion.phase is Phase.FINISHING and not self._turn.release_withheld():
            action = self._completion.next_action() or CONTINUE
        self._pending = None if action is CONTINUE else action
        return True

    def _on_done(self, done: Done) -> Action:
        self._turn.unblock()
        self._connection.close()
        return self._completion.on_done_frame(done)

    def _note_progress(self) -> None:
        if self._turn.events_seen > self._events_at_progress:
            self._events_at_progress = self._turn.events_seen
            self._failures = self._idle_periods = 0
            self._completion.on_progress()

    async def _step(self) -> Action:
        if self._completion.phase is Phase.FINISHING and self._turn.release_withheld():
            return CONTINUE
        action = self._completion.next_action()
        if action is not None:
            return action
        match self._turn.blocked_by:
            case Done() as done:
                return self._on_done(done)
            case str():
                task = await self._read_task()
                self._turn.unblock()  # after the read, so that one that fails is repeated
                return self._completion.on_foreign_turn(task)
            case None if self._connection.is_open:
                return await self._read()
            case None:
                return await self._connect()

    async def _perform(self, action: Action) -> None:
        """Carry out an action, and those that follow from what it finds."""
        while True:
            match action:
                case act.ReadTask(then):
                    action = then(await self._read_task())
                case act.ReadResult(then):
                    action = then(await self._read_result())
                case act.ReadContent(then, is_single_try):
                    action = then(*await self._read_content(is_single_try=is_single_try))
                case act.ReadSubPrompts(then):
                    await self._read_subprompts(include_quiet=True)
                    action = then()
                case act.LeaveStream(then):
                    self._connection.close()
                    self._turn.discard_frames()
                    action = then
                case _:
                    await self._conclude(action)
                    return

    async def _conclude(self, action: Action) -> None:
        """Carry out an action that finds nothing, with which a step ends."""
        match action:
            case act.Wait(seconds, is_deferred):
                if seconds is None:
                    seconds = backoff(self._source.retry, 1, self._source.time.rng)
                least = 0.0 if is_deferred else self._reconnection_time
                await self._wait(max(seconds, least), is_deferred=is_deferred)
            case act.InjectTail(content):
                self._turn.inject_turn(content.events or ())
            case act.IgnoreTurn(prompt_id):
                self._turn.ignore_turn(prompt_id)
            case act.GiveUp() if self._turn.release_withheld():
                pass  # deliver what there is first; the next steps come to the same end
            case act.GiveUp(reason, cause, last_status):
                raise self._interrupted(reason, last_status) from cause
            case _:
                pass

    async def _connect(self) -> Action:
        self._events_at_connect = self._turn.events_seen
        self._turn.restart()
        self._last_activity = self._source.time.clock()
        try:
            await self._connection.open(needs_replay=self._turn.delivered.needs_replay)
        except errors.RequestTimeoutError as error:
            return self._on_idle(error)
        return CONTINUE

    async def _read(self) -> Action:
        try:
            frames = await self._connection.read(self._seconds_to_read())
        except errors.RequestTimeoutError as error:
            return self._on_idle(error)
        if frames is ReadEnd.BODY:
            self._connection.close()
            return self._completion.on_closed(has_news=self._has_news)
        if frames is ReadEnd.LIMIT:
            if self._is_draining:
                self._connection.close()
                return self._completion.on_closed(has_news=self._has_news)
            if self._turn.delivered.is_withholding and not self._seconds_of_silence():
                self._turn.release_withheld()
                return CONTINUE
            try:
                await self._read_subprompts()
            except (errors.TransportError, errors.ServerError, errors.RateLimitedError) as error:
                _log.debug("the sub-prompts of task %s can't be read now: %s", self._source.task_id, error)
            return CONTINUE
        self._turn.add_frames(frames)
        turn = self._turn
        if not (self._is_draining or turn.delivered.is_resuming or turn.subprompts is not None):
            turn.flow = self._connection.read_raw
        return CONTINUE

    def _seconds_to_read(self) -> float | None:
        """Return the seconds to wait for the stream before something else is due; None where nothing is."""
        if self._is_draining:
            return self._seconds_of_silence()
        dues = [] if self._turn.subprompts is None else [self._turn.subprompts.due_in()]
        if self._turn.delivered.is_withholding:
            dues.append(self._seconds_of_silence())
        return min((due for due in dues if due is not None), default=None)

    def _seconds_of_silence(self) -> float:
        """Return how long the stream may stay silent before a replay counts as over."""
        now = self._source.time.clock()
        if self._turn.take_activity():
            self._last_activity = now
        return max(0.0, self._last_activity + _MAX_REPLAY_SILENCE - now)

    def _on_idle(self, error: errors.RequestTimeoutError) -> Action:
        """Look at the task and connect again after an idle timeout; give up after a second one in a row."""
        self._connection.close()
        if self._is_draining:
            return self._completion.on_closed(has_news=self._has_news)
        self._idle_periods += 1
        if self._idle_periods >= _MAX_IDLE_PERIODS:
            return act.GiveUp(f"nothing came for {_MAX_IDLE_PERIODS} idle timeouts in a row", error)
        return self._completion.on_idle()

    @property
    def _has_news(self) -> bool:
        return self._turn.events_seen > self._events_at_connect

    async def _read_task(self) -> Task:
        try:
            task = await self._source.read_task()
        except errors.DecodeError as error:  # likely a gateway's page: it counts as a failure that passes
            raise errors.TransportError(f"the task can't be read: {error}", method="GET") from error
        self._turn.recognize(prompt.id for prompt in task.prompts or ())
        return task

    async def _read_result(self) -> Task | None:
        try:
            return await self._source.read_task()
        except errors.RebyteError:
            return None

    async def _read_content(self, *, is_single_try: bool) -> tuple[TaskContent | None, errors.RebyteError | None]:
        try:
            content = await self._source.read_content()
        except (errors.DecodeError, errors.TransportError, errors.APIError) as error:
            is_refused = isinstance(error, errors.APIError) and not is_transient(self._source.retry, error)
            if not (is_single_try or is_refused or isinstance(error, errors.DecodeError)):
                raise
            return None, error
        self._turn.recognize(prompt.id for prompt in content.prompts)
        return content, None

    async def _read_subprompts(self, *, include_quiet: bool = False) -> None:
        subprompts = self._turn.subprompts
        if subprompts is not None:
            self._turn.inject(await subprompts.read(include_quiet=include_quiet))

    async def _recover(self, error: errors.APIError | errors.TransportError) -> None:
        """Continue after a failure, or raise it, or give up."""
        self._connection.close()
        passes = not isinstance(error, errors.APIError) or is_transient(self._source.retry, error)
        if isinstance(error, errors.NotFoundError) and self._source.time.clock() < self._not_found_grace_until:
            await self._wait(PAUSE)
        elif self._is_draining:
            await self._perform(self._completion.on_failed_drain(is_transient=passes))
        elif not passes:
            raise error
        else:
            await self._back_off(error)

    async def _back_off(self, error: errors.APIError | errors.TransportError) -> None:
        policy = self._source.retry
        # A connection that brought something new ends the row; a second failure after it begins the next one.
        self._failures = 0 if self._has_news else self._failures + 1
        self._events_at_connect = self._turn.events_seen
        if self._failures >= policy.max_attempts:
            reason = f"{self._failures} connections in a row brought nothing new; the last: {error}"
            raise self._interrupted(reason) from error
        by_response = (isinstance(error, errors.APIError) and error.retry_after) or 0.0
        jittered = backoff(policy, max(1, self._failures), self._source.time.rng)
        delay = max(by_response, self._reconnection_time, jittered)
        self._source.trace.on_reconnect(error, delay)
        _log.info("the stream of task %s connects again in %.2f s: %s", self._source.task_id, delay, error)
        await self._wait(delay)

    @property
    def _reconnection_time(self) -> float:
        """The least seconds before a connect that the server asked for, up to the policy's longest delay."""
        return min((self._connection.retry or 0) / 1000, self._source.retry.max_delay)

    def _interrupted(self, reason: str, last_status: str | None = None) -> errors.StreamInterruptedError:
        turn = self._turn
        return errors.StreamInterruptedError(
            f"the stream of task {turn.task_id} was given up before its end: {reason}",
            task_id=turn.task_id,
            cursor=turn.cursor if turn.delivered else None,
            result=turn.result(),
            last_status=last_status,
            attempts=self._connection.connects,
        )

    async def _wait(self, seconds: float, *, is_deferred: bool = False) -> None:
        """Wait. A wait that is cancelled is waited out before the next step, so that impatience spends no tries."""
        self._wait_until = self._source.time.clock() + seconds
        if not is_deferred:
            await self._source.time.sleep(seconds)
            self._wait_until = 0.0
