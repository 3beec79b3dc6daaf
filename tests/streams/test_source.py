"""Whole streams over a source without a socket: what each misfortune costs, to the request."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from rebyte_async import errors
from rebyte_async._wire.models import decode
from rebyte_async.streams import TaskEventStream
from rebyte_async.types import Done, ErrorEvent, Task, TaskContent, TaskStatus
from support.fake_source import FakeSource, task
from support.task_server import TASK_ID, done, event, text, tool_use

HELLO = text(1, "Hello")
YOU = text(2, "you")
END = done("succeeded", 2, "you")
LOST = errors.TransportError("lost")
BAD = errors.DecodeError("bad")
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
        ([[errors.RequestTimeoutError()], [HELLO, YOU, END]], [BAD, task()], "connect task task connect", 0),
        ([[event(1, prompt="p0", content="old"), HELLO, YOU, END]], [task("running", "p0", "p1")], "connect task", 0),
    ],
)
async def test_a_turn_is_read_with_the_fewest_requests(
    connects: list[list[bytes | Exception]], tasks: list[Task | Exception], log: str, slept: float
) -> None:
    """Each failure costs exactly the requests and the waits that it needs, and nothing is lost or repeated."""
    source = FakeSource(connects, tasks)
    seqs, end = await follow(source, prompt_id="p1")
    assert seqs == [1, 2]
    assert end == Done(status=TaskStatus.COMPLETED, last_seq=2, final_result="you")
    assert [line.split()[0] for line in source.log] == log.split()
    assert sum(source.skipped.slept) == slept


async def test_a_stream_asks_its_source_to_resume_after_the_last_id() -> None:
    """The source gets the last id once the server has given one, and never where events have no identity."""
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
    assert source.log[-2:] == ["s1", "s1"]


async def test_a_failed_read_of_a_delegation_does_not_disturb_a_running_turn() -> None:
    """While the turn runs, a read that fails is made again a second later."""
    rows = [{"seq": 1, "eventType": "text", "payload": {"content": "x"}}]
    source = FakeSource([[tool_use(1, subPromptId="s1"), YOU, END]], sub_events=[LOST, rows])
    assert sorted((await follow(source, follow_subprompts=True))[0], key=str) == [1, 1, 2]


async def test_a_drain_ends_after_seconds_without_an_event() -> None:
    """Heartbeats don't prolong a try to read the tail."""

    class Beating(FakeSource):
        async def read(self) -> bytes:
            data = await super().read()
            if data or len(self.log) == 1:
                return data
            self.skipped.slept.append(2)
            return b": beat\n\n"

    source = Beating([[tool_use(1), done("succeeded", 1, "early")], [tool_use(1)]])
    assert (await follow(source))[1] == Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="early")
    assert source.log == [*["connect 900"] * 2, "content", *["connect 900"] * 7, "content"]


@pytest.mark.parametrize(
    "failure", [errors.ServerError(503), errors.DecodeError("bad"), errors.NotFoundError(404)], ids=repr
)
async def test_only_a_content_that_may_come_is_read_again(failure: errors.RebyteError) -> None:
    """A tail that is in the content is read again after a failure that passes; any other failure ends the stream."""
    rows = [{"seq": seq, "promptId": "p1", "eventType": "text", "payload": {"content": "x"}} for seq in (1, 2)]
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [{"id": "p1", "response": "x", "events": rows}]})
    later = event(1, prompt="p2", content="next")
    source = FakeSource([[HELLO, later]], [task("completed", "p1", "p2")], [failure, content])
    if isinstance(failure, errors.ServerError):
        assert (await follow(source, prompt_id="p1"))[0] == [1, 2]
        assert source.log.count("content") == 2
    else:
        with pytest.raises(errors.StreamInterruptedError, match="another turn") as caught:
            await follow(source, prompt_id="p1")
        assert caught.value.__cause__ is failure


def make_content(turn: dict[str, Any]) -> TaskContent:
    """Return the content of a task that has a turn and a later one."""
    return decode(TaskContent, {"id": TASK_ID, "prompts": [turn, {"id": "p2"}]})


async def test_a_content_that_lags_behind_the_task_is_read_again() -> None:
    """Where a later turn has the stream, the turn ends with the content in which it has ended, and not before."""
    rows = [
        {"seq": seq, "promptId": "p1", "eventType": "text", "payload": {"content": words}}
        for seq, words in [(1, "Hello"), (2, "you")]
    ]
    turns = [{"id": "p1", "status": "running", "events": rows[:1]}, {"id": "p1", "status": "succeeded", "events": rows}]
    contents: list[TaskContent | Exception] = [make_content(turn) for turn in turns]
    source = FakeSource([[HELLO, event(1, prompt="p2", content="next")]], [task("completed", "p1", "p2")], contents)
    seqs, end = await follow(source, prompt_id="p1")
    assert seqs == [1, 2]
    assert end == Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="you")


