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
from rebyte_async.streams._turn import TurnState
from rebyte_async.types import Done, Task, TaskContent, TaskEvent, TaskStatus
from support.fake_source import task
from support.task_server import TASK_ID, event, text, tool_use

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
EARLY = Done(status=TaskStatus.COMPLETED, last_seq=5, final_result="Hello")
WHOLE = Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="Hello")
EMPTY = Done(status=TaskStatus.COMPLETED, last_seq=-1, final_result="")


def make_detector(*parts: bytes) -> tuple[CompletionDetector, TurnState]:
    """Make a detector of the turn p1, from which these frames have come."""
    turn = TurnState(TASK_ID, "p1", Delivered(), None)
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
