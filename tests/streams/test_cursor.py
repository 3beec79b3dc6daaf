"""Cursors: what a stream that resumes from one delivers, and what it withholds until that is known."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from contextlib import aclosing
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async import errors
from rebyte_async._wire.models import decode
from rebyte_async.streams import TaskEventStream
from rebyte_async.streams._cursor import CursorPosition, read_cursor, shorten_prompt_id, write_cursor
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._digest import EMPTY, SetDigest
from rebyte_async.types import Task, TaskContent, TextEvent, UnknownEvent
from support.fake_source import FakeSource, task
from support.task_server import TASK_ID, done, event, text, tool_result, tool_use

PRIME = 2**61 - 1  # what the sums of a digest are taken modulo
LOST = errors.TransportError("lost")
Frames = list[bytes | Exception]


def keyed(*names: str) -> Frames:
    """Return a text for each name, which is its key too."""
    return [event(None, key=name, content=name) for name in names]


def end_with(name: str) -> bytes:
    """Return the done frame of a turn whose last text is this name."""
    return done("succeeded", None, name)


async def cursor_after(frames: Frames) -> str:
    """Return the cursor of a stream that has delivered some frames."""
    async with TaskEventStream(FakeSource([[*frames, LOST]]), idle_timeout=900) as stream:
        for _ in frames:
            await anext(stream)
        return stream.cursor


async def follow(source: FakeSource, after: str) -> list[str | None]:
    """Resume from a cursor, and return the keys of what comes."""
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        return [event.event_key async for event in stream]


@pytest.mark.parametrize("numbers", [(5, 6, 7, -1), (7, 5, 6, -1), (-1, 7, 6, 5)])
def test_a_cursor_is_the_same_in_every_process(numbers: tuple[int, ...]) -> None:
    """The same events give the same cursor, in whichever order they came, and today's cursors stay readable."""
    delivered = Delivered()
    for number in numbers:
        delivered.own.add(TextEvent(event_type="text", text="", seq=number))
    delivered.own.add(TextEvent(event_type="text", text="", event_key="k\ud800"))
    delivered.own.add(UnknownEvent(event_type="x", payload={"é": [1.5, None, True]}))
    delivered.of("s1").add(TextEvent(event_type="text", text="", event_key="k"))
    cursor = write_cursor(TASK_ID, delivered.position("a prompt"))
    of_turn, of_sub_prompt = "~6~ff2ig9hJQp3hgxnGwaBAmpyxDx_NcOs", "iaFH2iG7KVQ~1~dL6ANbKKt-1cNdSBmK4phzVxPduYU8c"
    assert cursor == f"2.5b54ae37.bYSBwcm9tcHQ.{of_turn}.{of_sub_prompt}.ba09c9b5"
    assert read_cursor(TASK_ID, cursor) == delivered.position("a prompt")


def sign(head: str) -> str:
    """Add the check sum that makes a cursor of a text."""
    return f"{head}.{crc32(head.encode()):08x}"


def with_digest(size: int, *sums: int) -> str:
    """Return a cursor with some digest, which need not be one that the package writes."""
    packed = sum(one << place for one, place in zip(sums, (122, 61, 0), strict=True)).to_bytes(23, "big")
    return sign(f"2.{crc32(TASK_ID.encode()):08x}.pp1.~{size}~{urlsafe_b64encode(packed).decode().rstrip('=')}")


@pytest.mark.parametrize("sums", [(0, 0, 0), (1, 2, 3), (PRIME - 1, PRIME - 1, PRIME - 1)])
def test_sums_are_read_as_they_were_written(sums: tuple[int, int, int]) -> None:
    """Every sum that a digest can have is in the cursor, from the least to the greatest."""
    assert read_cursor(TASK_ID, with_digest(5, *sums)) == CursorPosition("p1", SetDigest(5, *sums))


