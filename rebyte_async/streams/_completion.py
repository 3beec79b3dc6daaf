"""Decide whether a turn has really ended: a done frame may be genuine, early, empty, or another turn's.

`CompletionDetector` holds the phase of a stream, looks at what has come of the turn, and returns the next action as a
value; it reads and waits for nothing itself. The reader carries the action out, and gives what it finds to the action's
`then`. Where a step is cancelled its `then` isn't called, so the phase is still that in which the step began, and the
next step can begin there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rebyte_async.streams._drain import DrainPolicy
from rebyte_async.streams._phases import (
    CONTINUE,
    TRANSITIONS,
    Action,
    BackOff,
    Finding,
    GiveUp,
    IgnoreTurn,
    InjectTail,
    LeaveStream,
    Phase,
    ReadContent,
    ReadResult,
    ReadSubPrompts,
    ReadTask,
    ScheduleWait,
    Wait,
)
from rebyte_async.types.events import Done
from rebyte_async.types.statuses import TERMINAL_STATUSES, TaskStatus, task_status

if TYPE_CHECKING:
    from rebyte_async.errors import RebyteError
    from rebyte_async.streams._turn import TurnState
    from rebyte_async.types.tasks import PromptContent, Task, TaskContent

__all__ = ["CompletionDetector"]

_MIN_TERMINAL_READS = 3
"""Reads of the task in a row that must say that the turn has ended before an empty stream is believed.

Right after a prompt was submitted the task may still show the status of the turn before.
"""
_MAX_UNKNOWN_READS = 15
"""Reads in a row of a task that doesn't have the turn, or with an unknown status, before the stream is given up."""
_MIN_QUIET_READS = 2
"""Reads of all delegations in a row that must bring nothing new before the stream ends."""
_RUNNING = frozenset({"running", "pending", "queued", "processing"})


