"""The phases of a stream: the rules by themselves, and whole streams over a source without a socket."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from rebyte_async import RetryPolicy, errors
from rebyte_async._clock import Time
from rebyte_async._wire.models import decode, decode_items
from rebyte_async.sse import ServerSentEvent
from rebyte_async.streams import TaskEventStream
from rebyte_async.streams import _actions as act
from rebyte_async.streams._completion import TRANSITIONS, CompletionDetector, Finding, Phase
from rebyte_async.streams._dedup import DeliveredSet
from rebyte_async.streams._turn import TurnState
from rebyte_async.types import Done, Task, TaskContent, TaskEvent, TaskStatus
from support.clients import SkippedTime
from support.task_server import TASK_ID, done, event, text, tool_use

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
EARLY = Done(status=TaskStatus.COMPLETED, last_seq=5, final_result="")
WHOLE = Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="Hello")
EMPTY = Done(status=TaskStatus.COMPLETED, last_seq=-1, final_result="")
END = done("succeeded", 2, "you")


# --- The rules -----------------------------------------------------------------------------------------------------


def task(status: str = "running", *turns: str, final_result: str | None = None) -> Task:
    """Return a task whose prompts all have one status."""
    spelled = status.replace("completed", "succeeded")
    prompts = [{"id": turn, "status": spelled} for turn in turns or ("p1",)]
    return decode(Task, {"id": TASK_ID, "status": status, "prompts": prompts, "finalResult": final_result})


def frames(*parts: bytes) -> list[ServerSentEvent]:
    """Return frames as a connection gives them."""
    lines = [part.decode().strip().split("\n") for part in parts]
    return [ServerSentEvent(name.removeprefix("event: "), data.removeprefix("data: "), "") for name, data in lines]


def make_detector(*parts: bytes) -> tuple[CompletionDetector, TurnState]:
    """Make a detector of the turn p1, from which these frames have come."""
    turn = TurnState(TASK_ID, "p1", DeliveredSet(), None)
    turn.add_frames(frames(*parts))
    while turn.next_event():
        pass
    return CompletionDetector(turn), turn


def carry_out(action: act.Action, found: Any) -> act.Action:
    """Give an action what it asked for, and return the next one."""
    assert isinstance(action, act.ReadTask | act.ReadResult)
    return action.then(found)


def test_the_design_page_draws_the_table_of_transitions() -> None:
    """The diagram has exactly the transitions that the code has."""
    section = DESIGN.read_text().partition("\n## How a stream reaches its end\n")[2]
    diagram = section.partition("stateDiagram-v2")[2].partition("```")[0]
    drawn = {(Phase[a], Finding[b]): Phase[c] for a, c, b in re.findall(r"(\w+) --> (\w+): (\w+)", diagram)}
    assert drawn == TRANSITIONS
    assert re.findall(r"\[\*\] --> (\w+)|(\w+) --> \[\*\]", diagram) == [("FOLLOWING", ""), ("", "ENDED")]


@pytest.mark.parametrize("start", Phase)
def test_every_phase_can_be_reached_and_leads_to_the_end(start: Phase) -> None:
    """No phase is a trap, none is out of reach, and nothing leaves the end."""
    assert start in reachable(Phase.FOLLOWING)
    assert Phase.ENDED in reachable(start)
    assert reachable(Phase.ENDED) == {Phase.ENDED}


def reachable(start: Phase) -> set[Phase]:
    """Return the phases to which transitions lead from a phase."""
    reached = {start}
    for _ in Phase:
        reached |= {there for (here, _), there in TRANSITIONS.items() if here in reached}
    return reached


def test_an_early_done_frame_drains_the_stream() -> None:
    """A done frame that announces more than has come is waited on, a second at a time, and then believed."""
    detector, _ = make_detector(text(1, "Hello"))
    for _ in range(2):
        assert detector.on_done_frame(EARLY) == act.Wait(act.PAUSE)
        assert detector.phase is Phase.DRAINING
        assert detector.next_action() is None
    assert detector.on_done_frame(EARLY) == act.CONTINUE
    assert detector.phase is Phase.FINISHING


def test_a_whole_turn_ends_without_a_read_of_the_task() -> None:
    """A done frame with a final result, after which nothing is missing, needs no further request."""
    detector, _ = make_detector(text(1, "Hello"))
    assert detector.on_done_frame(WHOLE) == act.CONTINUE
    assert detector.phase is Phase.FINISHING
    assert detector.next_action() == act.CONTINUE
    assert (detector.phase, detector.done) == (Phase.ENDED, WHOLE)


@pytest.mark.parametrize("had_news", [True, False])
def test_a_close_of_a_running_turn_is_followed_on(*, had_news: bool) -> None:
    """The phase stays, and the wait has jitter where the connection had brought something."""
    detector, _ = make_detector(text(1, "Hello"))
    assert carry_out(detector.on_closed(has_news=had_news), task("running")) == act.Wait(
        None if had_news else act.PAUSE
    )
    assert detector.phase is Phase.FOLLOWING


def test_an_idle_stream_is_verified_by_the_task() -> None:
    """The task is read before anything else, again after a failed read, and says which way it goes."""
    for status, phase in [("running", Phase.FOLLOWING), ("completed", Phase.DRAINING)]:
        detector, _ = make_detector(text(1, "Hello"))
        assert detector.on_idle() == act.CONTINUE
        for _ in range(2):  # the first read fails, so that `then` isn't called
            action = detector.next_action()
            assert detector.phase is Phase.VERIFYING
        assert action is not None
        carry_out(action, task(status))
        assert detector.phase is phase


def test_an_empty_connection_is_believed_after_three_reads_in_a_row() -> None:
    """A turn that ended without an event ends the stream only when the task says so three times in a row."""
    detector, _ = make_detector()
    statuses = ["completed", "completed", "running", "completed", "completed"]
    for status in statuses:
        assert carry_out(detector.on_done_frame(EMPTY), task(status)) == act.Wait(act.PAUSE)
        assert detector.phase is Phase.FOLLOWING
    assert carry_out(detector.on_done_frame(EMPTY), task("completed")) == act.CONTINUE
    assert detector.phase is Phase.FINISHING
    action = detector.next_action()
    assert action is not None
    assert carry_out(action, task("completed", final_result="from the task")) == act.CONTINUE
    assert detector.done == Done(status=TaskStatus.COMPLETED, last_seq=-1, final_result="from the task")


@pytest.mark.parametrize("is_draining", [True, False])
def test_a_later_turn_leaves_the_tail_to_the_content(*, is_draining: bool) -> None:
    """While it follows or drains, a stream that another turn has taken over reads the content, until it is whole."""
    detector, turn = make_detector(text(1, "Hello"))
    if is_draining:
        detector.on_done_frame(EARLY)
    turn.restart()
    carry_out(detector.on_done_frame(EMPTY), task("completed", "p1", "p2"))
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [{"id": "p1", "response": "Hello", "events": []}]})
    phases, decisions = [detector.phase], list[act.Action]()
    while not decisions or decisions[-1] != act.CONTINUE:
        action = detector.next_action()
        assert isinstance(action, act.LeaveStream)
        if isinstance(action.then, act.ReadTask):
            read = carry_out(action.then, task("completed", "p1", "p2"))
            assert isinstance(read, act.ReadContent)
            assert read.then(content, None) == act.InjectTail(content.prompts[0])
        else:
            decisions.append(action.then)
    assert decisions == [act.Wait()] * is_draining + [act.CONTINUE]
    assert [*phases, detector.phase] == [Phase.READING_CONTENT, Phase.FINISHING]


def test_a_foreign_turn_is_skipped_or_takes_over_by_its_place_among_the_prompts() -> None:
    """An earlier one is ignored, a later one supersedes, and one that can't be placed leaves the stream."""
    for turns, expected, phase in [
        (("p9", "p1"), act.IgnoreTurn("p9"), Phase.FOLLOWING),
        (("p1", "p9"), act.CONTINUE, Phase.READING_CONTENT),
        (("p1",), act.IgnoreTurn("p9"), Phase.FOLLOWING),
    ]:
        detector, turn = make_detector(event(1, prompt="p9", content="x"))
        assert turn.blocked_by == "p9"
        assert detector.on_foreign_turn(task("running", *turns)) == expected
        assert detector.phase is phase
    detector, _ = make_detector(event(1, prompt="p9", content="x"))
    assert isinstance(detector.on_foreign_turn(task("running", "p9")), act.LeaveStream)


