"""Faults of event streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from emulator.raw_client import parse, read_frame, read_until_broken
from rebyte_async.emulator import (
    BrokenBody,
    Cut,
    CutBytes,
    Drop,
    Duplicate,
    EarlyDone,
    EmptyBody,
    EmptyDone,
    HtmlPage,
    LateRow,
    Match,
    NoDone,
    Noise,
    Renumber,
    ReplayPrevious,
    Rewrite,
    Silence,
    Split,
    Status,
    StreamFormat,
    comment,
    hold,
    text,
)

if TYPE_CHECKING:
    from emulator.raw_client import Frame, RawClient
    from rebyte_async.emulator import Emulator, Fault
    from rebyte_async.emulator.frames import CutManner

_STREAMS = Match("GET", "/tasks/[^/]+/events")


@pytest.fixture
async def task_id(emulator: Emulator, http: RawClient) -> str:
    """A task that has ended with the texts a, b and c."""
    emulator.script([text(letter) for letter in "abc"])
    task_id = await http.create()
    await http.frames(task_id)
    return task_id


def _letters(frames: list[Frame]) -> str:
    return "".join(frame.data["payload"]["content"] for frame in frames if frame.name == "event")


def _seqs(frames: list[Frame]) -> list[int]:
    return [frame.data["seq"] for frame in frames if frame.name == "event"]


@pytest.mark.parametrize(("manner", "breaks"), [("reset", True), ("eof", True), ("clean", False)])
@pytest.mark.parametrize("events", [0, 2, 9])
async def test_a_stream_can_end_after_some_events(
    emulator: Emulator, http: RawClient, task_id: str, manner: CutManner, events: int, breaks: bool
) -> None:
    """A cut stream ends by a reset, within its body, or as if it were whole, and always without `done`."""
    emulator.faults.add(Cut(events, manner))

    async with http.open(task_id) as response:
        received, error = await read_until_broken(response)

    frames = parse(received)
    assert (_letters(frames), len(frames)) == ("abc"[:events], min(events, 3))
    assert (error is not None) == breaks
    assert _letters(await http.frames(task_id)) == "abc"


@pytest.mark.parametrize("count", [1, 17, 200, 400])
async def test_a_stream_can_end_after_some_bytes(emulator: Emulator, http: RawClient, task_id: str, count: int) -> None:
    """A stream that is cut after some bytes may end in the middle of a frame."""
    emulator.faults.add(CutBytes(count, "eof"))

    async with http.open(task_id) as response:
        received, error = await read_until_broken(response)

    assert len(received) == count
    assert isinstance(error, aiohttp.ClientPayloadError)


async def test_a_stream_can_lack_its_done(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """Every event comes, and the response ends well."""
    emulator.faults.add(NoDone())

    frames = await http.frames(task_id)

    assert (_letters(frames), len(frames)) == ("abc", 3)


@pytest.mark.parametrize("split", [Split(), Split(7), Split(9, seed=4)])
async def test_a_stream_can_come_in_pieces(emulator: Emulator, http: RawClient, task_id: str, split: Split) -> None:
    """The pieces are no larger than requested, and together they are the stream."""
    whole = await http.frames(task_id)
    emulator.faults.add(split)

    async with http.open(task_id) as response:
        pieces = [piece async for piece, _ in response.content.iter_chunks()]

    assert max(map(len, pieces)) <= split.size
    assert parse(b"".join(pieces)) == whole


async def test_a_stream_can_have_noise(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """Any bytes come once, between two frames."""
    emulator.faults.add(Noise(b"event: event\ndata: {broken\n\n", after=1))

    frames = await http.frames(task_id)

    assert frames[1].fields == {"event": "event", "data": "{broken"}
    assert len(frames) == 5


async def test_a_stream_can_repeat_itself(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """Every event comes twice, `done` once."""
    emulator.faults.add(Duplicate())

    frames = await http.frames(task_id)

    assert (_letters(frames), frames[-1].name, len(frames)) == ("aabbcc", "done", 7)


@pytest.mark.parametrize("after", [0, 2])
async def test_a_stream_can_fall_silent(emulator: Emulator, http: RawClient, task_id: str, after: int) -> None:
    """After some events nothing comes, not even heartbeats, until the client disconnects."""
    emulator.stream = StreamFormat(heartbeat=0.001)
    emulator.faults.add(Silence(after))

    async with http.open(task_id) as response:
        frames = [await read_frame(response) for _ in range(after)]
        with pytest.raises(TimeoutError):
            await _nothing_for(response, 0.02)

    assert _letters(frames) == "abc"[:after]


async def test_a_silence_can_pass(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """After its seconds the stream continues."""
    emulator.faults.add(Silence(1, 0.001))

    assert _letters(await http.frames(task_id)) == "abc"


async def test_the_first_connections_can_be_empty(emulator: Emulator, http: RawClient) -> None:
    """An empty `done` comes although the agent is at work."""
    emulator.script(text("a"), hold())
    emulator.faults.add(EmptyDone(), times=2)
    task_id = await http.create()

    empty = [await http.frames(task_id) for _ in range(2)]
    async with http.open(task_id) as response:
        first = await read_frame(response)

    assert [frame.data for frames in empty for frame in frames] == [
        {"status": "succeeded", "lastSeq": -1, "finalResult": ""}
    ] * 2
    assert (await http.task(task_id))["status"] == "running"
    assert first.data["payload"]["content"] == "a"


@pytest.mark.parametrize(("fault", "final"), [(EarlyDone(2), "c"), (EarlyDone(2, final_result=False), "")])
async def test_done_can_come_before_the_tail(
    emulator: Emulator, http: RawClient, task_id: str, fault: EarlyDone, final: str
) -> None:
    """The last events are missing for some connections, although the task has ended."""
    emulator.faults.add(fault)

    early, late = await http.frames(task_id), await http.frames(task_id)

    assert (_letters(early), _letters(late)) == ("a", "abc")
    assert early[-1].data == {"status": "succeeded", "lastSeq": 1, "finalResult": final}


async def test_the_previous_turn_can_be_replayed(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """A connection right after a further prompt still gets the turn before it."""
    emulator.script(text("next"))
    emulator.faults.add(ReplayPrevious(), times=2)
    await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "more"})

    turns = [_letters(await http.frames(task_id)) for _ in range(3)]

    assert turns == ["abc", "abc", "next"]


@pytest.mark.parametrize("event_keys", [True, False])
async def test_a_late_row_renumbers_the_events_after_it(emulator: Emulator, http: RawClient, event_keys: bool) -> None:
    """The new event takes a number, and the later events move up and keep their keys."""
    emulator.stream = StreamFormat(event_keys=event_keys)
    emulator.script([text(letter) for letter in "abc"])
    task_id = await http.create()
    emulator.faults.add(LateRow(at=1, payload={"content": "X"}), Match("GET", ".*/events", nth=2), times=None)

    before, after = await http.frames(task_id), await http.frames(task_id)

    keys = [frame.data.get("eventKey") for frame in before[:-1]]
    late = [frame.data.get("eventKey") for frame in after[:-1]]
    assert (_letters(before), _letters(after)) == ("abc", "aXbc")
    assert (_seqs(after), after[-1].data["lastSeq"]) == ([1, 2, 3, 4], 4)
    assert [late[0], *late[2:]] == keys
    assert len(set(late)) == (4 if event_keys else 1)


async def test_numbers_can_be_shifted(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """From some event on they are larger than they were."""
    emulator.faults.add(Renumber(by=5, at=2))

    frames = await http.frames(task_id)

    assert (_seqs(frames), frames[-1].data["lastSeq"]) == ([1, 2, 8], 8)


@pytest.mark.parametrize(("fault", "status"), [(Status(500), 500), (HtmlPage(502), 502), (Status(404), 404)])
async def test_a_connect_can_fail(emulator: Emulator, http: RawClient, task_id: str, fault: Fault, status: int) -> None:
    """Request faults work for streams."""
    emulator.faults.add(fault, _STREAMS)

    assert (await http.call("GET", f"/tasks/{task_id}/events")).status == status
    assert _letters(await http.frames(task_id)) == "abc"


async def test_a_connect_can_break(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """No response comes."""
    emulator.faults.add(Drop(), _STREAMS, times=2)  # aiohttp asks once more on a connection that it had

    with pytest.raises(aiohttp.ClientConnectionError):
        await http.frames(task_id)


async def test_faults_of_streams_leave_other_requests_alone(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """Without a match they are for streams."""
    rule = emulator.faults.add(Cut(1))

    await http.task(task_id)

    assert rule.fired == 0


async def test_a_custom_fault_of_frames_is_for_streams(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """Without a match, a fault is for the requests that its methods suggest."""

    class Silencer:
        def frames(self, sink: object) -> Any:
            del sink

            async def drop(frame: object) -> None:
                del frame

            return drop

    rule = emulator.faults.add(Silencer())
    await http.task(task_id)

    assert (await http.frames(task_id), rule.fired) == ([], 1)


async def test_a_fault_that_fails_breaks_its_stream(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """The response can't be replaced any more, and `check` raises the error."""

    class Broken:
        def frames(self, sink: object) -> Any:
            raise LookupError(sink)

    emulator.faults.add(Broken(), _STREAMS)
    async with http.open(task_id) as response:
        _, error = await read_until_broken(response)

    assert error is not None
    with pytest.raises(ExceptionGroup):
        emulator.check()