@pytest.mark.parametrize(
    "cursor",
    [
        with_digest(1, PRIME, 0, 0),
        with_digest(1, 0, PRIME, 0),
        with_digest(1, 0, 0, PRIME),
        with_digest(0, 1, 0, 0),
        with_digest(0, 0, 0, 1),
        sign(f"2.{crc32(TASK_ID.encode()):08x}"),
        sign(f"2.{crc32(TASK_ID.encode()):08x}.pp1"),
        sign(f"2.{crc32(TASK_ID.encode()):08x}.pp1.~1"),
        sign(f"2.{crc32(TASK_ID.encode()):08x}.b_w.~0~{'A' * 31}"),
        sign(f"2.{crc32(TASK_ID.encode()):08x}.pp1.{'A' * 11}~0~{'A' * 31}"),
    ],
)
def test_what_no_stream_has_written_is_no_cursor(cursor: str) -> None:
    """Not even where its check sum is right: a sum out of range, sums of nothing, a part that is missing."""
    with pytest.raises(errors.InvalidRequestError, match="must be the cursor of a stream of this package"):
        read_cursor(TASK_ID, cursor)


@given(st.none() | st.text(st.characters(exclude_categories=()), max_size=100), st.text())
def test_a_prompt_id_of_any_kind_is_read_from_its_cursor(prompt_id: str | None, task_id: str) -> None:
    """Whatever letters and length it has, and a long one has a digest of 128 bits that is the same each time."""
    kept = None if prompt_id is None else shorten_prompt_id(prompt_id)
    assert read_cursor(task_id, write_cursor(task_id, CursorPosition(prompt_id))).prompt_id == kept


def test_a_long_prompt_id_is_written_as_its_digest() -> None:
    """From 80 characters on; today's cursors of such turns stay readable."""
    assert shorten_prompt_id("p" * 79) == "p" * 79
    assert shorten_prompt_id("p" * 80) == "long-U4YcR0jAw3626eMYZ76G3Q"


@pytest.mark.parametrize(
    "shown", [["a", "x", "b", "y", "z", "c"], ["c", "x", "a", "y", "b", "z"], ["x", "y", "z", "c", "b", "a"]]
)
async def test_late_events_are_found_among_those_that_were_delivered(shown: list[str]) -> None:
    """Up to three late events, wherever they are shown, come in their order; all others don't come again."""
    after = await cursor_after(keyed("a", "b", "c"))
    for late in (["x"], ["x", "y"], ["x", "y", "z"], []):
        frames = keyed(*[name for name in shown if name in {"a", "b", "c", *late}])
        source = FakeSource([[*frames, *keyed("d"), end_with("d")]], [task("completed")])
        assert await follow(source, after) == [name for name in [*shown, "d"] if name in {*late, "d"}]


