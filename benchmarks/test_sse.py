"""The parser of event streams beside httpx-sse, openai and anthropic, and beside the least that any parser does."""

from __future__ import annotations

import codecs
from functools import partial
from typing import TYPE_CHECKING

import anthropic._streaming as anthropic
import httpx_sse._decoders as httpx_sse
import openai._streaming as openai
import pytest

from rebyte_async.sse import SSEParser

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.conftest import Contender, Figures, Race

EVENTS = 1000
MEGABYTE = 1 << 20
DATA = b'{"seq":1,"eventType":"text","payload":{"content":"the next words of the answer","is_delta":true}}'[:92]


def chunks(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def ours(stream: list[bytes]) -> int:
    parser = SSEParser()
    return sum(len(parser.feed(chunk)) for chunk in stream)


def with_httpx_sse(stream: list[bytes]) -> int:
    """What its EventSource does with a response: decode the text as it comes, cut it into lines, decode those."""
    text, lines, decoder = (
        codecs.getincrementaldecoder("utf-8")("replace"),
        httpx_sse.SSELineDecoder(),
        httpx_sse.SSEDecoder(),
    )
    count = 0
    for chunk in stream:
        for line in lines.decode(text.decode(chunk)):
            if decoder.decode(line) is not None:
                count += 1
    return count


def with_openai(stream: list[bytes]) -> int:
    return sum(1 for _ in openai.SSEDecoder().iter_bytes(iter(stream)))


def with_anthropic(stream: list[bytes]) -> int:
    return sum(1 for _ in anthropic.SSEDecoder().iter_bytes(iter(stream)))


def split_loop(stream: list[bytes]) -> int:
    """The least there is to do, and right for nothing but LF events of one line without an id."""
    count, tail = 0, b""
    for chunk in stream:
        *events, tail = (tail + chunk).split(b"\n\n")
        count += len([("message", event[6:].decode(), "") for event in events])
    return count


def contenders(stream: list[bytes], *, bare: bool = False) -> dict[str, Contender]:
    parsers = {
        "rebyte-async": ours,
        "httpx-sse": with_httpx_sse,
        "openai": with_openai,
        "anthropic": with_anthropic,
        **({"a split loop": split_loop} if bare else {}),
    }
    assert {parse(stream) for parse in parsers.values()} == {EVENTS}
    return {name: partial(parse, stream) for name, parse in parsers.items()}


PLAIN = (b"data: " + DATA + b"\n\n") * EVENTS
FRAMES = (b"event: event\ndata: " + DATA + b"\n\n") * EVENTS
FULL = b"".join(b"event: event\r\nid: %d\r\ndata: %b\r\n\r\n" % (number, DATA) for number in range(EVENTS))
CHINESE = ("data: " + "下一句答案 🎉 " * 5 + "\n\n").encode() * EVENTS


def test_plain_events(race: Race) -> None:
    stream = contenders(chunks(PLAIN, 16384), bare=True)
    race("100-byte LF events, 16 KiB chunks", stream, units=EVENTS, aims={"httpx-sse": 3.3, "a split loop": 0.5})


def test_frames_of_the_api(race: Race) -> None:
    stream = contenders(chunks(FRAMES, 16384))
    race("event: and data:, LF, 16 KiB chunks", stream, units=EVENTS)


def test_all_fields(race: Race) -> None:
    stream = contenders(chunks(FULL, 16384))
    race("event:, id: and data:, CRLF, 16 KiB chunks", stream, units=EVENTS, aims={"httpx-sse": 2})


def test_no_ascii(race: Race) -> None:
    stream = contenders(chunks(CHINESE, 16384))
    race("Chinese text, LF, 16 KiB chunks", stream, units=EVENTS)


def test_small_chunks(race: Race) -> None:
    stream = contenders(chunks(PLAIN, 64))
    race("100-byte LF events, 64-byte chunks", stream, units=EVENTS, aims={"httpx-sse": 1.6})


def test_small_chunks_of_all_fields(race: Race) -> None:
    stream = contenders(chunks(FULL, 64))
    race("event:, id: and data:, CRLF, 64-byte chunks", stream, units=EVENTS)


def test_live(race: Race) -> None:
    stream = contenders(chunks(PLAIN, len(PLAIN) // EVENTS))
    race("one LF event a chunk", stream, units=EVENTS, aims={"openai": 3})


def test_live_frames(race: Race) -> None:
    stream = contenders(chunks(FRAMES, len(FRAMES) // EVENTS))
    race("one frame of the API a chunk", stream, units=EVENTS, aims={"openai": 3})


def long_line(size: int) -> list[bytes]:
    return chunks(b"data: " + b"x" * size + b"\n\n", 4096)


def short_lines(size: int) -> list[bytes]:
    return chunks(b"data: 0123456789\n" * (size // 17) + b"\n", 4096)


@pytest.mark.parametrize("make", [long_line, short_lines])
def test_a_large_event(race: Race, figures: Figures, make: Callable[[int], list[bytes]]) -> None:
    what = f"an 8 MB event, {make.__name__.replace('_', ' ')}"
    best = race(what, {"rebyte-async": partial(ours, make(8 * MEGABYTE))}, units=8 * MEGABYTE)
    figures.add(what, "seconds", best["rebyte-async"], aim=0.5, at_most=True)


@pytest.mark.parametrize("make", [long_line, short_lines])
def test_twice_as_large(race: Race, figures: Figures, make: Callable[[int], list[bytes]]) -> None:
    # No larger, since the cost of fresh memory pages is not the parser's.
    what = f"a 4 MB event, {make.__name__.replace('_', ' ')}"
    whole, half = (partial(ours, make(size * MEGABYTE)) for size in (4, 2))
    best = race(what, {"rebyte-async": whole, "half of it": half}, units=4 * MEGABYTE)
    figures.add(what, "times the time of half", best["rebyte-async"] / best["half of it"], aim=2.5, at_most=True)