def test_a_turn_that_the_task_does_not_have_is_given_up_after_fifteen_reads() -> None:
    """Fourteen are tolerated, and new events begin the count anew."""
    detector, _ = make_detector()
    for _ in range(2):
        for _ in range(14):
            assert carry_out(detector.on_done_frame(EMPTY), task("completed", "p0")) == act.Wait(act.PAUSE)
        detector.on_progress()
    for _ in range(14):
        carry_out(detector.on_done_frame(EMPTY), task("completed", "p0"))
    assert carry_out(detector.on_done_frame(EMPTY), task("completed", "p0")) == act.GiveUp(
        "nothing new came and the task has no prompt p1"
    )


# --- Whole streams over a source without a socket --------------------------------------------------------------------


@define
class FakeSource:
    """A `TurnSource` and its bodies: each connect takes the next list of chunks, each read of the task the next one."""

    connects: list[list[bytes | Exception]]
    tasks: list[Task | Exception] = field(factory=lambda: [task("running")])
    sub_events: list[list[dict[str, Any]]] = field(factory=lambda: [[]])
    task_id: str = TASK_ID
    retry: RetryPolicy = field(factory=lambda: RetryPolicy(base_delay=0))
    skipped: SkippedTime = field(factory=SkippedTime)
    log: list[str] = field(factory=list[str])
    _chunks: list[bytes | Exception] = field(factory=list[bytes | Exception], init=False)

    @property
    def time(self) -> Time:
        """A clock whose sleeps take no time."""
        return self.skipped.time

    async def connect(self, *, idle_timeout: float, last_event_id: str, is_reconnect: bool) -> FakeSource:
        """Open the next connection."""
        assert is_reconnect == bool(self.log)
        self.log.append(f"connect {idle_timeout:g} {last_event_id}".strip())
        self._chunks = list(self.connects.pop(0) if len(self.connects) > 1 else self.connects[0])
        return self

    async def read(self) -> bytes:
        """Read the next chunk; the end comes after the last."""
        await asyncio.sleep(0)
        if not self._chunks:
            return b""
        if isinstance(self._chunks[0], Exception):
            raise self._chunks[0]
        return self._chunks.pop(0)  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - as checked

    read_raw = read

    def mark_consumed(self) -> None:
        """Note nothing."""

    def close(self) -> None:
        """Forget the connection."""
        self._chunks = []

    async def task(self) -> Task:
        """Read the task."""
        self.log.append("task")
        found = self.tasks.pop(0) if len(self.tasks) > 1 else self.tasks[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def content(self) -> TaskContent:
        """Read the content, which isn't there."""
        raise errors.NotFoundError(404)

    async def prompt_events(self, prompt_id: str) -> tuple[TaskEvent, ...]:
        """Read the events of a sub-prompt."""
        self.log.append(prompt_id)
        found = self.sub_events.pop(0) if len(self.sub_events) > 1 else self.sub_events[0]
        return decode_items(TaskEvent, {"events": found}, ("events",))


HELLO, YOU = text(1, "Hello"), text(2, "you")
LOST = errors.TransportError("lost")
EMPTY_DONE = done("succeeded", -1)


async def follow(source: FakeSource, **options: Any) -> tuple[list[int | None], Done | None]:
    """Read a stream to its end."""
    async with TaskEventStream(source, idle_timeout=900, **options) as stream:
        return [event.seq async for event in stream], stream.done


@pytest.mark.parametrize(
    ("connects", "tasks", "log", "slept"),
    [
        ([[HELLO, YOU, END]], [task()], "connect", 0),
        ([[HELLO + YOU + END[:9], END[9:]]], [task()], "connect", 0),
        ([[HELLO, LOST], [HELLO, YOU, END]], [task()], "connect connect", 0),
        ([[HELLO], [HELLO, YOU, END]], [task()], "connect task connect", 0),
        ([[EMPTY_DONE], [HELLO, YOU, END]], [task()], "connect task connect", 1),
        ([[HELLO, END], [HELLO, YOU, END]], [task()], "connect connect", 1),
        ([[HELLO, errors.RequestTimeoutError()], [HELLO, YOU, END]], [task()], "connect task connect", 0),
        ([[HELLO, errors.RequestTimeoutError()], [HELLO, YOU, END]], [LOST, task()], "connect task task connect", 0),
        ([[event(1, prompt="p0", content="old"), HELLO, YOU, END]], [task("running", "p0", "p1")], "connect task", 0),
    ],
)
async def test_a_turn_is_read_with_the_fewest_requests(
    connects: list[list[bytes | Exception]], tasks: list[Task | Exception], log: str, slept: float
) -> None:
    """What goes wrong costs exactly the requests and the waits that it needs, and nothing is lost or repeated."""
    source = FakeSource(connects, tasks)
    seqs, end = await follow(source, prompt_id="p1")
    assert seqs == [1, 2]
    assert end == Done(status=TaskStatus.COMPLETED, last_seq=2, final_result="you")
    assert [line.split()[0] for line in source.log] == log.split()
    assert sum(source.skipped.slept) == slept


async def test_a_stream_asks_its_source_to_resume_after_the_last_id() -> None:
    """It says so once the server has given an id, and never where events have no identity."""
    source = FakeSource([[b"id: 7\n" + HELLO, LOST], [YOU, END]])
    assert (await follow(source))[0] == [1, 2]
    assert source.log == ["connect 900", "connect 900 7"]
    nameless = b"id: 7\n" + event(None, content="x")
    source = FakeSource([[nameless, LOST], [nameless, done("succeeded", None, "x")]])
    assert (await follow(source))[0] == [None]
    assert source.log == ["connect 900", "connect 900"]


async def test_delegations_are_read_to_their_quiet_end() -> None:
    """All sub-prompts are read twice at the end of the turn, a second apart, and their events delivered once."""
    rows = [{"seq": seq, "eventType": "text", "payload": {"content": "x"}} for seq in (1, 2)]
    source = FakeSource(
        [[tool_use(1, subPromptId="s1"), text(2, "you"), END]], sub_events=[rows[:1], rows[:1], rows, rows]
    )
    async with TaskEventStream(source, idle_timeout=900, follow_subprompts=True) as stream:
        got = [(event.prompt_id, event.seq) async for event in stream]
    assert sorted(got, key=str) == [("p1", 1), ("p1", 2), ("s1", 1), ("s1", 2)]
    assert source.log.count("s1") >= 2


async def test_a_cancelled_read_of_the_task_is_made_again() -> None:
    """A step that is cancelled while it reads leaves the phase in which it began."""

    class SlowSource(FakeSource):
        async def task(self) -> Task:
            found = await super().task()
            if self.log.count("task") == 1:
                await asyncio.sleep(60)
            return found

    source = SlowSource([[HELLO, errors.RequestTimeoutError()], [HELLO, YOU, END]])
    async with TaskEventStream(source, idle_timeout=900) as stream:
        assert (await anext(stream)).seq == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        assert [event.seq async for event in stream] == [2]
    assert [line.split()[0] for line in source.log] == ["connect", "task", "task", "connect"]
