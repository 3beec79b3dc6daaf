"""Whether a turn has ended, and with what: the ends that a stream shows are true, early, empty or another turn's.

An `Ending` looks at what a stream's intake says of its end, and asks the task and its content where that leaves a
doubt. Every step leaves a state that the next one can go on from, so a cancelled step loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from rebyte_async._retry import backoff, is_transient
from rebyte_async.errors import APIError, DecodeError, RebyteError, StreamInterruptedError, TransportError
from rebyte_async.streams._turn import Drain
from rebyte_async.types.events import Done
from rebyte_async.types.statuses import TERMINAL_STATUSES, TaskStatus, task_status

if TYPE_CHECKING:
    from rebyte_async.streams._connection import Connection
    from rebyte_async.streams._intake import Intake
    from rebyte_async.types.tasks import PromptContent, Task

__all__ = ["PAUSE", "Ending"]

PAUSE = 1.0
"""Seconds before the next look at a turn that has nothing to show yet, or whose tail is missing (contract §4.4, 5)."""
_SURE = 3
"""Reads in a row that must say that a turn has ended before an empty stream is believed."""
_PATIENCE = 15
"""Looks in a row at a task that doesn't know the followed prompt, or has an unknown status, before giving up."""
_MAX_QUIET = 2
"""Reads of all delegations in a row that must bring nothing new before the end of a turn."""
_UNDER_WAY = frozenset({"running", "pending", "queued", "processing"})


