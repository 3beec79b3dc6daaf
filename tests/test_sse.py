"""The parser of event streams: the standard's examples, each rule by itself, and streams cut everywhere."""

from __future__ import annotations

import inspect
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rebyte_async.errors import DecodeError, EventTooLargeError
from rebyte_async.sse import ServerSentEvent, SSEParser
from support.whatwg import EventStream, decode_utf8

BOM = b"\xef\xbb\xbf"
Event = tuple[str, str, str]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut the bytes at these places."""
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def byte_by_byte(data: bytes) -> list[bytes]:
    """Cut the bytes into single ones."""
    return [data[index : index + 1] for index in range(len(data))]


def whole(data: bytes) -> list[bytes]:
    """Keep the bytes in one piece."""
    return [data]


def parse(chunks: Iterable[bytes], parser: SSEParser | None = None) -> list[ServerSentEvent]:
    """Return all events of the chunks."""
    parser = parser or SSEParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def check(data: bytes, expected: list[Event]) -> None:
    """Assert the events: of the whole, of single bytes, for each single cut, and by the standard's transcription."""
    assert EventStream.read(data).dispatched == expected
    assert parse([data]) == expected
    if not data.startswith((BOM, BOM[:2])):  # elsewhere than at the start of the stream, a BOM is none
        assert parse([b":\n\n", data]) == expected
    assert parse(byte_by_byte(data)) == expected
    for place in range(1, len(data)):
        assert parse([data[:place], b"", data[place:]]) == expected


# --- the standard's own examples ---


