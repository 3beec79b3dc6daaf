"""What is read of a turn that has ended, until nothing of it is missing or there is no hope: by the rules alone."""

from __future__ import annotations

from typing import Any

import pytest

from rebyte_async._wire.models import decode
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._drain import DrainPolicy, NextRead
from rebyte_async.streams._frames import FrameParser
from rebyte_async.streams._turn import TurnState
from rebyte_async.types import Done, TaskStatus
from rebyte_async.types.tasks import PromptContent
from support.task_server import TASK_ID, text, tool_use

S, C, N = NextRead.STREAM, NextRead.CONTENT, NextRead.NOTHING


def add(turn: TurnState, *frames: bytes) -> TurnState:
    """Add frames to a turn, and deliver their events."""
    turn.add_frames(FrameParser().feed_frames(b"".join(frames)))
    while turn.next_event():
        pass
    return turn


def make_turn(*frames: bytes) -> TurnState:
    """Make a turn from which these frames have come."""
    return add(TurnState(TASK_ID, "p1", Delivered(), None), *frames)


def content_of(response: str | None = None, last_seq: int | None = None, **fields: Any) -> PromptContent:
    """Make what the content says of the turn: its response, and its events up to a number."""
    events = [
        {"seq": number, "promptId": "p1", "eventType": "init", "payload": {}} for number in range((last_seq or 0) + 1)
    ]
    return decode(PromptContent, {"id": "p1", "response": response, "events": events[1:] if last_seq else [], **fields})


def read_all(
    policy: DrainPolicy, turn: TurnState, content: PromptContent | None = None, news: int = 0
) -> list[NextRead]:
    """Read whatever the policy says until it says no more; the first `news` reads of the stream bring an event."""
    reads: list[NextRead] = []
    brought = 0
    read = policy.after_stream(turn)
    while read is not NextRead.NOTHING:
        reads.append(read)
        if read is NextRead.CONTENT:
            policy.add_content(content, turn)
            read = policy.after_content(turn)
            continue
        if brought < news:
            brought += 1
            add(turn, text(turn.tail.last_seq + 1, "more"))
        read = policy.after_stream(turn)
        assert len(reads) < 30
    return reads


def ended(status: TaskStatus, last_seq: int | None, final_result: str) -> DrainPolicy:
    """Make the policy for a turn whose done frame says this."""
    return DrainPolicy(Done(status=status, last_seq=last_seq, final_result=final_result), True)


@pytest.mark.parametrize(
    ("status", "reads"),
    [
        (TaskStatus.COMPLETED, [S, C, *[S] * 7, C]),
        (TaskStatus.FAILED, [S, C, S, C]),
        (TaskStatus.CANCELED, []),
    ],
)
def test_a_tail_that_never_comes_is_looked_for_as_long_as_it_may_be_late(
    status: TaskStatus, reads: list[NextRead]
) -> None:
    """A completed turn is read again 8 times, a failed one twice; the content after a fruitless try, and at last."""
    assert read_all(ended(status, 9, "the end"), make_turn(text(1, "Hello"))) == reads


def test_a_turn_without_any_event_is_looked_for_as_long() -> None:
    """The first look at it is no try that brought nothing new."""
    assert read_all(ended(TaskStatus.COMPLETED, 9, "the end"), make_turn()) == [S, C, *[S] * 7, C]


@pytest.mark.parametrize("news", [0, 1, 3, 7])
def test_each_new_event_puts_off_the_content(news: int) -> None:
    """The content is read after the first try that brings nothing new, and after the last one."""
    reads = read_all(ended(TaskStatus.COMPLETED, 99, "the end"), make_turn(text(1, "Hello")), news=news)
    assert reads == [*[S] * (news + 1), C, *[S] * (7 - news), C][: 9 if news == 7 else 10]


@pytest.mark.parametrize(
    ("done", "content", "reads"),
    [
        pytest.param((1, "Hello"), None, [], id="whole, and said to be"),
        pytest.param((1, "Other"), content_of("Other", 1), [S, C, S], id="the content confirms another result"),
        pytest.param((1, ""), content_of("", 1), [C], id="it confirms that there is none"),
        pytest.param((1, ""), content_of("Hello", 1), [C], id="a result that the text has"),
        pytest.param((1, "Other"), content_of("Other", 0), [S, C, S], id="a content without events"),
        pytest.param((1, "Other"), content_of("Other", 1, status="running"), [S, C, *[S] * 7, C], id="as it ran"),
        pytest.param((1, "Other"), content_of(None, 1), [S, C, *[S] * 7, C], id="a content without the response"),
        pytest.param((9, "Hello"), content_of("Hello", 1), [S, C, *[S] * 7, C], id="the last event is missing"),
    ],
)
def test_a_content_that_confirms_the_end_shortens_the_search(
    done: tuple[int, str], content: PromptContent | None, reads: list[NextRead]
) -> None:
    """Two tries in a row without a new event are enough where it has the response, and no event that is missing."""
    assert read_all(ended(TaskStatus.COMPLETED, *done), make_turn(text(1, "Hello")), content) == reads


