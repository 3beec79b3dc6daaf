"""Following one turn of a task to its end: the decisions of a stream, without its public face.

`next_event` takes from what has come; `advance` makes one step to get more: connect, read, wait, or look up what an
odd end means. Every step leaves a state that the next one can go on from, so a cancelled step loses nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, NoReturn

from attrs import evolve

from rebyte_async import _json
from rebyte_async._events import decode_done, decode_event, event_from_mapping
from rebyte_async._retry import backoff
from rebyte_async.errors import (
    APIError,
    DecodeError,
    NotFoundError,
    RateLimitedError,
    RebyteError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    TransportError,
)
from rebyte_async.streams._connection import Connection
from rebyte_async.streams._cursor import Place, write_cursor
from rebyte_async.streams._subprompts import SubPrompts
from rebyte_async.streams._text import TextAssembler
from rebyte_async.streams._turn import Drain, Turn
from rebyte_async.streams.reads import read_content, read_task
from rebyte_async.types.events import Done, ToolResultEvent, ToolUseEvent
from rebyte_async.types.results import TaskResult
from rebyte_async.types.statuses import TERMINAL_STATUSES, TaskStatus, task_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rebyte_async._transport import Transport
    from rebyte_async.types.content import PromptContent
    from rebyte_async.types.events import TaskEvent
    from rebyte_async.types.tasks import Task

__all__ = ["Follower"]

_log = logging.getLogger("rebyte_async")
_PAUSE = 1.0
"""Seconds before the next look at a turn that has nothing to show yet, or whose tail is missing (contract §4.4, 5)."""
_DRAIN_SILENCE = 5.0
"""Seconds of silence that end a try to read the tail of a turn: a replay comes at once."""
_SURE = 3
"""Reads in a row that must say that a turn has ended before an empty stream is believed."""
_PATIENCE = 15
"""Looks in a row at a task that doesn't know the followed prompt, or has an unknown status, before giving up."""
_MAX_IDLE = 2
"""Silent periods in a row, nothing new between them, after which a stream is given up."""
_MAX_QUIET = 2
"""Reads of all delegations in a row that must bring nothing new before the end of a turn."""
_UNNAMED = "message"
_DELEGATING = (ToolUseEvent, ToolResultEvent)
_UNDER_WAY = frozenset({"running", "pending", "queued", "processing"})
_NONE: frozenset[str] = frozenset()


