"""Decide whether a turn has really ended: a done frame may be genuine, early, empty, or another turn's.

`CompletionDetector` holds the phase of a stream, looks at the events of the turn, and returns the next action as a
value; it reads and waits for nothing itself. The reader carries the action out, and gives what it finds to the action's
`then`. Where a step is cancelled its `then` isn't called, so the phase is still that in which the step began, and the
next step can begin there.
"""

from __future__ import annotations

from enum import Enum
from functools import partial

from attrs import define, evolve, field

from rebyte_async.errors import RebyteError
from rebyte_async.streams import _actions as act
from rebyte_async.streams._actions import CONTINUE, Action
from rebyte_async.streams._drain import DrainPolicy, NextRead
from rebyte_async.streams._turn import TurnState
from rebyte_async.types.events import Done
from rebyte_async.types.statuses import (
    RUNNING_STATUSES,
    TERMINAL_STATUSES,
    UNKNOWN_STATUS_PATIENCE,
    TaskStatus,
    task_status,
)
from rebyte_async.types.tasks import Task, TaskContent

_MIN_TERMINAL_READS = 3
"""Reads of the task in a row that must say that the turn has ended before an empty stream is believed.

Right after a prompt was submitted the task may still show the status of the turn before.
"""
_MAX_UNKNOWN_READS = round(UNKNOWN_STATUS_PATIENCE / act.PAUSE)
"""Reads in a row of a task that doesn't have the turn, or with an unknown status, before the stream is given up."""
_MIN_QUIET_READS = 2  # reads of all delegations in a row that must bring nothing new before the stream ends


class Phase(Enum):
    """The phases of a stream."""

    FOLLOWING = "reads events while the turn makes them"
    VERIFYING = "was idle: reads the task before anything else"
    DRAINING = "the turn has ended: reads the stream again until the tail is complete"
    READING_CONTENT = "the stream hasn't brought the tail, or can't any more: reads it from the task's content"
    FINISHING = "has all events: reads the last of the delegations, and the final result"
    ENDED = "`done` is set; nothing more is sent"


class Finding(Enum):
    """The facts that move a stream from one phase to another."""

    IDLE = "nothing came for the idle timeout"
    RUNNING = "the task says that the turn is running"
    TURN_ENDED = "a done frame or the task says that the turn has ended"
    SUPERSEDED = "a later turn has taken the stream over"
    EMPTY = "the turn has ended without any event"
    TAIL_MISSING = "the tail isn't complete, or not certain to be: it is looked for in the other place"
    NOTHING_MISSING = "the tail is complete, or as complete as stream and content have it"
    RESULT_KNOWN = "the final result is known"


TRANSITIONS = {
    (Phase.FOLLOWING, Finding.IDLE): Phase.VERIFYING,
    (Phase.FOLLOWING, Finding.RUNNING): Phase.FOLLOWING,
    (Phase.FOLLOWING, Finding.TURN_ENDED): Phase.DRAINING,
    (Phase.FOLLOWING, Finding.SUPERSEDED): Phase.READING_CONTENT,
    (Phase.FOLLOWING, Finding.EMPTY): Phase.READING_CONTENT,
    (Phase.VERIFYING, Finding.RUNNING): Phase.FOLLOWING,
    (Phase.VERIFYING, Finding.TURN_ENDED): Phase.DRAINING,
    (Phase.DRAINING, Finding.TURN_ENDED): Phase.DRAINING,
    (Phase.DRAINING, Finding.SUPERSEDED): Phase.READING_CONTENT,
    (Phase.DRAINING, Finding.TAIL_MISSING): Phase.READING_CONTENT,
    (Phase.DRAINING, Finding.NOTHING_MISSING): Phase.FINISHING,
    (Phase.READING_CONTENT, Finding.TAIL_MISSING): Phase.DRAINING,
    (Phase.READING_CONTENT, Finding.NOTHING_MISSING): Phase.FINISHING,
    (Phase.FINISHING, Finding.RESULT_KNOWN): Phase.ENDED,
}
"""Every transition there is; a finding that a phase doesn't know is a mistake in this package, and a `KeyError`.

docs/design.md draws them, and a test compares the two.
"""