@pytest.mark.parametrize(
    "shown",
    ["wxyzabc", "awxyzbc", "ab", "abx", "xyzw"],
    ids=["4 late", "4 in between", "1 gone", "1 other", "all others"],
)
async def test_where_it_is_open_what_is_new_events_come_again_with_a_warning(
    shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What doesn't fit the cursor is delivered as a whole, with a warning in the log: nothing is lost."""
    after = await cursor_after(keyed("a", "b", "c"))
    assert await follow(FakeSource([[*keyed(*shown), end_with(shown[-1])]], [task("completed")]), after) == list(shown)
    assert [record.levelname for record in caplog.records if "may come again" in record.message] == ["WARNING"]


async def test_a_replay_that_pauses_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """What may be new isn't withheld for longer than five seconds without an event, though the turn is running."""

    class Beating(FakeSource):
        async def read(self) -> bytes:
            await asyncio.sleep(0)
            if len(self._chunks) == 1 and sum(self.skipped.slept) < 6:
                self.skipped.slept.append(2)
                return b": beat\n\n"
            return await super().read()

    after = await cursor_after(keyed("a", "b", "c"))
    source = Beating([[*keyed("a", "b", "x"), end_with("x")]], [task("completed")])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert [(await anext(stream)).event_key for _ in range(3)] == ["a", "b", "x"]
        assert stream.done is None
        assert len(source._chunks) == 1
        assert (await stream.until_done()).text == "a\n\nb\n\nx"
    assert "3 events may come again" in caplog.text


async def test_a_replay_of_a_sub_prompt_that_pauses_is_over() -> None:
    """Its events aren't withheld for longer either, where the turn's own are known again before they come."""

    class Beating(FakeSource):
        async def read(self) -> bytes:
            await asyncio.sleep(0)
            if len(self._chunks) == 1:
                self.skipped.slept.append(2)
                return b": beat\n\n"
            return await super().read()

        read_raw = read

    call = tool_use(1, subPromptId="s1")
    after = await cursor_after([call, text(1, "gone", prompt="s1")])
    source = Beating([[call, text(2, "own"), text(2, "of the sub-prompt", prompt="s1"), end_with("")]])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream, asyncio.timeout(5):
        assert [(await anext(stream)).payload["content"] for _ in range(2)] == ["own", "of the sub-prompt"]


async def test_a_replay_that_is_cut_begins_anew() -> None:
    """While it is open what was delivered, the turn is read from its start again; nothing is counted twice."""
    after = await cursor_after(keyed("a", "b", "c"))
    cut: Frames = [b"id: 1\n", *keyed("a"), b"id: 2\n", *keyed("x"), LOST]
    source = FakeSource([cut, [*keyed("a", "x", "b", "c", "d"), end_with("d")]], [task("completed")])
    assert await follow(source, after) == ["x", "d"]
    assert source.log[:2] == ["connect 900", "connect 900"]


async def test_a_cursor_covers_what_was_given_out_and_nothing_else() -> None:
    """Between two late events the cursor covers the first; before it is known what is new, it stays as it was."""
    after = await cursor_after(keyed("a", "b"))
    shown: list[Frames] = [[*keyed("a", "x", "y", "b"), end_with("b")]]
    async with aclosing(TaskEventStream(FakeSource(shown), idle_timeout=900, after=after)) as stream:
        assert stream.cursor == after
        assert (await anext(stream)).event_key == "x"
        between = stream.cursor
    assert await follow(FakeSource(shown, [task("completed")]), between) == ["y"]
    with pytest.raises(errors.StreamInterruptedError) as caught:
        await follow(FakeSource([[*keyed("a"), LOST]]), after)
    assert caught.value.cursor == after


async def test_the_last_text_is_known_where_everything_comes_again() -> None:
    """A final result that falls back on the last text has that of events that were withheld to the end."""
    after = await cursor_after(keyed("a", "b", "c"))
    source = FakeSource([[*keyed("a", "b"), done("succeeded", None, "")]], [task("completed")])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert (await stream.until_done()).final_result == "b"


async def test_two_streams_from_one_cursor_deliver_the_same() -> None:
    """A cursor is a value: streams that resume from the same one at once each deliver all that it doesn't cover."""
    after = await cursor_after(keyed("a", "b"))
    sources = [FakeSource([[*keyed("a", "x", "b", "c"), end_with("c")]], [task("completed")]) for _ in range(2)]
    assert await asyncio.gather(*(follow(source, after) for source in sources)) == [["x", "c"]] * 2


@pytest.mark.parametrize("is_covered", [True, False])
async def test_what_was_said_before_a_withheld_call_is_no_answer(is_covered: bool) -> None:
    """Whether the cursor fits or everything comes again, only a text after the last tool call can be the result."""
    call = tool_use(1, toolUseId="t")
    after = await cursor_after([*keyed("a"), call] if is_covered else keyed("a", "gone"))
    for later, final in (([], ""), (keyed("b"), "b")):
        ending: list[bytes | Exception] = [done("failed", None, "")]
        source = FakeSource([[*keyed("a"), call, *later, *ending]], [task("failed")])
        async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
            assert (await stream.until_done()).final_result == final


async def test_the_content_is_a_replay_too() -> None:
    """A stream that resumes after another turn has begun delivers the rest from the content, late events included."""
    after = await cursor_after(keyed("a", "b"))
    rows = [{"eventKey": name, "promptId": "p1", "eventType": "text", "payload": {"content": name}} for name in "axbc"]
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [{"id": "p1", "response": "c", "events": rows}]})
    later = event(1, prompt="p2", content="next")
    source = FakeSource([[*keyed("a"), later]], [task("completed", "p1", "p2")], [content])
    assert await follow(source, after) == ["x", "c"]