class CompletionDetector:
    """The phase of a stream, and the rules by which it changes."""

    __slots__ = (
        "_drain",
        "_end",
        "_is_content_read",
        "_quiet_reads",
        "_terminal_reads",
        "_turn",
        "_unknown_reads",
        "done",
        "phase",
    )

    def __init__(self, turn: TurnState) -> None:
        self._turn = turn  # only looked at
        self.phase = Phase.FOLLOWING
        """What the stream is doing."""
        self.done: Done | None = None
        """The end of the turn, once the phase is `ENDED`."""
        # Reads in a row, without a new event between them:
        self._terminal_reads = self._unknown_reads = self._quiet_reads = 0
        self._drain: DrainPolicy | None = None  # from DRAINING on, or once the content was read
        self._is_content_read = False  # whether the content was read since the drain policy decided last
        self._end = Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="")  # valid from FINISHING on

    def _move(self, finding: Finding) -> None:
        self.phase = TRANSITIONS[self.phase, finding]

    def on_progress(self) -> None:
        """Count anew what is counted in a row: new events have come."""
        self._terminal_reads = self._unknown_reads = self._quiet_reads = 0

    def next_action(self) -> Action | None:
        """Return the action that the phase requires by itself; None where the stream is to be read."""
        match self.phase:
            case Phase.VERIFYING:
                return ReadTask(self._on_task_after_idle)
            case Phase.READING_CONTENT:
                return LeaveStream(self._read_tail())
            case Phase.FINISHING:
                return self._finish()
            case _:
                return None

    # --- What the stream shows -------------------------------------------------------------------------------------

    def on_done_frame(self, done: Done) -> Action:
        """Judge a done frame: the end of the turn, or that of another turn, or of nothing at all (contract §4.3-5)."""
        if self._turn.saw_turn_event:
            return self._on_turn_ended(done, is_certain=True)
        is_empty = not done.final_result and (done.last_seq is None or done.last_seq < 0)
        if is_empty or self._turn.foreign_prompt_id is not None:
            return ReadTask(self._on_empty_connection)
        return ReadTask(partial(self._judge_unseen, done))

    def _judge_unseen(self, done: Done, task: Task) -> Action:
        """Judge a done frame that says something, on a connection that showed no event at all."""
        if self._status_of_turn(task) in TERMINAL_STATUSES:
            return self._on_turn_ended(done, is_certain=True)
        return ReadTask(self._on_empty_connection)

    def on_closed(self, *, has_news: bool) -> Action:
        """Judge an orderly close without a done frame, which is normal while the turn runs (contract §4.6).

        Args:
            has_news: Whether the connection had brought a new event.
        """
        if not self._turn.saw_turn_event:
            return ReadTask(self._on_empty_connection)
        if self._drain is not None:
            return self._drain_or_finish(self._drain)
        return ReadTask(partial(self._on_task_after_close, has_news))

    def on_idle(self) -> Action:
        """Have the task read: nothing came for the idle timeout."""
        self._move(Finding.IDLE)
        return CONTINUE

    def on_quiet_drain(self) -> Action:
        """End a try to read the tail that brings nothing more, though its connection stays open."""
        if self._turn.saw_turn_event and self._drain is not None:
            return self._drain_or_finish(self._drain)
        return ReadTask(self._on_empty_connection)

    def on_failed_drain(self, *, is_transient: bool) -> Action:
        """Count a try to read the tail that failed. The turn has ended, so that no failure loses its end.

        Args:
            is_transient: Whether the failure may pass. One that doesn't is a reading too: of a stream without news.
        """
        return CONTINUE if self._drain is None else self._drain_or_finish(self._drain, has_failed=is_transient)

    def on_foreign_turn(self, task: Task) -> Action:
        """Decide what another turn on the stream means: an earlier one is skipped, a later one has taken over."""
        turns = [prompt.id for prompt in task.prompts or ()]
        ours, foreign = self._turn.prompt_id, self._turn.foreign_prompt_id
        if ours in turns and foreign in turns:
            if turns.index(foreign) > turns.index(ours):
                self._move(Finding.SUPERSEDED)
                return CONTINUE
        elif ours not in turns or self._status_of_turn(task) in TERMINAL_STATUSES:
            # The task doesn't say which turn is the later one, and this connection won't bring any more of ours.
            return LeaveStream(ReadTask(self._on_empty_connection))
        return CONTINUE if foreign is None else IgnoreTurn(foreign)

    # --- What the task says ----------------------------------------------------------------------------------------

    def _on_task_after_idle(self, task: Task) -> Action:
        return self._on_status(self._status_of_turn(task), CONTINUE)

    def _on_task_after_close(self, has_news: bool, task: Task) -> Action:
        return self._on_status(self._status_of_turn(task), BackOff() if has_news else Wait())

    def _on_status(self, status: str | None, while_running: Action) -> Action:
        if status in TERMINAL_STATUSES:
            return self._on_turn_ended(_end_by_status(status), is_certain=False)
        self._move(Finding.RUNNING)
        return self._give_up_if_unknown(status) or while_running

    def _on_empty_connection(self, task: Task) -> Action:
        """Judge a connection that ended without an event of the turn, which hasn't begun to show, or shows no more."""
        status = self._status_of_turn(task)
        if self._is_past(task) and (self._drain is not None or status in TERMINAL_STATUSES):
            self._move(Finding.SUPERSEDED)
            return CONTINUE
        if self._drain is not None:
            return self._drain_or_finish(self._drain)
        if status not in TERMINAL_STATUSES:
            self._terminal_reads = 0
            return self._give_up_if_unknown(status) or Wait()
        self._terminal_reads += 1
        if self._terminal_reads < _MIN_TERMINAL_READS:
            return Wait()
        if self._turn.foreign_prompt_id is not None:
            self._move(Finding.SUPERSEDED)
        elif self._turn.delivered:  # by an earlier stream, whose cursor this one began with
            return self._on_turn_ended(_end_by_status(status), is_certain=False)
        else:
            self._end = Done(status=TaskStatus(status), last_seq=-1, final_result="")
            self._move(Finding.EMPTY)
        return CONTINUE

    def _status_of_turn(self, task: Task) -> str | None:
        """Return the turn's status in the task's vocabulary; None where the task doesn't have the turn (yet)."""
        ours = self._turn.prompt_id
        if ours is None or task.prompts is None:
            return task.status
        return next((task_status(prompt.status) for prompt in task.prompts if prompt.id == ours), None)

    def _is_past(self, task: Task) -> bool:
        """Whether a later turn was submitted: the stream is that turn's from then on (contract §4.3)."""
        turns = [prompt.id for prompt in task.prompts or ()]
        return self._turn.prompt_id in turns[:-1]

    def _give_up_if_unknown(self, status: str | None) -> GiveUp | None:
        """Tolerate an unknown turn or status for `_MAX_UNKNOWN_READS` reads in a row, then give up."""
        self._unknown_reads = 0 if status in _RUNNING else self._unknown_reads + 1
        if self._unknown_reads < _MAX_UNKNOWN_READS:
            return None
        is_missing = f"the task has no prompt {self._turn.prompt_id}"
        return GiveUp(f"nothing new came and {is_missing if status is None else f'its status is {status!r}'}")

    # --- The tail --------------------------------------------------------------------------------------------------

    def _on_turn_ended(self, done: Done, *, is_certain: bool) -> Action:
        """Drain: the turn has ended, and its tail may be missing.

        Args:
            done: The end.
            is_certain: Whether a done frame reported it, and not only the task's status.
        """
        if self._drain is None:
            self._drain = DrainPolicy(done, is_certain=is_certain)
        elif is_certain:
            self._drain.confirm(done)
        self._move(Finding.ENDED)
        return self._drain_or_finish(self._drain)

    def _drain_or_finish(self, drain: DrainPolicy, *, has_failed: bool = False) -> Action:
        if drain.should_retry(self._turn.tail, self._turn.events_seen, has_failed=has_failed):
            return Wait()
        self._end = drain.done
        self._move(Finding.NOTHING_MISSING)
        return CONTINUE

    def _read_tail(self) -> Action:
        """Read the tail from the content, and again until it is complete: the content can lag behind as well."""
        if self._is_content_read and self._drain is not None:
            self._is_content_read = False
            return self._drain_or_finish(self._drain)
        return ReadTask(self._on_task_before_content)

    def _on_task_before_content(self, task: Task) -> Action:
        status = self._status_of_turn(task)
        if status in TERMINAL_STATUSES:
            return ReadContent(partial(self._on_content, TaskStatus(status)))
        return self._give_up_if_unknown(status) or Wait()

    def _on_content(self, status: TaskStatus, content: TaskContent | None, cause: RebyteError | None) -> Action:
        ours = None if content is None else self._find_turn(content)
        if ours is None:
            if self._drain is not None and self._drain.is_certain:  # the end is known, only its tail may be missing
                return self._drain_or_finish(self._drain)
            return GiveUp("it went on to another turn, and the content doesn't say how this one ended", cause)
        final_result = ours.response or ""
        if self._drain is None:
            self._drain = DrainPolicy(Done(status=status, last_seq=None, final_result=final_result), is_certain=True)
        else:
            self._drain.add_final_result(final_result)
        self._is_content_read = True
        return InjectTail(ours)

    def _find_turn(self, content: TaskContent) -> PromptContent | None:
        for prompt in content.prompts:
            if prompt.id == self._turn.prompt_id and prompt.events is not None:
                return prompt
        return None

    # --- The end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> Action:
        """Read the last of the delegations, then find the final result."""
        if self._turn.subprompts and self._quiet_reads < _MIN_QUIET_READS:
            return ReadSubPrompts(self._on_subprompts)
        return self._on_result(None) if self._end.final_result else ReadResult(self._on_result)

    def _on_subprompts(self) -> Action:
        self._quiet_reads += 1
        return ScheduleWait() if self._quiet_reads < _MIN_QUIET_READS else CONTINUE

    def _on_result(self, task: Task | None) -> Action:
        """End the stream, with the final result of the done frame, else the task's, else the last text."""
        final_result = self._end.final_result
        if not final_result and task is not None:
            # A task has one final result: that of its last turn.
            is_ours = not task.prompts or self._turn.prompt_id in {None, task.prompts[-1].id}
            final_result = (is_ours and task.final_result) or ""
        final_result = final_result or self._turn.last_block
        self.done = Done(status=self._end.status, last_seq=self._end.last_seq, final_result=final_result)
        self._move(Finding.RESULT)
        return CONTINUE


def _end_by_status(status: str) -> Done:
    """Make the end of a turn of which only the status is known."""
    return Done(status=TaskStatus(status), last_seq=None, final_result="")