@define(eq=False, repr=False, weakref_slot=False)
class CompletionDetector:
    """The phase of a stream, and the rules by which it changes."""

    _turn: TurnState  # only looked at
    phase: Phase = field(default=Phase.FOLLOWING, init=False)  # what the stream is doing
    done: Done | None = field(default=None, init=False)  # the end of the turn, once the phase is `ENDED`
    # In a row, without a new event between them:
    _terminal_reads: int = field(default=0, init=False)
    _unknown_reads: int = field(default=0, init=False)
    _quiet_reads: int = field(default=0, init=False)
    _drain: DrainPolicy | None = field(default=None, init=False)  # once the end was reported, or the content read
    _is_content_read: bool = field(default=False, init=False)  # since the drain policy decided last
    _is_superseded: bool = field(default=False, init=False)  # whether the stream is a later turn's for good
    _content_error: RebyteError | None = field(default=None, init=False)
    _end: Done | None = field(default=None, init=False)  # from FINISHING on

    @property
    def is_reading(self) -> bool:
        """Whether the phase reads the stream: in any other, what it still brings is left unread."""
        return self.phase in (Phase.FOLLOWING, Phase.DRAINING)

    def on_progress(self) -> None:
        """Restart the counts of reads in a row: new events have come."""
        self._terminal_reads = self._unknown_reads = self._quiet_reads = 0

    def next_action(self) -> Action | None:
        """Return the action that the phase requires by itself; None where the stream is to be read."""
        if self.phase is Phase.VERIFYING:
            return act.ReadTask(partial(self._on_task, CONTINUE))
        if self.phase is Phase.READING_CONTENT:
            return act.LeaveStream(self._read_tail())
        if self._end is not None:
            return self._finish(self._end)
        return None

    def _move(self, finding: Finding) -> None:
        self.phase = TRANSITIONS[self.phase, finding]

    def on_done_frame(self, done: Done) -> Action:
        """Judge a done frame: the end of the turn, that of another turn, or of nothing (contract §4.3-5, §4.8)."""
        if done.status not in TERMINAL_STATUSES:
            return act.ReadTask(partial(self._on_task_after_unknown_word, done))
        if self._turn.saw_turn_event:
            if done.status == TaskStatus.COMPLETED and not done.final_result and self._drain is None:
                return act.ReadResult(partial(self._on_result_after_done, done))
            return self._on_turn_ended(done, is_certain=True)
        is_empty = not done.final_result and (done.last_seq is None or done.last_seq < 0)
        if is_empty or self._turn.foreign_prompt_id is not None:
            return act.ReadTask(self._on_empty_connection)
        return act.ReadTask(partial(self._on_task_after_bare_done, done))

    def on_closed(self, *, has_news: bool) -> Action:
        """Judge a close without a done frame, which is normal while the turn runs (contract §4.6), or a quiet drain."""
        if not self._turn.saw_turn_event:
            return act.ReadTask(self._on_empty_connection)
        if self._drain is not None:
            return self._after_stream(self._drain)
        return act.ReadTask(partial(self._on_task, act.Wait(None) if has_news else act.Wait()))

    def on_idle(self) -> Action:
        """Have the task read: nothing came for the idle timeout."""
        self._move(Finding.IDLE)
        return CONTINUE

    def on_failed_drain(self, *, is_transient: bool) -> Action:
        """Count a try to read the tail that failed; a failure that won't pass is a reading without news."""
        drain = self._drain
        if drain is None:
            return CONTINUE
        return self._read_next(drain, drain.after_failure()) if is_transient else self._after_stream(drain)

    def on_foreign_turn(self, task: Task) -> Action:
        """Decide what another turn on the stream means: an earlier one is skipped, a later one has taken over."""
        turns = _turns_of(task)
        ours, foreign = self._turn.prompt_id, self._turn.foreign_prompt_id
        if ours in turns and foreign in turns:
            if turns.index(foreign) > turns.index(ours):
                return self._on_superseded()
        elif ours not in turns or self._status_of_turn(task) in TERMINAL_STATUSES:
            # It is open which turn is the later one, and this connection won't bring any more of ours.
            return act.LeaveStream(act.ReadTask(self._on_empty_connection))
        return CONTINUE if foreign is None else act.IgnoreTurn(foreign)

    def _on_task(self, while_running: Action, task: Task) -> Action:
        """Judge a turn by the task alone: the stream was idle, or closed without a done frame."""
        status = self._status_of_turn(task)
        if status in TERMINAL_STATUSES:
            return self._on_turn_ended(self._end_by_task(status, task), is_certain=False)
        self._move(Finding.RUNNING)
        return self._give_up_if_unknown(status) or while_running

    def _on_task_after_unknown_word(self, done: Done, task: Task) -> Action:
        """Judge a done frame whose word may be no end at all: only the task can say so."""
        status = self._status_of_turn(task)
        if status in TERMINAL_STATUSES:
            return self.on_done_frame(evolve(done, status=TaskStatus(status)))
        if not self._turn.saw_turn_event:
            return self._on_empty_connection(task)
        return self._on_task(act.Wait(), task) if self._drain is None else self._after_stream(self._drain)

    def _on_result_after_done(self, done: Done, task: Task | None) -> Action:
        return self._on_turn_ended(evolve(done, final_result=self._result_of(task)), is_certain=True)

    def _on_task_after_bare_done(self, done: Done, task: Task) -> Action:
        """Judge a done frame that says something, on a connection that showed no event."""
        if self._status_of_turn(task) in TERMINAL_STATUSES:
            return self._on_turn_ended(done, is_certain=True)
        return act.ReadTask(self._on_empty_connection)

    def _on_empty_connection(self, task: Task) -> Action:
        """Judge a connection that ended without an event of the turn, which hasn't begun to show, or shows no more."""
        status = self._status_of_turn(task)
        # Once a later turn was submitted, the stream is that turn's (contract §4.3).
        is_past = self._turn.prompt_id in _turns_of(task)[:-1]
        if is_past and (self._drain is not None or status in TERMINAL_STATUSES):
            return self._on_superseded()
        if self._drain is not None:
            return self._after_stream(self._drain)
        if status not in TERMINAL_STATUSES:
            self._terminal_reads = 0
            return self._give_up_if_unknown(status) or act.Wait()
        self._terminal_reads += 1
        if self._terminal_reads < _MIN_TERMINAL_READS:
            return act.Wait()
        return self._on_nothing_to_show(status, task)

    def _on_nothing_to_show(self, status: str, task: Task) -> Action:
        """Leave a stream that shows nothing of the turn, although the turn has ended."""
        if self._turn.foreign_prompt_id is not None:
            return self._on_superseded()
        if self._turn.delivered:  # by an earlier stream, from whose cursor this one resumes
            return self._on_turn_ended(self._end_by_task(status, task), is_certain=False)
        self._drain = DrainPolicy(evolve(self._end_by_task(status, task), last_seq=-1), is_certain=True)
        self._drain.exhaust()
        self._move(Finding.EMPTY)
        return CONTINUE

    def _status_of_turn(self, task: Task) -> str | None:
        """Return the turn's status in the task's vocabulary; None where the task doesn't have the turn (yet)."""
        ours = self._turn.prompt_id
        if ours is None or task.prompts is None:
            return task.status
        return next((task_status(prompt.status) for prompt in task.prompts if prompt.id == ours), None)

    def _give_up_if_unknown(self, status: str | None) -> act.GiveUp | None:
        """Tolerate an unknown turn or status for `_MAX_UNKNOWN_READS` reads in a row, then give up."""
        self._unknown_reads = 0 if status in RUNNING_STATUSES else self._unknown_reads + 1
        if self._unknown_reads < _MAX_UNKNOWN_READS:
            return None
        what = f"the task has no prompt {self._turn.prompt_id}"
        if status is not None:
            what = f"its status stays {status!r:.80}, which this version of rebyte-async doesn't know"
        return act.GiveUp(f"nothing new came and {what}", last_status=status)

    def _on_superseded(self) -> Action:
        self._is_superseded = True
        self._move(Finding.SUPERSEDED)
        return CONTINUE

    def _on_turn_ended(self, done: Done, *, is_certain: bool) -> Action:
        """Drain: the turn has ended, says a done frame (`is_certain`) or the task alone; its tail may be missing."""
        if self._drain is None:
            self._drain = DrainPolicy(done, is_certain)
        else:  # only a done frame reports the end again
            self._drain.add_done(done)
        self._move(Finding.TURN_ENDED)
        return self._after_stream(self._drain)

    def _after_stream(self, drain: DrainPolicy) -> Action:
        return self._read_next(drain, drain.after_stream(self._turn))

    def _after_content(self, drain: DrainPolicy) -> Action:
        if self._is_superseded:  # only the content can be read, and the tries are counted by it
            return self._after_stream(drain)
        return self._read_next(drain, drain.after_content(self._turn))

    def _read_next(self, drain: DrainPolicy, next_read: NextRead) -> Action:
        """Do what the policy of the drain decided."""
        if next_read is NextRead.NOTHING:
            return self._accept(drain)
        is_in_content = self.phase is Phase.READING_CONTENT
        if (next_read is NextRead.STREAM) == is_in_content and not self._is_superseded:
            self._move(Finding.TAIL_MISSING)
        return act.Wait() if next_read is NextRead.STREAM else CONTINUE

    def _accept(self, drain: DrainPolicy) -> Action:
        """End the turn with all that could be had, or give up if some of it is known to be missing."""
        if not drain.is_acceptable(self._turn):
            reason = "the turn has ended, but its last events came neither by the stream nor by the task's content"
            return act.GiveUp(reason, self._content_error)
        self._end = drain.done
        self._move(Finding.NOTHING_MISSING)
        return CONTINUE

    def _read_tail(self) -> Action:
        """Read the content; where a later turn has the stream, again and again, for the content can lag as well."""
        if self._drain is None:
            return act.ReadTask(self._on_task_before_content)
        if not self._is_content_read:
            return act.ReadContent(partial(self._on_content, self._drain.done.status), not self._is_superseded)
        self._is_content_read = False
        return self._after_content(self._drain)

    def _on_task_before_content(self, task: Task) -> Action:
        status = self._status_of_turn(task)
        if status in TERMINAL_STATUSES:
            return act.ReadContent(partial(self._on_content, status))
        return self._give_up_if_unknown(status) or act.Wait()

    def _on_content(self, status: str, content: TaskContent | None, cause: RebyteError | None) -> Action:
        prompts = () if content is None else content.prompts
        ours = self._turn.prompt_id or (prompts[-1].id if prompts else None)  # a stream shows the latest turn
        turn = next((turn for turn in prompts if turn.id == ours), None)
        has_events = turn is not None and turn.events is not None
        drain = self._drain
        knows_end = drain is not None and (drain.is_certain or drain.is_content_read or not self._is_superseded)
        if not (has_events or knows_end):
            return act.GiveUp("it went on to another turn, and the content doesn't say how this one ended", cause)
        if drain is None:
            lags = turn is not None and turn.status in RUNNING_STATUSES
            drain = self._drain = DrainPolicy(_end_by_status(status), is_certain=not lags)
        self._content_error = cause
        drain.add_content(turn, self._turn)
        if turn is None or turn.events is None:  # the end is known, only the tail may be missing
            return self._after_content(drain)
        self._is_content_read = True
        return act.InjectTail(turn)

    def _finish(self, end: Done) -> Action:
        """Read the last of the delegations, then find the final result."""
        if self._turn.subprompts and self._quiet_reads < _MIN_QUIET_READS:
            return act.ReadSubPrompts(self._on_subprompts)
        return self._on_result(end, None) if end.final_result else act.ReadResult(partial(self._on_result, end))

    def _on_subprompts(self) -> Action:
        self._quiet_reads += 1
        return act.Wait(is_deferred=True) if self._quiet_reads < _MIN_QUIET_READS else CONTINUE

    def _on_result(self, end: Done, task: Task | None) -> Action:
        """End the stream, with the final result of the done frame or content, else the task's, else the last text."""
        final_result = end.final_result or self._result_of(task) or self._turn.final_text
        has_content = self._drain is not None and self._drain.has_content
        is_known = bool(final_result) or has_content or self._turn.tail.has_final_text
        if end.status == TaskStatus.COMPLETED and not is_known:
            return act.GiveUp("the turn has ended, but its final result is nowhere to be had", self._content_error)
        self.done = Done(status=end.status, last_seq=end.last_seq, final_result=final_result)
        self._move(Finding.RESULT_KNOWN)
        return CONTINUE

    def _result_of(self, task: Task | None) -> str:
        """Return the final result that the task has for the turn. A task has one: that of its last turn."""
        if task is None:
            return ""
        is_last = not task.prompts or self._turn.prompt_id in {None, task.prompts[-1].id}
        return (is_last and task.final_result) or ""

    def _end_by_task(self, status: str, task: Task) -> Done:
        """Make the end of a turn of which only the task is known."""
        return evolve(_end_by_status(status), final_result=self._result_of(task))


def _turns_of(task: Task) -> list[str]:
    return [prompt.id for prompt in task.prompts or ()]


def _end_by_status(status: str) -> Done:
    """Make the end of a turn of which only the status is known."""
    return Done(status=TaskStatus(status), last_seq=None, final_result="")