class Ending:
    """What is known of the end of a turn."""

    __slots__ = (
        "_connection",
        "_drain",
        "_end",
        "_intake",
        "_passed_by",
        "_quiet",
        "_strange",
        "_sure",
        "_tail_read",
        "done",
        "in_doubt",
    )

    def __init__(self, connection: Connection, intake: Intake) -> None:
        self._connection = connection
        self._intake = intake
        self._sure = self._strange = self._quiet = 0  # in a row, without a new event between them
        self.in_doubt = False
        """Whether to look at the task before connecting again."""
        self._passed_by = False  # whether the stream has gone on to a later turn
        self._tail_read = False  # whether the content was read since the last decision
        self._drain: Drain | None = None
        self._end: Done | None = None  # the end, when only the delegations and the answer are to be read
        self.done: Done | None = None
        """The end of the turn, once it has been reached."""

    @property
    def is_near(self) -> bool:
        """Whether the turn is said to have ended, so that its stream is read for the tail alone."""
        return self._drain is not None

    @property
    def is_draining(self) -> bool:
        """Whether what is missing is the tail on the stream."""
        return self._drain is not None and self._end is None and not self._passed_by

    def news(self) -> None:
        """Note that new events have come: what was in a row begins again."""
        self._sure = self._strange = self._quiet = 0

    async def step(self) -> bool:
        """Make a step towards the end, if there is one to make.

        Raises:
            StreamInterruptedError: The stream is given up.
            TransportError, APIError: A read failed.
        """
        if self._end is not None:
            await self._finish(self._end)
        elif self._passed_by:
            await self._read_tail()
        elif self._intake.unsorted:
            await self._sort_out()
        elif self._intake.reported is not None:
            await self._judge(self._intake.reported)
        elif self.in_doubt:
            await self._look()
        else:
            return False
        return True

    # --- Ends, true and false ------------------------------------------------------------------------------------

    async def _judge(self, done: Done) -> None:
        """A done frame: the turn's end, or that of another turn, or of nothing at all."""
        intake = self._intake
        intake.reported = None
        self._connection.close()
        empty = not done.final_result and (done.last_seq is None or done.last_seq < 0)
        if not intake.brought and (empty or intake.other is not None or not await self._has_ended()):
            await self._nothing_came()
        else:
            await self._has_come(done, certain=True)

    async def _has_ended(self) -> bool:
        return self._status(await self._task()) in TERMINAL_STATUSES

    async def closed(self, *, had_news: bool) -> None:
        """The connection was closed in an orderly way, without a done: normal while the turn runs.

        Args:
            had_news: Whether it had brought a new event.
        """
        self._connection.close()
        if not self._intake.brought:
            await self._nothing_came()
            return
        if self._drain is not None:
            await self.again()
            return
        await self._look()
        if self._drain is None:
            source = self._connection.source
            await self._connection.wait(backoff(source.retry, 1, source.time.rng) if had_news else PAUSE)

    async def _look(self) -> None:
        """See whether the turn has ended, where the stream hasn't said so."""
        status = self._status(await self._task())
        self.in_doubt = False
        if status in TERMINAL_STATUSES:
            await self._has_come(Done(status=TaskStatus(status), last_seq=None, final_result=""), certain=False)
        else:
            self._doubt(status)

    async def _nothing_came(self) -> None:
        """A connection ended without anything of the turn: it hasn't begun to show, or has shown everything."""
        task = await self._task()
        status = self._status(task)
        if self._is_past(task) and (self._drain is not None or status in TERMINAL_STATUSES):
            self._passed_by = True
            return
        if self._drain is not None:
            await self.again()
            return
        if status not in TERMINAL_STATUSES:
            self._sure = 0
            self._doubt(status)
            await self._connection.wait(PAUSE)
            return
        self._sure += 1
        if self._sure < _SURE:
            await self._connection.wait(PAUSE)
        elif self._intake.other is not None:
            self._passed_by = True
        elif self._intake.seen:
            await self._has_come(Done(status=TaskStatus(status), last_seq=None, final_result=""), certain=False)
        else:
            self._end = Done(status=TaskStatus(status), last_seq=-1, final_result="")

    async def _task(self) -> Task:
        try:
            return await self._connection.source.task()
        except DecodeError as error:
            failure = error
        raise TransportError(f"the task can't be read: {failure}", method="GET") from failure

    def _status(self, task: Task) -> str | None:
        """The turn's status in the task's vocabulary; None where the task doesn't know the turn (yet)."""
        ours = self._intake.prompt_id
        if ours is None or task.prompts is None:
            return task.status
        return next((task_status(prompt.status) for prompt in task.prompts if prompt.id == ours), None)

    def _is_past(self, task: Task) -> bool:
        """Whether a later turn has been submitted, which is the one that the stream is for from then on."""
        turns = [prompt.id for prompt in task.prompts or ()]
        return self._intake.prompt_id in turns[:-1]

    def _doubt(self, status: str | None) -> None:
        """Bear a turn that the task doesn't know, or a status that nobody knows, for a while."""
        self._strange = 0 if status in _UNDER_WAY else self._strange + 1
        if self._strange >= _PATIENCE:
            unknown = f"the task has no prompt {self._intake.prompt_id}"
            what = unknown if status is None else f"its status is {status!r}"
            raise self._intake.interrupted(f"nothing new came and {what}")

    async def _has_come(self, done: Done, *, certain: bool) -> None:
        """The turn has ended; its tail may be missing."""
        if self._drain is None:
            self._drain = Drain(done, certain=certain)
        elif certain:
            self._drain.done, self._drain.certain = done, True
        await self.again()

    async def drained(self) -> None:
        """A try to read the tail ended in silence."""
        self._connection.close()
        if self._intake.brought:
            await self.again()
        else:
            await self._nothing_came()

    async def again(self, *, failed: bool = False) -> None:
        """Decide whether to read the tail once more, and wait before that.

        Args:
            failed: Whether the last try failed on the way.
        """
        drain = self._drain
        if drain is None:
            return
        if drain.again(self._intake.turn, self._intake.events_seen, failed=failed):
            await self._connection.wait(PAUSE)
        else:
            self._end = drain.done

    async def _finish(self, done: Done) -> None:
        """Take the last of the delegations, find the answer, and end."""
        subs = self._intake.subs
        if subs and self._quiet < _MAX_QUIET:
            self._intake.bring(await subs.read(every=True))
            self._quiet += 1
            if self._quiet < _MAX_QUIET:
                self._connection.rest_later(PAUSE)  # what was read is given out before the wait
            return
        final_result = done.final_result or await self._final_result() or self._intake.last_block
        self._connection.close()
        self.done = Done(status=done.status, last_seq=done.last_seq, final_result=final_result)

    async def _final_result(self) -> str:
        """The task's own answer, where the task's last turn is ours."""
        try:
            task = await self._connection.source.task()
        except RebyteError:
            return ""
        ours = not task.prompts or self._intake.prompt_id in {None, task.prompts[-1].id}
        return (ours and task.final_result) or ""

    # --- Another turn on the stream ------------------------------------------------------------------------------

    async def _sort_out(self) -> None:
        """See whether the turn that the stream shows is later than ours, which then has ended."""
        task = await self._task()
        turns = [prompt.id for prompt in task.prompts or ()]
        intake = self._intake
        other, ours = intake.other, intake.prompt_id
        intake.unsorted = False
        if other in turns and ours in turns:
            self._passed_by = turns.index(other) > turns.index(ours)
        elif ours not in turns or self._status(task) in TERMINAL_STATUSES:
            self._leave()
            await self._nothing_came()
            return
        if other is not None and not self._passed_by:
            intake.passed_over |= {other}

    def _leave(self) -> None:
        """Close the connection, and leave what it has brought unread."""
        self._connection.close()
        self._connection.frames.clear()

    async def _read_tail(self) -> None:
        """Take the tail of a turn that the stream has left from the task's content, and again until it is whole."""
        self._leave()
        if self._tail_read and self._drain is not None:
            self._tail_read = False
            await self.again()
            return
        status = self._status(await self._task())
        if status not in TERMINAL_STATUSES:
            self._doubt(status)
            await self._connection.wait(PAUSE)
            return
        try:
            tail = await self._content()
        except StreamInterruptedError:
            if self._drain is None or not self._drain.certain:
                raise
            await self.again()
            return
        self._take_tail(tail, TaskStatus(status))

    def _take_tail(self, tail: PromptContent, status: TaskStatus) -> None:
        self._intake.turn.restart()
        self._intake.bring((event, "") for event in tail.events or ())
        answer = tail.response or ""
        if self._drain is None:
            self._drain = Drain(Done(status=status, last_seq=None, final_result=answer), certain=True)
        elif not self._drain.done.final_result:
            self._drain.done = evolve(self._drain.done, final_result=answer)
        self._tail_read = True

    async def _content(self) -> PromptContent:
        """What the content says of our turn. Without it nobody knows what the turn's tail was."""
        cause: RebyteError | None = None
        try:
            content = await self._connection.source.content()
        except DecodeError as error:
            cause = error
        except APIError as error:
            if is_transient(self._connection.source.retry, error):
                raise
            cause = error
        else:
            for prompt in content.prompts:
                if prompt.id == self._intake.prompt_id and prompt.events is not None:
                    return prompt
        why = "it went on to another turn, and the content doesn't tell how this one ended"
        raise self._intake.interrupted(why) from cause
