"""From the bytes of a stream to typed events, with and without orjson, beside openai and anthropic with theirs."""

from __future__ import annotations

import gc
import json
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import anthropic._models as anthropic_models
import anthropic._streaming as anthropic_streaming
import openai._models as openai_models
import openai._streaming as openai_streaming
import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.responses import ResponseStreamEvent

from rebyte_async._wire.events import decode_event
from rebyte_async._wire.json import Backend
from rebyte_async.sse import SSEParser
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._frames import FrameParser
from rebyte_async.streams._turn import TurnState

if TYPE_CHECKING:
    from benchmarks.conftest import Figures, Race

EVENTS = 1000
CHUNK = 16384


def payload(number: int) -> tuple[str, dict[str, Any]]:
    """A turn in proportion: most of it text in small pieces."""
    match number % 10:
        case 6:
            return "thinking", {"content": "Let me look at the file first."}
        case 7:
            return "tool_use", {"id": f"toolu_{number:05}", "name": "Bash", "input": {"command": "ls -la"}}
        case 8:
            return "tool_result", {"id": f"toolu_{number:05}", "output": "total 8\n-rw-r--r-- 1 u u 5 a.txt"}
        case _:
            return "text", {"content": "the next words", "is_delta": True}


def event(number: int) -> dict[str, Any]:
    kind, content = payload(number)
    return {
        "seq": number,
        "timestamp": "2026-01-02T03:04:05.678Z",
        "promptId": "3f2b6c1e",
        "eventKey": f"k{number}",
        "eventType": kind,
        "payload": content,
    }


def openai_event(number: int) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "sequence_number": number,
        "item_id": "msg_3f2b6c1e8a544d0e9d3f2f1c7b1a0003",
        "output_index": 0,
        "content_index": 0,
        "delta": "the next words",
        "logprobs": [],
    }


def anthropic_event(_: int) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "the next words of it"}}


def stream(make: Any) -> list[bytes]:
    """The stream of the events that `make` makes, in the chunks of a busy connection."""
    events = [make(number) for number in range(EVENTS)]
    data = "".join(
        f"event: {event.get('type', 'event')}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n" for event in events
    ).encode()
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def typed(chunks: list[bytes], backend: Backend) -> int:
    parser = SSEParser()
    count = 0
    for chunk in chunks:
        for frame in parser.feed(chunk):
            decode_event(frame.data, backend)
            count += 1
    return count


def with_openai(chunks: list[bytes]) -> int:
    """What its client does for each frame of its own stream of the same size."""
    count = 0
    for frame in openai_streaming.SSEDecoder().iter_bytes(iter(chunks)):
        openai_models.construct_type(type_=ResponseStreamEvent, value=frame.json())
        count += 1
    return count


def with_anthropic(chunks: list[bytes]) -> int:
    """What its client does for each frame of its own stream."""
    count = 0
    for frame in anthropic_streaming.SSEDecoder().iter_bytes(iter(chunks)):
        anthropic_models.construct_type(type_=RawMessageStreamEvent, value=frame.json())
        count += 1
    return count


@pytest.mark.parametrize(("backend", "rate"), [("orjson", 400_000), ("json", 180_000)])
def test_typed_events(race: Race, backend: str, rate: int) -> None:
    contenders = {
        "rebyte-async": partial(typed, stream(event), Backend(None if backend == "json" else backend)),
        "openai": partial(with_openai, stream(openai_event)),
        "anthropic": partial(with_anthropic, stream(anthropic_event)),
    }
    assert {run() for run in contenders.values()} == {EVENTS}
    race(f"typed events, {backend}", contenders, units=EVENTS, rate=rate)


@pytest.mark.parametrize("is_delta", [True, False], ids=["deltas", "texts"])
def test_what_a_stream_keeps(figures: Figures, is_delta: bool) -> None:
    """The memory that a stream keeps for an event with a key and 14 letters of text, the event itself left out."""
    turn, parser = TurnState("t", "p", Delivered(), None), FrameParser()

    def follow(first: int, last: int) -> None:
        for number in range(first, last):
            found = event(number) | {
                "promptId": "p",
                "eventKey": f"key-{number:06}",
                "eventType": "text",
                "payload": {"content": "the next words", "is_delta": is_delta},
            }
            frame = f"event: event\ndata: {json.dumps(found)}\n\n".encode()
            assert turn.next_event(parser.feed_frames(frame)) is not None

    follow(0, EVENTS)
    gc.collect()
    tracemalloc.start()
    follow(EVENTS, 21 * EVENTS)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] / (20 * EVENTS)
    tracemalloc.stop()
    what = "deltas" if is_delta else "texts"
    figures.add(f"what a stream keeps for an event, {what}", "bytes", kept, aim=120, at_most=True)