class Follower:
    """The state of following a turn."""

    __slots__ = (
        "_announced",
        "_before",
        "_brought",
        "_connection",
        "_drain",
        "_ending",
        "_failures",
        "_forgive_until",
        "_heard",
        "_idle",
        "_in_doubt",
        "_news",
        "_other",
        "_passed_by",
        "_passed_over",
        "_place",
        "_quiet",
        "_ready",
        "_reported",
        "_rested_at",
        "_sleep",
        "_steady",
        "_strange",
        "_subs",
        "_sure",
        "_tail_read",
        "_task_id",
        "_transport",
        "_turn",
        "_unsorted",
        "_words",
        "done",
        "events_seen",
        "piece",
    )

    def __init__(
        self,
        transport: Transport,
        task_id: str,
        place: Place,
        *,
        idle_timeout: float,
        follow_subprompts: bool,
        forgive_until: float,
    ) -> None:
        self._transport = transport
        self._task_id = task_id
        self._sleep = transport.gate.sleep
        self._connection = Connection(transport, task_id, idle_timeout)
        self._forgive_until = forgive_until
        self._turn = Turn()
        self._subs = SubPrompts(transport, task_id) if follow_subprompts else None
        self._ready: deque[tuple[TaskEvent, str]] | None = None  # from elsewhere than the stream, with their sub-prompt
        self._place = place
        self._words = TextAssembler()
        self._announced = _NONE  # the sub-prompts that the turn's tool calls speak of
        # Of this connection:
        self._brought = False  # whether it has brought an event of the turn, new or replayed
        self._before = 0  # how many events had been given out when it was made
        self._other: str | None = None  # another turn that it shows
        self._unsorted = False  # whether it is open if that one is earlier or later than ours
        self._passed_over = _NONE  # what it shows that isn't ours and may be skipped
        self._reported: Done | None = None  # its done frame
        self._steady = False  # whether it brings something, and nothing is to be done but to read it
        self._heard = 0.0  # when it was made or brought an event; kept near the end alone
        # In a row, without a new event between them:
        self._news = 0  # how many events had been given out when these began
        self._failures = self._idle = self._sure = self._strange = self._quiet = 0
        self._rested_at = 0.0  # when the wait before the next step is over, also one that was cancelled
        # Near the end:
        self._in_doubt = False  # whether to look at the task before connecting again
        self._passed_by = False  # whether the stream has gone on to a later turn
        self._tail_read = False  # whether the content was read since the last decision
        self._drain: Drain | None = None
        self._ending: Done | None = None
        self.piece = ""
        """What the last event added to the text."""
        self.events_seen = 0
        """How many events were given out."""
        self.done: Done | None = None
        """The end of the turn, once it has been reached."""

    @property
    def prompt_id(self) -> str | None:
        """The turn that is followed, once it is known."""
        return self._place.prompt_id

    @property
    def is_connected(self) -> bool:
        """Whether there is an open connection."""
        return self._connection.is_open

    @property
    def reconnects(self) -> int:
        """Connects after the first."""
        return max(0, self._connection.connects - 1)

    @property
    def cursor(self) -> str:
        """The place after the last event that was given out."""
        return write_cursor(self._task_id, self._place)

    @property
    def result(self) -> TaskResult:
        """What there is of the turn."""
        return TaskResult(
            task_id=self._task_id,
            status=task_status(self.done.status) if self.done else None,
            final_result=self.done.final_result if self.done else "",
            text=self._words.text,
            events_seen=self.events_seen,
        )

    def close(self) -> None:
        """Close the connection. What has come and was not given out is left out of the cursor too."""
        self._connection.close()

    # --- What has come -------------------------------------------------------------------------------------------

    def next_event(self) -> TaskEvent | None:
        """The next new event out of what has come, or None when more must be got.

        Raises:
            DecodeError: A frame is no JSON object with an event type.
        """
        while self._ready:
            event, sub_prompt = self._ready.popleft()
            if self._take(event, sub_prompt, aside=True):
                return event
        frames = self._connection.frames
        while frames and self._reported is None and not self._unsorted:
            name, data, _ = frames.pop()
            if name == "done":
                self._reported = decode_done(data)
                return None
            found = decode_event(data) if name == "event" else _odd_event(name, data)
            if found is not None and self._take(found, self._sub_prompt(found)):
                return found
        return None

    def _sub_prompt(self, event: TaskEvent) -> str | None:
        """The sub-prompt that an event of the stream belongs to; nothing for the turn itself, None for neither."""
        prompt_id, ours = event.prompt_id, self._place.prompt_id
        if prompt_id == ours or prompt_id is None:
            return ""
        if ours is None:
            self._place = Place(prompt_id, self._place.seen)
            return ""
        if prompt_id in self._announced:
            return prompt_id
        self._other = prompt_id
        self._unsorted = prompt_id not in self._passed_over
        return None

    def _take(self, event: TaskEvent, sub_prompt: str | None, *, aside: bool = False) -> bool:
        """Note an event of the turn, or of a sub-prompt of it; whether it is new."""
        if sub_prompt is None:
            return False
        is_new = self._place.seen.add(event, sub_prompt, aside=aside)
        if not sub_prompt:
            self._brought = True
            self._turn.observe(event, is_new=is_new)
        if isinstance(event, _DELEGATING):  # replayed ones too: behind a cursor nobody else knows of them
            self._note_delegation(event)
        if self._drain is not None:
            self._heard = self._transport.gate.clock()
        if is_new:
            self.events_seen += 1
            self.piece = "" if sub_prompt else self._words.feed(event)
        return is_new

    def _bring(self, events: Iterable[tuple[TaskEvent, str]]) -> None:
        """Have events given out that come from elsewhere than the stream: all that there are, from the first."""
        self._place.seen.restart(aside=True)
        self._ready = deque(chain(self._ready or (), events))

    @property
    def _new(self) -> bool:
        """Whether this connection has brought a new event."""
        return self.events_seen > self._before

    def _note_delegation(self, event: ToolUseEvent | ToolResultEvent) -> None:
        if event.sub_prompt_id is not None:
            self._announced |= {event.sub_prompt_id}
        if self._subs is not None:
            self._subs.note(event)

    # --- Getting more --------------------------------------------------------------------------------------------

    async def receive(self) -> bool:
        """Read more, while there is nothing else to do.

        Returns:
            Whether something came. Else a step of `advance` is due, also where reading failed: it fails again there.

        Raises:
            EventTooLargeError: An event is larger than the parser takes.
        """
        if not self._steady or self._reported is not None or self._unsorted or self._subs:
            return False
        try:
            return await self._connection.read() is True
        except TransportError:
            return False

    async def advance(self) -> None:
        """Make one step towards the next event or the end.

        Raises:
            StreamInterruptedError: The stream is given up.
            APIError: The server refuses for good.
            EventTooLargeError: An event is larger than the parser takes.
        """
        self._steady = False
        if (left := self._rested_at - self._transport.gate.clock()) > 0:
            await self._rest(left)
        if self.events_seen > self._news:
            self._news = self.events_seen
            self._failures = self._idle = self._sure = self._strange = self._quiet = 0
        try:
            await self._step()
        except StreamInterruptedError:
            raise
        except (TransportError, APIError) as error:
            failure = error
        else:
            return
        await self._recover(failure)

    async def _rest(self, seconds: float) -> None:
        """Wait. What a cancelled wait has left is waited out before the next step: impatience spends no tries."""
        self._rested_at = self._transport.gate.clock() + seconds
        await self._sleep(seconds)
        self._rested_at = 0.0

    async def _step(self) -> None:
        if self._ending is not None:
            await self._finish(self._ending)
        elif self._passed_by:
            await self._read_tail()
        elif self._unsorted:
            await self._sort_out()
        elif self._reported is not None:
            await self._judge(self._reported)
        elif self._in_doubt:
            await self._look()
        elif not self._connection.is_open:
            await self._connect()
        else:
            await self._read()

    async def _connect(self) -> None:
        self._brought, self._before = False, self.events_seen
        self._other, self._unsorted = None, False
        self._passed_over = _NONE
        self._place.seen.restart()
        self._turn.restart()
        self._heard = self._transport.gate.clock()
        try:
            await self._connection.open(whole=self._place.seen.has_nameless)
        except RequestTimeoutError as error:
            await self._silent(error)

    async def _read(self) -> None:
        try:
            more = await self._connection.read(self._limit())
        except RequestTimeoutError as error:
            await self._silent(error)
            return
        self._steady = more is True and self._drain is None
        if more is False:
            await self._closed_without_done()
        elif more is None and self._drain is not None:
            await self._drained(self._drain)
        elif more is None and self._subs is not None:
            await self._read_subprompts(self._subs)

    def _limit(self) -> float | None:
        """Seconds to wait for the stream before something else is due; None where nothing is."""
        if self._drain is not None:
            return max(0.0, self._heard + _DRAIN_SILENCE - self._transport.gate.clock())
        return None if self._subs is None else self._subs.due_in()

    async def _read_subprompts(self, subs: SubPrompts) -> None:
        try:
            self._bring(await subs.read())
        except (TransportError, ServerError, RateLimitedError) as error:
            _log.debug("the sub-prompts of task %s: %s; the next read comes", self._task_id, error)

    async def _recover(self, error: APIError | TransportError) -> None:
        """Go on after a failure, or raise it, or give up."""
        self._connection.close()
        if isinstance(error, NotFoundError) and self._transport.gate.clock() < self._forgive_until:
            await self._rest(_PAUSE)
        elif self._drain is not None and self._ending is None and not self._passed_by:
            await self._again(self._drain, failed=not isinstance(error, APIError) or self._is_transient(error))
        elif isinstance(error, APIError) and not self._is_transient(error):
            raise error
        else:
            await self._failed(error)

    def _is_transient(self, error: APIError) -> bool:
        longest = self._transport.retry.max_retry_after
        return isinstance(error, ServerError | RateLimitedError) and (error.retry_after or 0) <= longest

    async def _failed(self, error: APIError | TransportError) -> None:
        policy = self._transport.retry
        self._failures = 0 if self._new else self._failures + 1
        self._before = self.events_seen
        if self._failures >= policy.max_attempts:
            self._give_up(f"{self._failures} connections in a row brought nothing new; the last: {error}", error)
        asked = (isinstance(error, APIError) and error.retry_after) or 0.0
        wished = min((self._connection.retry or 0) / 1000, policy.max_delay)
        await self._rest(max(asked, wished, backoff(policy, max(1, self._failures), self._transport.gate.rng)))

    async def _silent(self, error: RequestTimeoutError) -> None:
        """Nothing came for the idle timeout: look at the task and connect again, once."""
        self._connection.close()
        if self._drain is not None:
            await self._drained(self._drain)
            return
        self._idle += 1
        if self._idle >= _MAX_IDLE:
            self._give_up(f"silent for {_MAX_IDLE} idle timeouts in a row", error)
        self._in_doubt = True

    def _give_up(self, why: str, cause: BaseException | None = None) -> NoReturn:
        raise StreamInterruptedError(
            f"the stream of task {self._task_id} was given up before its end: {why}",
            task_id=self._task_id,
            cursor=self.cursor if self._place.seen else None,
            result=self.result,
            attempts=self._connection.connects,
        ) from cause

    async def _task(self) -> Task:
        try:
            return await read_task(self._transport, self._task_id)
        except DecodeError as error:
            failure = error
        raise TransportError(f"the task can't be read: {failure}", method="GET") from failure

    # --- Ends, true and false ------------------------------------------------------------------------------------

    async def _judge(self, done: Done) -> None:
        """A done frame: the turn's end, or that of another turn, or of nothing at all."""
        self._reported = None
        self._connection.close()
        empty = not done.final_result and (done.last_seq is None or done.last_seq < 0)
        if not self._brought and (empty or self._other is not None or not await self._has_ended()):
            await self._nothing_came()
        else:
            await self._end(done, certain=True)

    async def _has_ended(self) -> bool:
        return self._status(await self._task()) in TERMINAL_STATUSES

    async def _closed_without_done(self) -> None:
        """The connection was closed in an orderly way: normal while the turn runs."""
        self._connection.close()
        if not self._brought:
            await self._nothing_came()
            return
        if self._drain is not None:
            await self._again(self._drain)
            return
        await self._look()
        if self._drain is None:
            await self._rest(backoff(self._transport.retry, 1, self._transport.gate.rng) if self._new else _PAUSE)

    async def _look(self) -> None:
        """See whether the turn has ended, where the stream hasn't said so."""
        status = self._status(await self._task())
        self._in_doubt = False
        if status in TERMINAL_STATUSES:
            await self._end(Done(status=TaskStatus(status), last_seq=None, final_result=""), certain=False)
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
            await self._again(self._drain)
            return
        if status not in TERMINAL_STATUSES:
            self._sure = 0
            self._doubt(status)
            await self._rest(_PAUSE)
            return
        self._sure += 1
        if self._sure < _SURE:
            await self._rest(_PAUSE)
        elif self._other is not None:
            self._passed_by = True
        elif self._place.seen:
            await self._end(Done(status=TaskStatus(status), last_seq=None, final_result=""), certain=False)
        else:
            self._ending = Done(status=TaskStatus(status), last_seq=-1, final_result="")

    def _status(self, task: Task) -> str | None:
        """The turn's status in the task's vocabulary; None where the task doesn't know the turn (yet)."""
        if self.prompt_id is None or task.prompts is None:
            return task.status
        return next((task_status(prompt.status) for prompt in task.prompts if prompt.id == self.prompt_id), None)

    def _is_past(self, task: Task) -> bool:
        """Whether a later turn has been submitted, which is the one that the stream is for from then on."""
        turns = [prompt.id for prompt in task.prompts or ()]
        return self.prompt_id in turns[:-1]

    def _doubt(self, status: str | None) -> None:
        """Bear a turn that the task doesn't know, or a status that nobody knows, for a while."""
        self._strange = 0 if status in _UNDER_WAY else self._strange + 1
        if self._strange >= _PATIENCE:
            what = f"the task has no prompt {self.prompt_id}" if status is None else f"its status is {status!r}"
            self._give_up(f"nothing new came and {what}")

    async def _end(self, done: Done, *, certain: bool) -> None:
        """The turn has ended; its tail may be missing."""
        if self._drain is None:
            self._drain = Drain(done, certain=certain)
        elif certain:
            self._drain.done, self._drain.certain = done, True
        await self._again(self._drain)

    async def _drained(self, drain: Drain) -> None:
        """A try to read the tail ended in silence."""
        self._connection.close()
        if self._brought:
            await self._again(drain)
        else:
            await self._nothing_came()

    async def _again(self, drain: Drain, *, failed: bool = False) -> None:
        if drain.again(self._turn, self.events_seen, failed=failed):
            await self._rest(_PAUSE)
        else:
            self._ending = drain.done

    async def _finish(self, done: Done) -> None:
        """Take the last of the delegations, find the answer, and end."""
        if self._subs and self._quiet < _MAX_QUIET:
            self._bring(await self._subs.read(every=True))
            self._quiet += 1
            if self._quiet < _MAX_QUIET:
                self._rested_at = self._transport.gate.clock() + _PAUSE  # what was read is given out before the wait
            return
        final_result = done.final_result or await self._final_result() or self._words.last_block
        self._connection.close()
        self.done = Done(status=done.status, last_seq=done.last_seq, final_result=final_result)

    async def _final_result(self) -> str:
        """The task's own answer, where the task's last turn is ours."""
        try:
            task = await read_task(self._transport, self._task_id)
        except RebyteError:
            return ""
        ours = not task.prompts or self.prompt_id in {None, task.prompts[-1].id}
        return (ours and task.final_result) or ""

    # --- Another turn on the stream ------------------------------------------------------------------------------

    async def _sort_out(self) -> None:
        """See whether the turn that the stream shows is later than ours, which then has ended."""
        task = await self._task()
        turns = [prompt.id for prompt in task.prompts or ()]
        other, ours = self._other, self.prompt_id
        self._unsorted = False
        if other in turns and ours in turns:
            self._passed_by = turns.index(other) > turns.index(ours)
        elif ours not in turns or self._status(task) in TERMINAL_STATUSES:
            self._connection.close()
            self._connection.frames.clear()
            await self._nothing_came()
            return
        if other is not None and not self._passed_by:
            self._passed_over |= {other}

    async def _read_tail(self) -> None:
        """Take the tail of a turn that the stream has left from the task's content, and again until it is whole."""
        self._connection.close()
        self._connection.frames.clear()
        if self._tail_read and self._drain is not None:
            self._tail_read = False
            await self._again(self._drain)
            return
        status = self._status(await self._task())
        if status not in TERMINAL_STATUSES:
            self._doubt(status)
            await self._rest(_PAUSE)
            return
        try:
            tail = await self._content()
        except StreamInterruptedError:
            if self._drain is None or not self._drain.certain:
                raise
            await self._again(self._drain)
            return
        self._turn.restart()
        self._bring((event, "") for event in tail.events or ())
        answer = tail.response or ""
        if self._drain is None:
            self._drain = Drain(Done(status=TaskStatus(status), last_seq=None, final_result=answer), certain=True)
        elif not self._drain.done.final_result:
            self._drain.done = evolve(self._drain.done, final_result=answer)
        self._tail_read = True

    async def _content(self) -> PromptContent:
        """What the content says of our turn. Without it nobody knows what the turn's tail was."""
        cause: RebyteError | None = None
        try:
            content = await read_content(self._transport, self._task_id, include_events=True)
        except DecodeError as error:
            cause = error
        except APIError as error:
            if self._is_transient(error):
                raise
            cause = error
        else:
            for prompt in content.prompts:
                if prompt.id == self.prompt_id and prompt.events is not None:
                    return prompt
        self._give_up("it went on to another turn, and the content doesn't tell how this one ended", cause)


def _odd_event(name: str, data: str) -> TaskEvent | None:
    """Read a frame of another name. One with a name of its own, such as a ping, needn't be an event (unknown)."""
    try:
        return decode_event(data)
    except DecodeError:
        if name == _UNNAMED:
            raise
    if name != "error":
        return None
    try:
        payload = _json.loads(data)
    except ValueError:
        payload = data
    if not isinstance(payload, dict):
        payload = {"message": str(payload)}
    return event_from_mapping({"eventType": "error", "payload": payload})