async def test_a_delegation_has_a_place_of_its_own() -> None:
    """A cursor covers the events of each delegation; a late one among them is found, and none comes twice."""
    rows: list[dict[str, Any]] = [
        {"eventKey": f"k{n}", "eventType": "text", "payload": {"content": "x"}} for n in range(4)
    ]
    call = tool_use(1, subPromptId="s1")
    source = FakeSource([[call, LOST]], sub_events=[[rows[0], rows[2]]])
    async with TaskEventStream(source, idle_timeout=900, follow_subprompts=True) as stream:
        assert {(await anext(stream)).event_key for _ in range(3)} == {None, "k0", "k2"}
        after = stream.cursor
    source = FakeSource([[call, text(2, "you"), done("succeeded", 2, "you")]], sub_events=[rows])
    async with TaskEventStream(source, idle_timeout=900, follow_subprompts=True, after=after) as stream:
        assert sorted([str(event.event_key) async for event in stream]) == ["None", "k1", "k3"]
        last = stream.cursor
    # Also one that doesn't follow the delegation keeps its place.
    source = FakeSource([[text(2, "you"), call, done("succeeded", 2, "you")]], [task("completed")])
    async with TaskEventStream(source, idle_timeout=900, after=last) as stream:
        assert [event async for event in stream] == []
        assert stream.cursor == last


async def test_what_a_shorter_replay_leaves_out_is_not_lost() -> None:
    """Events that were withheld come, also if a later replay or the content ends before them and the turn has ended."""
    after = await cursor_after([text(1, "a"), text(2, "b"), text(3, "c")])
    rows = [{"seq": 1, "promptId": "p1", "eventType": "text", "payload": {"content": "a"}}]
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [{"id": "p1", "events": rows}]})
    shorter: Frames = [text(1, "a"), done("succeeded", 5, "z")]
    longer: Frames = [text(1, "a"), text(2, "b"), text(5, "z")]
    source = FakeSource([longer, shorter], [task("completed")], [content])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert [event.seq async for event in stream] == [1, 2, 5]
        assert stream.done is not None


@pytest.mark.parametrize("has_stream", [True, False], ids=["stream", "content"])
@pytest.mark.parametrize("status", ["completed", "failed", "canceled"])
async def test_every_end_brings_what_was_withheld(
    *, has_stream: bool, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What doesn't fit the cursor comes before the end, whatever the end is, by the stream or by the content alone."""
    after = await cursor_after(keyed("a", "b", "c"))
    rows = [{"eventKey": name, "promptId": "p1", "eventType": "text", "payload": {"content": name}} for name in "ax"]
    prompt = {"id": "p1", "status": status, "response": "x", "events": rows}
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [prompt]})
    frames: Frames = [event(1, prompt="p2", content="next")]
    if has_stream:
        frames = [*keyed("a", "x"), done(status, None, "x")]
    source = FakeSource([frames], [task(status, *(["p1"] if has_stream else ["p1", "p2"]))], [content])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert [event.event_key async for event in stream] == ["a", "x"]
        assert stream.done is not None
        assert (stream.done.status, stream.done.final_result) == (status, "x")
    assert "2 events may come again" in caplog.text