@pytest.mark.parametrize(("response", "reads"), [("", [S, C, S]), ("42", [S, C, *[S] * 7, C])])
def test_a_turn_that_ends_with_a_tool_call_may_have_no_result(response: str, reads: list[NextRead]) -> None:
    """Where the content has none either, nothing is missing; where it has one, the text with it is still to come."""
    turn = make_turn(text(1, "I look."), tool_use(2))
    assert read_all(ended(TaskStatus.COMPLETED, 2, ""), turn, content_of(response, 2)) == reads


def test_a_failed_try_counts_and_says_nothing() -> None:
    """It is one of the tries, and is not taken for one without news."""
    policy, turn = ended(TaskStatus.COMPLETED, 9, "the end"), make_turn(text(1, "Hello"))
    assert [policy.after_stream(turn), *[policy.after_failure() for _ in range(7)]] == [S] * 8
    assert policy.after_failure() is C
    policy.add_content(None, turn)
    assert policy.after_failure() is N


def test_failed_tries_alone_are_counted() -> None:
    """Also where no connection has come to the end of a replay."""
    policy = ended(TaskStatus.FAILED, 9, "the end")
    assert [policy.after_failure() for _ in range(3)] == [S, S, C]


@pytest.mark.parametrize("is_exhausted", [True, False])
def test_a_canceled_turn_is_never_read_again(*, is_exhausted: bool) -> None:
    """Its content alone is, once, where the read of the stream that brought the end has failed."""
    policy = ended(TaskStatus.CANCELED, 9, "")
    if is_exhausted:
        policy.exhaust()
    assert policy.after_failure() is C
    policy.add_content(None, make_turn())
    assert policy.after_failure() is N


def test_an_exhausted_search_reads_the_content_once() -> None:
    """The stream is not read again."""
    policy, turn = ended(TaskStatus.COMPLETED, 9, "the end"), make_turn(text(1, "Hello"))
    policy.exhaust()
    assert read_all(policy, turn) == [C]


@pytest.mark.parametrize(
    ("status", "last_seq", "final_result", "is_certain", "frames", "expected"),
    [
        (TaskStatus.CANCELED, 9, "", False, [], (True, True)),
        (TaskStatus.FAILED, 1, "", True, [text(1, "a")], (True, True)),
        (TaskStatus.FAILED, 2, "", True, [text(1, "a")], (False, True)),
        (TaskStatus.COMPLETED, 1, "a", True, [text(1, "a")], (True, True)),
        (TaskStatus.COMPLETED, 1, "b", True, [text(1, "a")], (False, True)),
        (TaskStatus.COMPLETED, 2, "a", True, [text(1, "a")], (False, False)),
        (TaskStatus.COMPLETED, None, "a", True, [text(1, "a")], (True, True)),
        (TaskStatus.COMPLETED, None, "b", True, [text(1, "a")], (False, False)),
        (TaskStatus.COMPLETED, None, "a", False, [text(1, "a")], (False, True)),
        (TaskStatus.COMPLETED, None, "b", False, [text(1, "a")], (False, False)),
        (TaskStatus.COMPLETED, None, "", False, [text(1, "a")], (False, False)),
        (TaskStatus.COMPLETED, 2, "a", True, [text(1, "a"), tool_use(2)], (False, True)),
    ],
)
def test_when_a_turn_is_complete_and_how_it_may_end(
    status: TaskStatus,
    last_seq: int | None,
    final_result: str,
    is_certain: bool,
    frames: list[bytes],
    expected: tuple[bool, bool],
) -> None:
    """It is complete with its last event and a text with its result; it may end with either that is announced."""
    policy = DrainPolicy(Done(status=status, last_seq=last_seq, final_result=final_result), is_certain)
    turn = make_turn(*frames)
    assert (policy.is_complete(turn), policy.is_acceptable(turn)) == expected


@pytest.mark.parametrize(("last_seq", "has_all"), [(0, True), (1, False), (2, True), (3, True)])
def test_a_content_that_lags_behind_the_stream_is_not_the_end(last_seq: int, *, has_all: bool) -> None:
    """It has the events of the turn as ended where it has the last one that the stream brought, or has none."""
    policy, turn = ended(TaskStatus.COMPLETED, 3, "the end"), make_turn(text(1, "a"), text(2, "b"))
    policy.add_content(content_of("the end", last_seq), turn)
    assert policy.has_content is has_all


def test_what_the_ends_say_is_put_together() -> None:
    """A later done frame and the content fill in what an earlier one left out, and take nothing away."""
    policy, turn = ended(TaskStatus.COMPLETED, -1, ""), make_turn(text(1, "a"))
    policy.add_content(content_of("from the content", 1), turn)
    assert policy.done == Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="from the content")
    policy.add_done(Done(status=TaskStatus.FAILED, last_seq=4, final_result=""))
    assert policy.done == Done(status=TaskStatus.FAILED, last_seq=4, final_result="from the content")
    policy.add_content(content_of("another", 1), turn)
    assert policy.done == Done(status=TaskStatus.FAILED, last_seq=4, final_result="from the content")


def test_a_done_frame_makes_an_end_certain() -> None:
    """The task's status alone announces no last event, so that a turn isn't complete by it."""
    done, turn = Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="a"), make_turn(text(1, "a"))
    policy = DrainPolicy(done, is_certain=False)
    assert not policy.is_complete(turn)
    policy.add_done(done)
    assert policy.is_complete(turn)
