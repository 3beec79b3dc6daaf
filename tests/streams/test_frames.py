"""The quick ways of a live stream give what the general ones give: frames, and deltas that continue open ones."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rebyte_async.errors import EventTooLargeError
from rebyte_async.sse import ServerSentEvent, SSEParser
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._frames import Frame, FrameParser, unpack
from rebyte_async.streams._turn import TurnState
from support.clients import client_of
from support.raw_server import DROP, RawServer
from support.task_server import SILENCE, TASK_ID, TaskServer, done, text, tool_use

API_FORM = b'event: event\ndata: {"eventType":"text"}\n\n'
PIECES = [
    API_FORM,
    b"event: event\ndata: \n\n",
    b"event: event\ndata: {}\n\n",
    b"event: event\ndata:  two spaces\n\n",
    "event: event\ndata: naïve 你好\u2028\n\n".encode(),
    b"event: event\ndata: \xff\xfe\xed\xa0\x80\n\n",
    b"event: event\ndata: a\ndata: b\n\n",
    b"event: event\ndata: a\nid: 7\n\n",
    b"event: event\ndata: a\nretry: 20\n\n",
    b"event: event\ndata: a\n: comment\n\n",
    b"event: event\ndata:a\n\n",
    b"event:event\ndata: a\n\n",
    b"event: event\n\n",
    b"event: done\ndata: {}\n\n",
    b"event: events\ndata: a\n\n",
    b"id: 8\nevent: event\ndata: a\n\n",
    b"data: unnamed\n\n",
    b"event: event\r\ndata: a\r\n\r\n",
    b"event: event\ndata: a\rdata: b\r\r",
    b"event: event\ndata: a\rb\n\n",
    b": ping\n\n",
    b"\n",
    b"\xef\xbb\xbf",
    b"event: event\ndata: event: event\n\n",
]


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.lists(st.integers(0, 400), max_size=6))
@example([b": ping\n\n", b"event: event\ndata: a\rb\n\n"], [8])
def test_frames_are_what_the_standard_says(pieces: list[bytes], places: list[int]) -> None:
    """Whatever comes beside the API's own form, and wherever the bytes are cut, the events are the parser's."""
    data = b"".join(pieces)
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    frames, reference = FrameParser(), SSEParser()
    for start, end in pairwise(edges):
        got = [unpack(frame) for frame in frames.feed_frames(data[start:end])]
        assert got == [(name, text) for name, text, _ in reference.feed(data[start:end])]
        assert (frames.last_event_id, frames.retry) == (reference.last_event_id, reference.retry)


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize("cut", [0, 5, 20])
def test_frames_in_the_apis_form_stay_bytes(count: int, cut: int) -> None:
    """Their data isn't decoded before its JSON is read, also where a chunk ends within one."""
    parser = FrameParser()
    data = API_FORM * count
    frames = [*parser.feed_frames(data[:cut]), *parser.feed_frames(data[cut:])]
    assert frames == [b'{"eventType":"text"}'] * count


def test_a_frame_that_is_too_large_is_refused_in_either_form() -> None:
    """The limit of an event holds for whole frames as for those that come in parts."""
    for head in (b"event: event\ndata: ", b"data: "):
        parser = FrameParser(100)
        parser.feed_frames(b":\n\n")
        with pytest.raises(EventTooLargeError):
            parser.feed_frames(head + b"x" * 100 + b"\n\n")


EVENTS: dict[str, dict[str, Any]] = {
    "delta": {"eventType": "text", "payload": {"content": "ab ", "is_delta": True}},
    "empty": {"eventType": "text", "payload": {"content": "", "is_delta": True}},
    "whole": {"eventType": "text", "payload": {"content": "ab ab "}},
    "call": {"eventType": "tool_use", "payload": {"id": "t", "name": "Bash"}},
    "result": {"eventType": "result", "payload": {"result": "ab"}},
    "thinking": {"eventType": "thinking", "payload": {"content": "hm"}},
    "odd": {"eventType": "text", "payload": {"content": 5}},
}
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["delta"] * 5 + list(EVENTS)),
        st.integers(0, 25),  # the row's number
        st.sampled_from(["both"] * 3 + ["number", "key", "none"]),  # what identifies it
        st.sampled_from(["p"] * 6 + [None, "s", "other"]),  # its prompt
    ),
    max_size=30,
)


def make_documents(rows: list[tuple[str, int, str, str | None]]) -> list[dict[str, Any]]:
    """Return the events of the rows as the API's JSON."""
    documents = list[dict[str, Any]]()
    for kind, number, identity, prompt in rows:
        document = {**EVENTS[kind], "promptId": prompt}
        if identity in {"both", "key"}:
            document["eventKey"] = f"k{number}"
        if identity in {"both", "number"}:
            document["seq"] = number
        documents.append(document)
    return documents


