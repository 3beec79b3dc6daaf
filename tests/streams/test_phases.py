"""The phases of a stream: the rules by which a stream finds the end of its turn, without any stream."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve

from rebyte_async import errors
from rebyte_async._wire.models import decode
from rebyte_async.streams import _actions as act
from rebyte_async.streams._completion import TRANSITIONS, CompletionDetector, Finding, Phase
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._frames import FrameParser
from rebyte_async.streams._subprompts import SubPrompts
from rebyte_async.streams._turn import TurnState
from rebyte_async.types import Done, Task, TaskContent, TaskEvent, TaskStatus
from support.fake_source import FakeSource, task
from support.task_server import TASK_ID, event, text, tool_use

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
EARLY = Done(status=TaskStatus.COMPLETED, last_seq=5, final_result="Hello")
WHOLE = Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="Hello")
EMPTY = Done(status=TaskStatus.COMPLETED, last_seq=-1, final_result="")


def make_detector(
    *parts: bytes, prompt_id: str | None = "p1", subprompts: SubPrompts | None = None
) -> tuple[CompletionDetector, TurnState]:
    """Make a detector of the turn p1, from which these frames have come."""
    turn = TurnState(TASK_ID, prompt_id, Delivered(), subprompts)
    turn.add_frames(FrameParser().feed_frames(b"".join(parts)))
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
    """What a done frame announces is looked for on the stream, a second at a time, and twice in the content."""
    detector, _ = make_detector(text(1, "Hello"))
    error = errors.NotFoundError(404)
    for fruitless in range(8):
        action = detector.on_done_frame(EARLY)
        if fruitless == 1:
            assert (action, detector.phase) == (act.CONTINUE, Phase.READING_CONTENT)
            action = read_content(detector, None, error)
        assert (action, detector.phase) == (act.Wait(act.PAUSE), Phase.DRAINING)
        assert detector.next_action() is None
    assert detector.on_done_frame(EARLY) == act.CONTINUE
    assert detector.phase is Phase.READING_CONTENT
    assert read_content(detector, None, error) == act.GiveUp(
        "the turn has ended, but its last events came neither by the stream nor by the task's content", error
    )


def test_only_a_failure_that_stays_is_a_try_without_news() -> None:
    """The content is read after a try that brought nothing new; one that broke on the way may have more to bring."""
    detector, _ = make_detector(text(1, "Hello"))
    assert detector.on_failed_drain(is_transient=True) == act.CONTINUE  # it doesn't drain yet
    detector.on_done_frame(EARLY)
    assert detector.on_failed_drain(is_transient=True) == act.Wait(act.PAUSE)
    assert detector.is_reading
    assert detector.on_failed_drain(is_transient=False) == act.CONTINUE
    assert detector.phase is Phase.READING_CONTENT


@pytest.mark.parametrize("shows_events", [True, False])
def test_an_unknown_word_while_draining_ends_a_replay(*, shows_events: bool) -> None:
    """Where the connection shows no event and a later turn was submitted, only the content can still have the tail."""
    detector, turn = make_detector(text(1, "Hello"))
    detector.on_done_frame(EARLY)
    if not shows_events:
        turn.restart()
    paused = evolve(WHOLE, status=cast("TaskStatus", "paused"))
    assert carry_out(detector.on_done_frame(paused), task("running", "p1", "p2")) == act.CONTINUE
    action = detector.next_action()
    assert isinstance(action, act.LeaveStream)
    assert isinstance(action.then, act.ReadContent)
    assert action.then.is_single_try is shows_events


def test_the_content_ends_a_drain() -> None:
    """Read after the first fruitless try, it brings the final result and the text that the stream hasn't brought."""
    detector, turn = make_detector(text(1, "I look."), tool_use(2))
    bare = Done(status=TaskStatus.COMPLETED, last_seq=2, final_result="")
    assert carry_out(detector.on_done_frame(bare), task("completed")) == act.Wait()
    assert detector.on_done_frame(bare) == act.CONTINUE
    call = {"seq": 2, "promptId": "p1", "eventType": "tool_use", "payload": {"id": "tool1", "name": "Bash"}}
    events = [call, {"seq": 3, "promptId": "p1", "eventType": "text", "payload": {"content": "42"}}]
    ours = {"id": "p1", "status": "succeeded", "response": "42", "events": events}
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [ours]})
    assert read_content(detector, content, None) == act.InjectTail(content.prompts[0])
    turn.inject_turn(content.prompts[0].events or ())
    while turn.next_event():
        pass
    leave = detector.next_action()
    assert isinstance(leave, act.LeaveStream)
    assert leave.then == act.CONTINUE
    assert detector.next_action() == act.CONTINUE
    assert detector.done == Done(status=TaskStatus.COMPLETED, last_seq=2, final_result="42")