async def test_body_faults_leave_streams_alone(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """Faults of bodies are for whole responses."""
    for fault in (EmptyBody(), BrokenBody(), Rewrite(list)):
        emulator.faults.add(fault, _STREAMS)

    assert _letters(await http.frames(task_id)) == "abc"


async def test_comments_do_not_count_as_events(emulator: Emulator, http: RawClient) -> None:
    """Faults that count events pass comments on."""
    emulator.script(comment(), text("a"), comment(), text("b"))
    task_id = await http.create()
    await http.frames(task_id)
    for fault in (Cut(2, "clean"), EarlyDone(0), LateRow(1)):
        emulator.faults.add(fault)

    assert _letters(await http.frames(task_id)) == "alateb"


async def test_faults_of_streams_add_up(emulator: Emulator, http: RawClient, task_id: str) -> None:
    """A stream is duplicated, cut and split at once, in the order in which the faults were added."""
    for fault in (Duplicate(), Cut(3, "clean"), Split(5)):
        emulator.faults.add(fault)

    frames = await http.frames(task_id)

    assert (_letters(frames), len(frames)) == ("aab", 3)
    assert emulator.log[-1].faults == (Duplicate(), Cut(3, "clean"), Split(5))


async def _nothing_for(response: aiohttp.ClientResponse, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await response.content.readany()