def follow(documents: list[dict[str, Any]], restarts: set[int], *, quick: bool) -> list[Any]:
    """Return what a turn delivers, and what it knows after each event; a connection ends at the restarts."""
    turn = TurnState(TASK_ID, "p", Delivered(), None)
    turn.add_frames([ServerSentEvent("event", json.dumps({**EVENTS["call"], "promptId": "p", "seq": 0}), "")])
    assert turn.next_event() is not None
    seen = list[Any]()
    for index, document in enumerate(documents):
        if index in restarts:
            turn.restart()
        data = json.dumps(document)
        frame: Frame = data.encode() if quick else ServerSentEvent("event", data, "")
        got = turn.next_event([frame])
        turn.ignore_turn("other")
        turn.unblock()
        tail = (turn.tail.has_final_text, turn.tail.last_seq, turn.tail.final_text, turn.saw_turn_event)
        seen.append((got, turn.piece, turn.events_seen, tail, turn.result().text, turn.cursor))
    return seen


@settings(max_examples=600, deadline=None)
@given(ROWS, st.sets(st.integers(0, 30), max_size=2))
@example([("delta", 1, "both", "p"), ("delta", 2, "both", "p")], {1})  # the first of a new connection
@example([("call", 5, "both", "p"), ("delta", 3, "both", "p"), ("delta", 6, "both", "p")], set())  # late, before a call
@example(
    [*[("delta", n, "number", "p") for n in (1, 1, 5)], ("call", 0, "number", "p"), ("delta", 6, "both", "p")], {1}
)
@example([(kind, number, "both", "p") for number, kind in enumerate(["delta", "thinking", "empty", "delta"], 1)], set())
def test_a_delta_that_takes_the_short_way_is_the_same(
    rows: list[tuple[str, int, str, str | None]], restarts: set[int]
) -> None:
    """Late, repeated, renumbered, foreign or empty, among calls and texts: nothing differs from the general way."""
    documents = make_documents(rows)
    assert follow(documents, restarts, quick=True) == follow(documents, restarts, quick=False)


@pytest.mark.parametrize("count", [63, 64, 65, 129, 1000])
@pytest.mark.parametrize("is_delta", [True, False])
def test_many_texts_take_little_memory(count: int, *, is_delta: bool) -> None:
    """The pieces of words are joined, and so are blocks; the text, the last block and the tail stay what they are."""
    turn = TurnState(TASK_ID, "p", Delivered(), None)
    parser = FrameParser()
    words = [f"word {number} " for number in range(count)]
    frames = [text(number, word, prompt="p", is_delta=is_delta) for number, word in enumerate(words, 2)]
    tracemalloc.start()
    for frame in (text(0, "first", prompt="p"), tool_use(1, prompt="p"), *frames):
        assert turn.next_event(parser.feed_frames(frame)) is not None
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    said = ("" if is_delta else "\n\n").join(words)
    assert turn.result().text == "first\n\n" + said
    assert turn.final_text == (said if is_delta else words[-1])
    assert turn.has_final_result(said)
    assert turn.tail.final_text == "".join(said.split())
    assert kept / count < 40 or count < 1000


async def test_a_connection_that_begins_with_a_ping_loses_and_repeats_nothing() -> None:
    """A connection whose first bytes are no event is read with care until it has brought one, cut or not."""
    ping = b": ping\n\n"
    deltas = [text(seq, f"{seq} ", key=f"k{seq}", is_delta=True) for seq in range(1, 6)]
    frames = [
        deltas[0],
        tool_use(2, key="c"),
        *(text(seq, f"{seq} ", key=f"k{seq}", is_delta=True) for seq in (3, 4, 5)),
    ]
    whole = [ping, *frames, done("succeeded", 5, "3 4 5")]
    connects: list[list[Any]] = [
        [ping, *frames[:1], DROP],
        [ping, DROP],
        [ping, *frames[:4], DROP],
        [ping, ping],
        whole,
    ]
    async with RawServer(TaskServer(connects)) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            assert [found.event_key async for found in stream] == ["k1", "c", "k3", "k4", "k5"]
        assert stream.result.text == "1 \n\n3 4 5 "
        assert stream.result.final_result == "3 4 5"
        assert stream.reconnects == 4


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_a_disconnect_ends_the_short_way(*, is_waiting: bool) -> None:
    """Whether a read waits or none: the next one connects again, and gives what has not been delivered."""
    deltas = [text(seq, "x", is_delta=True) for seq in range(1, 5)]
    connects: list[list[Any]] = [[deltas[0], deltas[1], SILENCE], [*deltas, done("succeeded", 4, "xxxx")]]
    async with RawServer(TaskServer(connects)) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            assert [(await anext(stream)).seq, (await anext(stream)).seq] == [1, 2]
            read = asyncio.ensure_future(anext(stream)) if is_waiting else None
            await asyncio.sleep(0.05)
            stream.disconnect()
            third = await (read or anext(stream))
            assert [third.seq] + [found.seq async for found in stream] == [3, 4]
            assert stream.reconnects == 1
            assert stream.result.text == "xxxx"