def test_an_unknown_word_in_a_done_frame_is_believed_when_the_task_has_ended() -> None:
    """What the task says of the turn is its end; a word that isn't known is none by itself."""
    for status, phase in [("running", Phase.FOLLOWING), ("completed", Phase.FINISHING), ("failed", Phase.FINISHING)]:
        detector, _ = make_detector(text(1, "Hello"))
        carry_out(detector.on_done_frame(evolve(WHOLE, status=cast("TaskStatus", "paused"))), task(status))
        assert detector.phase is phase


def read_content(
    detector: CompletionDetector, content: TaskContent | None, error: errors.RebyteError | None
) -> act.Action:
    """Give a detector what the one read of the content found, and return the next action."""
    leave = detector.next_action()
    assert isinstance(leave, act.LeaveStream)
    assert isinstance(leave.then, act.ReadContent)
    assert leave.then.is_single_try
    return leave.then.then(content, error)


@pytest.mark.parametrize(
    ("last_seq", "final_result", "phase"),
    [
        (None, "", Phase.FOLLOWING),
        (-1, "", Phase.FOLLOWING),
        (0, "", Phase.DRAINING),
        (-1, "Hello", Phase.DRAINING),
        (None, "Hello", Phase.DRAINING),
    ],
)
def test_a_done_frame_alone_is_believed_if_it_says_something(
    last_seq: int | None, final_result: str, phase: Phase
) -> None:
    """One look at the task is enough for a number or a final result, unless the connection shows another turn."""
    for frames, expected in [([], phase), ([text(1, "x", prompt="p9")], Phase.FOLLOWING)]:
        detector, turn = make_detector(*frames)
        turn.unblock()
        end = Done(status=TaskStatus.COMPLETED, last_seq=last_seq, final_result=final_result)
        carry_out(detector.on_done_frame(end), task("completed", "p9", "p1"))
        assert detector.phase is expected


def test_a_done_frame_alone_ends_a_turn_whose_events_came_before() -> None:
    """A done frame that the task confirms is as certain on a connection without events."""
    for status, phase in [("completed", Phase.FINISHING), ("running", Phase.FOLLOWING)]:
        detector, turn = make_detector(text(1, "Hello"))
        turn.restart()
        carry_out(detector.on_done_frame(WHOLE), task(status))
        assert detector.phase is phase


def test_the_task_alone_does_not_end_a_turn_whose_events_came_before() -> None:
    """A stream that shows no event any more is read again, though what came before looks like the whole turn."""
    detector, turn = make_detector(text(1, "Hello"))
    turn.restart()
    ended = task("completed", final_result="Hello")
    actions = [carry_out(detector.on_closed(has_news=False), ended) for _ in range(3)]
    assert actions == [act.Wait()] * 3
    assert detector.phase is Phase.DRAINING


def test_a_final_result_that_only_the_task_has_ends_a_whole_turn() -> None:
    """A done frame without one is as certain, so that nothing is read twice."""
    detector, _ = make_detector(text(1, "Hello"))
    ended = task("completed", final_result="Hello")
    assert carry_out(detector.on_done_frame(evolve(WHOLE, final_result="")), ended) == act.CONTINUE
    assert (detector.next_action(), detector.done) == (act.CONTINUE, WHOLE)


def test_the_final_result_of_a_task_is_that_of_its_last_turn() -> None:
    """It is our turn's only where this is the last one, or where the task lists none."""
    expected: list[tuple[list[str] | None, str]] = [
        (["p0", "p1"], "the task's"),
        (["p1", "p2"], "Hello"),
        (None, "the task's"),
    ]
    for turns, final_result in expected:
        detector, _ = make_detector(text(1, "Hello"))
        detector.on_done_frame(evolve(WHOLE, status=TaskStatus.FAILED, final_result=""))
        prompts = None if turns is None else [{"id": turn, "status": "failed"} for turn in turns]
        document = {"id": TASK_ID, "status": "failed", "prompts": prompts, "finalResult": "the task's"}
        action = detector.next_action()
        assert action is not None
        carry_out(action, decode(Task, document))
        assert detector.done == Done(status=TaskStatus.FAILED, last_seq=1, final_result=final_result)


def test_a_stream_without_a_turn_is_that_of_the_latest() -> None:
    """Where nothing has shown which turn the stream is of, the last one of the content is read."""
    detector, _ = make_detector(prompt_id=None)
    for _ in range(3):
        carry_out(detector.on_done_frame(EMPTY), task("completed", "p0", "p1", "p2"))
    turns: list[dict[str, Any]] = [{"id": turn, "status": "succeeded", "events": []} for turn in ("p0", "p1", "p2")]
    content = decode(TaskContent, {"id": TASK_ID, "prompts": turns})
    assert read_content(detector, content, None) == act.InjectTail(content.prompts[-1])