FAILS = [errors.NotFoundError(404), errors.DecodeError("bad")]


@pytest.mark.parametrize("failure", FAILS, ids=repr)
@pytest.mark.parametrize(
    ("status", "turn"),
    [
        ("completed", {"status": "succeeded", "response": "Other"}),
        ("completed", {"status": "archived"}),
        ("completed", {"status": "succeeded", "response": ""}),
        ("failed", {"status": "running"}),
    ],
    ids=str,
)
async def test_a_content_that_fails_later_takes_back_nothing(
    status: str, turn: dict[str, Any], failure: errors.RebyteError
) -> None:
    """Where a later turn has the stream, what the first content said of the end still counts."""
    row = {"seq": 1, "promptId": "p1", "eventType": "tool_use" if turn.get("response") == "" else "text"}
    document = {"id": "p1", "events": [row | {"payload": {"content": "Hello"}}], **turn}
    contents: list[TaskContent | Exception] = [make_content(document), failure]
    source = FakeSource([[event(1, prompt="p2", content="next")]], [task(status, "p1", "p2")], contents)
    seqs, end = await follow(source, prompt_id="p1")
    assert seqs == [1]
    assert end == Done(status=TaskStatus(status), last_seq=None, final_result=turn.get("response", "Hello") or "")


async def test_a_completed_turn_whose_content_lags_until_it_fails_is_given_up() -> None:
    """Its last events are nowhere to be had, and the failure is the cause."""
    turn = {"id": "p1", "status": "running", "events": []}
    failure = errors.NotFoundError(404)
    contents: list[TaskContent | Exception] = [make_content(turn), failure]
    source = FakeSource([[HELLO, event(1, prompt="p2", content="next")]], [task("completed", "p1", "p2")], contents)
    with pytest.raises(
        errors.StreamInterruptedError, match="neither by the stream nor by the task's content"
    ) as caught:
        await follow(source, prompt_id="p1")
    assert caught.value.__cause__ is failure


async def test_error_frames_are_events_and_other_odd_frames_are_not() -> None:
    """An error frame is delivered whatever its data; a frame of another name that is no event is skipped."""
    odd = [b"event: error\ndata: oops\n\n", b'event: error\ndata: {"message": "no"}\n\n', b"event: ping\ndata: x\n\n"]
    source = FakeSource([[*odd, HELLO, YOU, END]])
    async with TaskEventStream(source, idle_timeout=900) as stream:
        events = [event async for event in stream]
    assert [event.message for event in events if isinstance(event, ErrorEvent)] == ["oops", "no"]
    assert len(events) == 4


async def test_events_belong_to_the_turn_to_an_announced_sub_prompt_or_to_neither() -> None:
    """An event without a prompt is the turn's, that of a known sub-prompt is its own, and others are skipped."""
    old = event(1, prompt="p0", content="old")
    frames = [
        tool_use(1, subPromptId="s1"),
        text(2, "you", prompt=None),
        event(1, prompt="s1", content="sub"),
        old,
        old,
    ]
    source = FakeSource([[*frames, END]], [task("running", "p0", "p1")])
    async with TaskEventStream(source, idle_timeout=900) as stream:
        assert [(event.prompt_id, event.seq) async for event in stream] == [("p1", 1), (None, 2), ("s1", 1)]
    assert source.log == ["connect 900", "task"]


async def test_a_cursor_of_another_turn_is_refused() -> None:
    """A cursor and a prompt id that contradict each other are an error before anything is sent."""
    source = FakeSource([[HELLO, YOU, END]])
    async with contextlib.aclosing(TaskEventStream(source, idle_timeout=900)) as stream:
        await anext(stream)
    with pytest.raises(errors.InvalidRequestError, match="cursor of the turn p1, not of p2"):
        TaskEventStream(source, idle_timeout=900, prompt_id="p2", after=stream.cursor)


async def test_a_read_of_the_task_that_a_disconnect_ended_is_made_again() -> None:
    """A step that is cancelled while it reads leaves the phase in which it began."""
    reading = asyncio.Event()

    class SlowSource(FakeSource):
        async def read_task(self) -> Task:
            found = await super().read_task()
            if self.log.count("task") == 1:
                reading.set()
                await asyncio.sleep(60)
            return found

    source = SlowSource([[HELLO, errors.RequestTimeoutError()], [HELLO, YOU, END]])
    async with TaskEventStream(source, idle_timeout=900) as stream:
        assert (await anext(stream)).seq == 1
        waiting = asyncio.ensure_future(anext(stream))
        await reading.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        stream.disconnect()
        assert [event.seq async for event in stream] == [2]
    assert [line.split()[0] for line in source.log] == ["connect", "task", "task", "connect"]