def test_stock_ticker() -> None:
    """Several data lines are one event, joined by line feeds."""
    check(b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")])


def test_ids_and_comments() -> None:
    """A comment is ignored, an id holds until it is replaced, an empty id resets it, a second space is data."""
    data = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    check(data, [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")])


def test_empty_data() -> None:
    """A data field without a value is an event with empty data; the unfinished block at the end is dropped."""
    check(b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")])


def test_optional_space() -> None:
    """The space after the colon is optional."""
    check(b"data:test\n\ndata: test\n\n", [("message", "test", "")] * 2)


def test_named_events() -> None:
    """The type is that of the event field, for its own event only."""
    data = b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\ndata: 113411\n\n"
    check(data, [("add", "73857293", ""), ("remove", "2153", ""), ("message", "113411", "")])


# --- each rule by itself ---

CASES: dict[str, tuple[bytes, list[Event]]] = {
    "nothing": (b"", []),
    "blank lines only": (b"\n\n\r\n\r\r\n\n", []),
    "cr": (b"data: a\r\rdata: b\r\r", [("message", "a", ""), ("message", "b", "")]),
    "crlf": (b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [("x", "a", ""), ("message", "b", "")]),
    "cr within a chunk that ends in an empty line": (b"data: a\rdata: b\n\n", [("message", "a\nb", "")]),
    "empty lines by cr within a chunk": (b"data: a\r\rdata: b\n\n", [("message", "a", ""), ("message", "b", "")]),
    "line ends mixed": (b"event: x\rdata: a\ndata: b\r\n\n", [("x", "a\nb", "")]),
    "lf cr is two line ends": (b"data: a\n\rdata: b\n\r", [("message", "a", ""), ("message", "b", "")]),
    "many blank lines": (b"\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [("message", "a", ""), ("message", "b", "")]),
    "bom": (BOM + b"data: a\n\n", [("message", "a", "")]),
    "one bom only": (BOM + BOM + b"data: a\n\ndata: b\n\n", [("message", "b", "")]),
    "bom elsewhere is data": (b"data: " + BOM + b"a\n\n", [("message", "\ufeffa", "")]),
    "bom after a line": (b"\n" + BOM + b"data: a\n\n", []),
    "half a bom": (BOM[:2] + b"data: a\n\ndata: b\n\n", [("message", "b", "")]),
    "bom alone": (BOM, []),
    "half a bom alone": (BOM[:2], []),
    "two spaces": (b"data:  a\n\n", [("message", " a", "")]),
    "tab is no space": (b"data:\ta\n\n", [("message", "\ta", "")]),
    "colons in a value": (b"data:a: b: c\n\ndata: a:b\n\n", [("message", "a: b: c", ""), ("message", "a:b", "")]),
    "space before the colon": (b"data : a\n\n", []),
    "field names are exact": (b"Data: a\nDATA: b\n data: c\ndata\0: d\n\n", []),
    "unknown fields": (b"foo: data: a\nbar\ndata: b\nx:y\n\n", [("message", "b", "")]),
    "data within another field": (
        b"data:x\nfoo: data: x\n\ndata:x\nfoo: data: y\n\n",
        [("message", "x", ""), ("message", "x", "")],
    ),
    "data within data": (b"data:data: x\n\ndata:data: y\n\n", [("message", "data: x", ""), ("message", "data: y", "")]),
    "empty event name": (
        b"event: x\nevent\ndata: a\n\nevent:\ndata: b\n\n",
        [("message", "a", ""), ("message", "b", "")],
    ),
    "event names repeat": (
        b"event: x\nid: 1\ndata: a\n\nevent: y\ndata: b\n\ndata: c\n\nevent: y\ndata: d\n\n",
        [("x", "a", "1"), ("y", "b", "1"), ("message", "c", "1"), ("y", "d", "1")],
    ),
    "the last event name counts": (b"event: x\nevent: y\ndata: a\n\n", [("y", "a", "")]),
    "no data, no event": (b"event: x\n\ndata: a\n\n", [("message", "a", "")]),
    "an id without data sticks": (b"id: 7\n\ndata: a\n\n", [("message", "a", "7")]),
    "an id with NUL is ignored": (b"id: 7\nid: 8\x009\ndata: a\n\n", [("message", "a", "7")]),
    "NUL is data": (b"event: a\0\ndata: \0\n\n", [("a\0", "\0", "")]),
    "comments": (b":\n: data: no\n:\ndata: a\n:x\n\n:\n\n", [("message", "a", "")]),
    "unfinished": (b"data: a\n\ndata: b\n", [("message", "a", "")]),
    "unfinished line": (b"data: a\n\ndata: b", [("message", "a", "")]),
    "unicode line ends are data": (
        "data: a\u2028b\u2029c\u0085d\x0b\x0c\x1c\n\n".encode(),
        [("message", "a\u2028b\u2029c\u0085d\x0b\x0c\x1c", "")],
    ),
    "latin-1 next line is no line end": (b"data: a\x85b\n\n", [("message", "a\ufffdb", "")]),
    "utf-8": ("event: é\nid: 漢\ndata: 🎉é漢\n\n".encode(), [("é", "🎉é漢", "漢")]),
    "bad utf-8": (b"data: a\xffb\xf0\x9f\x8e\ndata: \xe2\x82\n\n", [("message", "a\ufffdb\ufffd\n\ufffd", "")]),
    "bad utf-8 in names": (b"event: \xff\nid: \xfe\ndata: a\n\n", [("\ufffd", "a", "\ufffd")]),
    "alike": (b"event: e\nid: 1\ndata: a\n\n" * 3, [("e", "a", "1")] * 3),
    "alike, then not": (
        b"event: e\ndata: a\n\nevent: e\ndata: b\ndata: c\n\nevent: e\ndata: d\n\n",
        [("e", "a", ""), ("e", "b\nc", ""), ("e", "d", "")],
    ),
    "alike until another": (b"data: a\n\ndata: b\n\nid: 5\ndata: c\n\n", [
        ("message", "a", ""), ("message", "b", ""), ("message", "c", "5"),
    ]),
    "alike with two data lines": (b"data:1\ndata: a\n\ndata:1\ndata: b\n\n", [
        ("message", "1\na", ""), ("message", "1\nb", ""),
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=CASES)
def test_rule(data: bytes, expected: list[Event]) -> None:
    """Each rule of the standard holds, however the bytes are cut."""
    check(data, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"5000", 5000),
        (b"0", 0),
        (b"007", 7),
        (b"", None),
        (b"  5", None),
        (b"5 ", None),
        (b"-5", None),
        (b"+5", None),
        (b"5.0", None),
        (b"5_000", None),
        (b"0x5", None),
        ("\u0665".encode(), None),
        ("\u00b2".encode(), None),
        (b"9" * 18, 10**18 - 1),
        (b"9" * 5000, 10**18),
        (b"0" * 5000 + b"5", 5),
    ],
)
@pytest.mark.parametrize("chunks", [whole, byte_by_byte])
def test_retry(value: bytes, expected: int | None, chunks: Callable[[bytes], list[bytes]]) -> None:
    """Only ASCII digits are a retry time, with any number of digits."""
    for data in (b"retry: " + value + b"\n\n", b"retry:" + value + b"\n", b"retry: " + value + b"\r"):
        parser = SSEParser()
        assert parse(chunks(data), parser) == []
        assert parser.retry == expected


def test_retry_counts_when_its_line_ends() -> None:
    """By the standard, retry holds from the end of its line, the last id from the end of its event."""
    parser = SSEParser()
    seen = [(parser.retry, parser.last_event_id)]
    for chunk in (b"id: 1\nretry: 10", b"\n", b"retry: x\nretry: 20\n: retry: 30\nretry: 4", b"0\n\n"):
        assert parser.feed(chunk) == []
        seen.append((parser.retry, parser.last_event_id))
    assert seen == [(None, ""), (None, ""), (10, ""), (20, ""), (40, "1")]


def test_last_event_id_may_be_carried_over() -> None:
    """The parser of a new connection can continue with the id of the last one."""
    parser = SSEParser()
    parser.last_event_id = "41"
    assert parse([b"data: a\n\ndata: b\n\n", b"id: 42\n\n"], parser) == [("message", "a", "41"), ("message", "b", "41")]
    assert parser.last_event_id == "42"


def test_events_come_with_the_byte_that_completes_them() -> None:
    """An event is returned with its last byte: a CR ends it at once, and an LF after that CR ends no other line."""
    parser = SSEParser()
    assert parser.feed(b"data: a\r\n\r") == [("message", "a", "")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"") == []
    assert parser.feed(b"data: b\n\n") == [("message", "b", "")]


def test_an_event_is_a_tuple_with_names() -> None:
    """An event has named fields, unpacks and compares like a tuple."""
    (parsed,) = SSEParser().feed(b"event: e\nid: 1\ndata: a\n\n")
    assert type(parsed) is ServerSentEvent
    assert parsed == ServerSentEvent(event="e", data="a", id="1")
    assert (parsed.event, parsed.data, parsed.id) == tuple(parsed)
    assert repr(parsed) == "ServerSentEvent(event='e', data='a', id='1')"


# --- against the standard's transcription ---

PIECES = st.sampled_from(
    [
        b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b":", b": ", b" ", b"\0", BOM, b"\xef", b"\xbb", b"\xbf", b"\xff",
        b"\xe2\x82", b"\xf0\x9f\x8e", b"\xc0\x80", b"\xed\xa0\x80", "é".encode(), "🎉".encode(), "\u2028".encode(),
        "\u0085".encode(), b"data", b"data: ", b"data:", b"event", b"event: ", b"id", b"id: ", b"retry: ", b"retry:",
        b"1", b"x", b"data: a\n\n", b"event: e\ndata: a\n\n", b"id: 1\nevent: e\ndata: a\n\n", b"data: a\ndata: b\n\n",
    ]
)  # fmt: skip
STREAMS = st.one_of(
    st.lists(PIECES, max_size=60).map(b"".join),
    st.lists(PIECES, max_size=12)
    .map(b"".join)
    .map(lambda data: data * 4),  # repeated pieces take the parser's short way
    st.binary(max_size=40),
)
CUTS = st.lists(st.integers(0, 400), max_size=30)


@settings(max_examples=1500, deadline=None)
@given(STREAMS, CUTS)
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 12])
def test_every_stream_at_every_cut_is_what_the_standard_says(data: bytes, places: list[int]) -> None:
    """Events, last id and retry are those of the transcription: whole, byte by byte and at random cuts."""
    expected = EventStream.read(data)
    for chunks in ([data], byte_by_byte(data), cut(data, places)):
        parser = SSEParser()
        assert parse(chunks, parser) == expected.dispatched
        assert parser.last_event_id == expected.last_event_id
        assert parser.retry == expected.reconnection_time


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(STREAMS, STREAMS.map(lambda data: data + b"\n\n")), max_size=4))
def test_every_chunk_of_a_stream_is_what_the_standard_says(chunks: list[bytes]) -> None:
    """Chunks of a stream that has begun mostly hold whole events, and take a shorter way."""
    chunks = [b"\n\n", *chunks]
    expected = EventStream.read(b"".join(chunks))
    parser = SSEParser()
    assert parse(chunks, parser) == expected.dispatched
    assert (parser.last_event_id, parser.retry) == (expected.last_event_id, expected.reconnection_time)


@given(st.binary(max_size=60))
def test_the_transcription_decodes_like_python(data: bytes) -> None:
    """The decoder of the transcription agrees with Python's."""
    assert decode_utf8(data) == data.decode("utf-8-sig", "replace")


# --- the limit ---


def passes(chunks: Iterable[bytes], limit: int) -> bool:
    """Whether a parser with this limit accepts the chunks."""
    parser = SSEParser(max_event_bytes=limit)
    try:
        parse(chunks, parser)
    except EventTooLargeError:
        return False
    return True


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_the_limit_is_exact(end: bytes) -> None:
    """An event of exactly the limit passes, one byte more doesn't, with each kind of line end."""
    event = end.join([b"event: e", b":", b"data: abc"])
    size = len(b"event: e\n:\ndata: abc")
    for data in (event + end + end, end * 3 + event + end * 3 + event + end * 2, BOM + event + end * 2):
        for chunks in ([data], byte_by_byte(data), cut(data, [5, 9, 11, 20])):
            assert passes(chunks, size)
            assert not passes(chunks, size - 1)


@settings(max_examples=300, deadline=None)
@given(STREAMS, CUTS, st.integers(0, 30))
def test_whether_an_event_is_too_large_does_not_depend_on_cuts(data: bytes, places: list[int], limit: int) -> None:
    """A stream with a too large event is refused wherever it is cut."""
    assert passes([data], limit) == passes(byte_by_byte(data), limit) == passes(cut(data, places), limit)


@pytest.mark.parametrize("endless", [b"data: xxxxxxxx", b"x", b"data: x\n", b": ping\n", b"x\r"])
def test_an_endless_event_is_refused(endless: bytes) -> None:
    """A line or an event that doesn't end is refused once it is larger than the limit."""
    parser = SSEParser(max_event_bytes=1000)
    for _ in range(1000 // len(endless)):
        assert parser.feed(endless) == []
    with pytest.raises(EventTooLargeError, match="1000 bytes"):
        parse([endless] * 2, parser)


def test_after_a_refusal_the_parser_stays_closed() -> None:
    """After a refusal every call raises a DecodeError, and the last id is that of the last event returned."""
    parser = SSEParser(max_event_bytes=10)
    assert parser.feed(b"id: 1\ndata\n\n") == [("message", "", "1")]
    for chunk in (b"id: 2\ndata:\n\ndata: 789ab\n\n", b"", b"data: a\n\n"):
        with pytest.raises(DecodeError) as caught:
            parser.feed(chunk)
        assert type(caught.value) is EventTooLargeError
        assert parser.last_event_id == "1"


def test_the_limit_is_64_mebibytes() -> None:
    """The default leaves room for any event that an agent writes."""
    assert inspect.signature(SSEParser).parameters["max_event_bytes"].default == 64 * 1024 * 1024


def test_many_small_events_are_no_large_one() -> None:
    """The limit is for one event: a chunk of many events may be larger."""
    assert len(parse([b"data: 4567\n\n" * 1000], SSEParser(max_event_bytes=10))) == 1000


# --- linear cost, by counting calls ---


def work(chunks: list[bytes], parser: SSEParser | None = None, expected: int = 1) -> int:
    """Count the calls of functions, built-in ones included, while the chunks are parsed."""
    parser = parser or SSEParser()
    calls = 0

    def count(_frame: object, what: str, _arg: object) -> None:
        nonlocal calls
        calls += what in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        events = [event for chunk in chunks for event in parser.feed(chunk)]
    finally:
        sys.setprofile(before)
    assert len(events) == expected
    return calls


def long_line(size: int) -> list[bytes]:
    """Make one long line, in chunks."""
    return cut(b"data: " + b"x" * size + b"\n\n", range(0, size, 64))


def single_bytes(size: int) -> list[bytes]:
    """Make one line, byte by byte."""
    return byte_by_byte(b"data: " + b"x" * (size // 8) + b"\n\n")


def short_lines(size: int) -> list[bytes]:
    """Make many short lines of data, in chunks."""
    return cut(b"data: x\n" * (size // 8) + b"\n", range(0, size, 64))


def comments(size: int) -> list[bytes]:
    """Make many comments before the data, in chunks."""
    return cut(b": x\r\n" * (size // 8) + b"data: x\r\n\r\n", range(0, size, 64))


@pytest.mark.parametrize("make", [long_line, single_bytes, short_lines, comments])
def test_twice_the_bytes_are_twice_the_work(make: Callable[[int], list[bytes]]) -> None:
    """An event of twice the size takes twice as many calls, not four times as many."""
    assert work(make(1 << 15)) < 2.1 * work(make(1 << 14))


@pytest.mark.parametrize("head", [b"", b"event: e\n", b"id: 1\nevent: e\n", b"event: e\nid: 1\n"])
@pytest.mark.parametrize("data", [b"%d", b"alike", b"same %d"])
def test_similar_events_are_cut_in_one_step(head: bytes, data: bytes) -> None:
    """A chunk of events that differ in their data alone takes about a call for each."""
    chunk = b"".join(head + b"data: " + (data % n if b"%" in data else data) + b"\n\n" for n in range(1000))
    assert work([chunk], expected=1000) < 1100


@pytest.mark.parametrize("head", [b"", b"event: e\n"])
def test_a_live_event_takes_a_short_way(head: bytes) -> None:
    """An event that comes alone, as on a live stream, takes fewer than ten calls, without a step for each line."""
    parser = SSEParser()
    parser.feed(b"\n\n")
    assert work([head + b"data: {}\n\n"] * 1000, parser, expected=1000) < 10 * 1000


def test_a_growing_event_is_not_copied_with_every_chunk() -> None:
    """Hardly any chunk of a large unfinished event makes the parser copy the whole event."""
    parser = SSEParser()
    chunk = b"data: " + b"x" * 1000
    parser.feed(chunk * 1000)
    copies = 0
    tracemalloc.start()
    try:
        for _ in range(1000):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            parser.feed(chunk)
            _, peak = tracemalloc.get_traced_memory()
            copies += peak - before > 500_000
    finally:
        tracemalloc.stop()
    assert copies < 50