@pytest.mark.parametrize("has_news", [True, False])
def test_delegations_are_read_twice_with_a_pause_between(*, has_news: bool) -> None:
    """What the first read brings is delivered before the pause, and new events begin the count anew."""
    detector, _ = make_detector(tool_use(1, subPromptId="s1"), text(2, "you"), subprompts=SubPrompts(FakeSource([[]])))
    detector.on_done_frame(Done(status=TaskStatus.COMPLETED, last_seq=2, final_result="you"))
    decisions = list[act.Action]()
    for _ in range(2 + has_news):
        if has_news and len(decisions) == 1:
            detector.on_progress()
        action = detector.next_action()
        assert isinstance(action, act.ReadSubPrompts)
        decisions.append(action.then())
    assert decisions == [act.Wait(act.PAUSE, is_deferred=True)] * (1 + has_news) + [act.CONTINUE]
    assert detector.next_action() == act.CONTINUE
    assert detector.phase is Phase.ENDED


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
        assert isinstance(detector.next_action(), act.ReadTask)  # this read fails, so that its `then` isn't called
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
    ended = task("completed", final_result="from the task")
    assert carry_out(detector.on_done_frame(EMPTY), ended) == act.CONTINUE
    phases = [detector.phase]
    assert read_content(detector, None, errors.NotFoundError(404)) == act.CONTINUE
    assert [*phases, detector.phase] == [Phase.READING_CONTENT, Phase.FINISHING]
    assert detector.next_action() == act.CONTINUE
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
    phases = [detector.phase]
    decisions = list[act.Action]()
    while not decisions or decisions[-1] != act.CONTINUE:
        action = detector.next_action()
        assert isinstance(action, act.LeaveStream)
        if isinstance(action.then, act.ReadTask):
            assert not is_draining
            read = carry_out(action.then, task("completed", "p1", "p2"))
        else:
            read = action.then
        if isinstance(read, act.ReadContent):
            assert not read.is_single_try
            assert read.then(content, None) == act.InjectTail(content.prompts[0])
        else:
            decisions.append(read)
        if is_draining and len(decisions) == 2:  # the content lags: it has the last number only now
            turn.inject_turn(decode(TaskEvent, row) for row in [{"seq": 5, "eventType": "other", "payload": {}}])
            turn.next_event()
    assert decisions == [act.Wait()] * (2 * is_draining) + [act.CONTINUE]
    assert [*phases, detector.phase] == [Phase.READING_CONTENT, Phase.FINISHING]


def test_a_turn_that_runs_is_not_left_to_a_later_one() -> None:
    """While the task says that the turn runs, its events are still to come, though another prompt was submitted."""
    detector, _ = make_detector()
    assert carry_out(detector.on_done_frame(EMPTY), task("running", "p1", "p2")) == act.Wait()
    assert detector.phase is Phase.FOLLOWING


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
    """Fourteen in a row are tolerated; new events begin the count anew, and so does a read that shows the turn."""
    given_up = act.GiveUp("nothing new came and the task has no prompt p1")
    without, running = task("completed", "p0"), task("running")
    for reads in ([], [without] * 14 + [None], [without] * 14 + [running]):
        detector, _ = make_detector()
        for read in [*reads, *[without] * 14]:
            if read is None:
                detector.on_progress()
            else:
                assert carry_out(detector.on_done_frame(EMPTY), read) == act.Wait(act.PAUSE)
        assert carry_out(detector.on_done_frame(EMPTY), without) == given_up


def test_an_ended_task_without_prompts_leaves_a_foreign_turn_to_the_content() -> None:
    """Where only another turn shows and the task lists none, three reads that say ended lead to the content."""
    detector, turn = make_detector(event(1, prompt="p9", content="x"))
    turn.unblock()
    ended = decode(Task, {"id": TASK_ID, "status": "completed"})
    actions = [carry_out(detector.on_done_frame(EMPTY), ended) for _ in range(3)]
    assert actions == [act.Wait(), act.Wait(), act.CONTINUE]
    assert detector.phase is Phase.READING_CONTENT
    action = detector.next_action()
    assert isinstance(action, act.LeaveStream)
    assert carry_out(action.then, task("running")) == act.Wait()


def test_a_drain_without_any_event_looks_at_the_task() -> None:
    """A later turn may have the stream already."""
    detector, turn = make_detector(text(1, "Hello"))
    detector.on_done_frame(EARLY)
    turn.restart()
    assert carry_out(detector.on_closed(has_news=False), task("completed")) == act.CONTINUE
    assert read_content(detector, None, errors.NotFoundError(404)) == act.Wait()
    assert carry_out(detector.on_closed(has_news=False), task("completed", "p1", "p2")) == act.CONTINUE
    assert detector.phase is Phase.READING_CONTENT