async def test_what_was_withheld_comes_before_a_stream_is_given_up() -> None:
    """A turn whose tail is nowhere to be had is an error after all events that there are, which its cursor covers."""
    after = await cursor_after([text(1, "a"), text(2, "b"), text(3, "c")])
    source = FakeSource([[text(1, "a"), text(2, "b"), done("succeeded", 9, "z")]], [task("completed")])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert [(await anext(stream)).seq for _ in range(2)] == [1, 2]
        with pytest.raises(errors.StreamInterruptedError, match="neither by the stream nor by") as caught:
            await anext(stream)
    assert caught.value.cursor == await cursor_after([text(1, "a"), text(2, "b")])


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("is_said_after", [True, False])
async def test_what_was_said_before_a_tool_call_is_no_answer_after_a_resume(*, fits: bool, is_said_after: bool) -> None:
    """The final result is the text after the last tool call, or the content's, also where the events were withheld."""
    turn: Frames = [text(1, "first"), tool_use(2), tool_result(3), *([text(4, "last")] if is_said_after else [])]
    after = await cursor_after(turn[:2] if fits else [*turn[:2], text(8, "gone")])
    rows = [{"seq": n, "promptId": "p1", "eventType": "init", "payload": {}} for n in range(1, 4 + is_said_after)]
    prompt = {"id": "p1", "status": "succeeded", "response": "last", "events": rows}
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [prompt]})
    source = FakeSource([[*turn, done("succeeded", len(turn))]], [task("completed")], [content])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert [event.seq async for event in stream] == list(range(3 if fits else 1, len(turn) + 1))
        assert stream.done is not None
        assert stream.done.final_result == "last"


LONG_IDS = pytest.mark.parametrize(
    "prompt", ["p" * 1000, "\u00e9" * 60, "a prompt " * 30], ids=["safe", "not ASCII", "spaces"]
)


@LONG_IDS
async def test_a_cursor_is_short_whatever_the_prompt_id_is(prompt: str) -> None:
    """A cursor of a turn with a long id has no more than 200 characters, and still leads to that turn alone."""
    frames: Frames = [event(n, prompt=prompt, content=str(n)) for n in range(3)]
    after = await cursor_after(frames[:2])
    assert len(after) <= 200
    later = event(9, prompt="p2", content="next")
    source = FakeSource([[event(0, prompt="p0", content="before"), *frames, later]], [task("running", "p0", prompt)])
    async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
        assert stream.cursor == after
        assert (await anext(stream)).seq == 2
        assert stream.prompt_id == prompt
        assert len(stream.cursor) <= 200
    async with TaskEventStream(source, idle_timeout=900, after=after, prompt_id=prompt) as stream:
        assert stream.prompt_id == prompt
    for other in ["p1", f"{prompt}x"]:
        with pytest.raises(errors.InvalidRequestError, match="the cursor of the turn"):
            TaskEventStream(source, idle_timeout=900, after=after, prompt_id=other)


@LONG_IDS
async def test_a_turn_with_a_long_id_is_found_in_the_content(prompt: str) -> None:
    """The rest of a turn of whose id a cursor has a digest comes from the content once a later turn has begun."""
    after = await cursor_after([event(n, prompt=prompt, content=str(n)) for n in range(2)])
    rows = [{"seq": n, "promptId": prompt, "eventType": "text", "payload": {"content": str(n)}} for n in range(3)]
    content = decode(TaskContent, {"id": TASK_ID, "prompts": [{"id": prompt, "response": "2", "events": rows}]})
    for shown in (task("completed", prompt, "p2"), decode(Task, {"id": TASK_ID, "status": "completed"})):
        source = FakeSource([[event(1, prompt="p2", content="next")]], [shown], [content])
        async with TaskEventStream(source, idle_timeout=900, after=after) as stream:
            assert [event.seq async for event in stream] == [2]


def test_an_empty_cursor_leads_to_everything() -> None:
    """A cursor from before the first event covers nothing."""
    position = read_cursor(TASK_ID, write_cursor(TASK_ID, CursorPosition("")))
    assert (position.prompt_id, position.own) == ("", EMPTY)
    assert not Delivered(position)