@pytest.mark.parametrize(
    ("connects", "seqs"),
    [
        # An empty text is no answer.
        (
            [
                [tool_use(1), text(2, ""), done("succeeded", 2)],
                [tool_use(1), text(2, ""), text(3, "you"), done("succeeded", 3, "you")],
            ],
            [1, 2, 3],
        ),
        # A call is recognized by its key, though a late row has changed its number.
        (
            [
                [text(1, "x", key="x"), tool_use(2, key="call"), LOST],
                [
                    text(1, "x", key="x"),
                    text(2, "late", key="late"),
                    tool_use(3, key="call"),
                    text(4, "you", key="you"),
                    done("succeeded", 4, "you"),
                ],
            ],
            [1, 2, 2, 4],
        ),
        # Two calls with one tool id are two: what is said between them is no answer.
        (
            [
                [tool_use(1, key="one"), text(2, "a", key="a"), tool_use(3, key="two"), LOST],
                [tool_use(1, key="one"), text(2, "a", key="a"), done("succeeded", 2, "a")],
                [
                    tool_use(1, key="one"),
                    text(2, "a", key="a"),
                    tool_use(3, key="two"),
                    text(4, "you", key="you"),
                    done("succeeded", 4, "you"),
                ],
            ],
            [1, 2, 3, 4],
        ),
        # A server that resumes shows no call again: what it brings comes after the known ones.
        ([[b"id: 1\n" + tool_use(1), LOST], [text(2, "you"), done("succeeded", 2, "you")]], [1, 2]),
    ],
)
async def test_only_text_after_the_last_call_is_an_answer(
    connects: list[list[bytes | Exception]], seqs: list[int]
) -> None:
    """The stream is read until such a text has come, and no longer."""
    source = FakeSource(connects)
    expected = len(connects)
    assert (await follow(source))[0] == seqs
    assert [line.split()[0] for line in source.log].count("connect") == expected


@pytest.mark.parametrize("has_text", [True, False])
async def test_a_final_result_that_really_is_in_no_text_costs_two_seconds(*, has_text: bool) -> None:
    """Once the content has it and nothing more, two tries are enough; so they are for a turn without any words."""
    said = [text(2, "you")] if has_text else []
    result = "elsewhere" if has_text else ""
    rows: list[dict[str, Any]] = [
        {"seq": 1, "promptId": "p1", "eventType": "tool_use", "payload": {"id": "tool1", "name": "Bash"}}
    ]
    rows += [{"seq": 2, "promptId": "p1", "eventType": "text", "payload": {"content": "you"}}] * has_text
    prompt = {"id": "p1", "status": "succeeded", "response": result, "events": rows}
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [prompt]})
    source = FakeSource([[tool_use(1), *said, done("succeeded", 1 + has_text, result)]], contents=[content])
    seqs, end = await follow(source)
    assert seqs == [1, 2][: 1 + has_text]
    assert end == Done(status=TaskStatus.COMPLETED, last_seq=1 + has_text, final_result=result)
    assert sum(source.skipped.slept) == 2


async def test_a_final_result_amid_the_text_is_checked_by_the_content() -> None:
    """A short final result may be in an earlier text by chance: the content is read, without a wait."""
    rows = [
        {"seq": seq, "promptId": "p1", "eventType": "text", "payload": {"content": words}}
        for seq, words in [(1, "4 things"), (2, "4")]
    ]
    content = decode(
        TaskContent, {"id": TASK_ID, "prompts": [{"id": "p1", "status": "succeeded", "response": "4", "events": rows}]}
    )
    source = FakeSource([[text(1, "4 things"), done("succeeded", 1, "4")]], contents=[content])
    assert (await follow(source))[0] == [1, 2]
    assert source.log == ["connect 900", "content"]
    assert not source.skipped.slept


@pytest.mark.parametrize("word", ["paused", ""])
async def test_a_word_that_is_no_end_is_followed_on(word: str) -> None:
    """While the task runs, a done frame with an unknown word is none; a status that stays unknown ends the stream."""
    source = FakeSource([[HELLO, done(word, 1, "")], [HELLO, YOU, END]], [task("running")])
    assert (await follow(source))[0] == [1, 2]
    for end in ([done("expired", 1, "x")], []):
        source = FakeSource([[HELLO, *end]], [task("expired")])
        with pytest.raises(errors.StreamInterruptedError, match="its status stays 'expired'") as caught:
            await follow(source)
        assert caught.value.last_status == "expired"
        assert sum(source.skipped.slept) < 16


async def test_an_unknown_word_while_draining_tells_nothing_new() -> None:
    """Once the turn is known to have ended, such a done frame is the end of a replay."""
    source = FakeSource(
        [[HELLO, END], [HELLO, done("paused", 1, "")], [done("paused", -1, "")], [HELLO, YOU, END]], [task("running")]
    )
    assert (await follow(source))[0] == [1, 2]
