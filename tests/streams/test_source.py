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
    assert source.log.count("s1") >= 2


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


async def test_a_cancelled_read_of_the_task_is_made_again() -> None:
    """A step that is cancelled while it reads leaves the phase in which it began."""

    class SlowSource(FakeSource):
        async def read_task(self) -> Task:
            found = await super().read_task()
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
