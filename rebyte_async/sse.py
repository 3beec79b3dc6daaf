"""Server-sent events, from bytes: `SSEParser`, to the letter of the WHATWG rules.

The parser has neither a socket nor a clock. Bytes go in as they come off the wire, cut anywhere, and events come
out; how the bytes were cut never shows in them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import NamedTuple

from rebyte_async.errors import EventTooLargeError

__all__ = ["SSEParser", "ServerSentEvent"]

_BOM = b"\xef\xbb\xbf"
_MAX_RETRY = 10**18  # ms; int() itself refuses a number of more than 4,300 digits
_CR = 13
_LF = 10
# It makes a NamedTuple in half the time of the class's own constructor, and is typed where it is called.
_new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class ServerSentEvent(NamedTuple):
    """One event of a stream. A tuple, because making a frozen object would cost more than all the parsing."""

    event: str
    """The event's type; `message` when the server named none."""
    data: str
    """The data lines, joined by line feeds. Bytes that are no UTF-8 are U+FFFD."""
    id: str
    """The stream's last event id when the event was complete; empty when there was none yet."""


class SSEParser:
    """Turn the bytes of an event stream into events.

    Lines end in CR, LF or CRLF; a leading BOM is skipped; an event without data, and one that the stream doesn't
    finish, isn't given out. The cost is linear in the bytes, however they are cut.

    Args:
        max_event_bytes: The largest size of one event, in bytes: all its lines, comments included, a line end counted
            as one byte, without the line end and the empty line that end it.
    """

    __slots__ = (
        "_after_cr",
        "_amid",
        "_held",
        "_limit",
        "_max_event_bytes",
        "_retry",
        "_start",
        "_tail",
        "last_event_id",
    )

    def __init__(self, max_event_bytes: int = 64 * 1024 * 1024) -> None:
        self.last_event_id: str = ""
        """The id to reconnect with. It changes when an event is complete, also one without data."""
        self._max_event_bytes = max_event_bytes
        self._limit = max_event_bytes  # falls to -1 with the first event that is too large: nothing passes any more
        self._retry: int | None = None
        self._start: bytes | None = b""  # what may still become a BOM; None once that is settled
        self._after_cr = False  # the last byte was a CR, so a LF would belong to it
        self._tail: bytes | bytearray = b""  # the unfinished event, with LF line ends: a bytearray once it grows
        self._held = b""  # the LF after the tail, kept apart so that an empty line is always found in one piece
        self._amid = True  # whether what comes next hangs on any of these four

    @property
    def retry(self) -> int | None:
        """The reconnection time that the server asked for last, in milliseconds, or None when it never did.

        Digits alone count; more than 10**18 ms is 10**18 ms.
        """
        # The rules set it when its line is complete, not when its event is.
        lines = (self._tail + self._held).decode("utf-8", "replace").split("\n")
        for line in lines[:-1]:
            if line.startswith("retry:"):
                self._set_retry(line[6:].removeprefix(" "))
        return self._retry

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and return the events that they complete.

        Args:
            chunk: The bytes that follow those of the last call, of any length.

        Raises:
            EventTooLargeError: An event outgrew `max_event_bytes`. Events that the same chunk completed before it are
                given up with it, and every later call raises too: go on with a new parser.
        """
        if not self._amid and chunk.endswith(b"\n\n") and _CR not in chunk and len(chunk) <= self._limit:
            text = chunk[:-2].decode("utf-8", "replace")  # whole events, as a live stream brings them
        elif not (text := self._complete(chunk)):
            return []
        if text.count("\n") <= 1:  # one event of the forms that nearly all have
            name, _, data = text.rpartition("\n")
            if data.startswith("data: ") and (not name or name.startswith("event: ")):
                return [_new(ServerSentEvent, (name[7:] or "message", data[6:], self.last_event_id))]
        elif "\n\n" in text:
            events = self._alike(text)
            if events is not None:
                return events
        return self._interpret(text)

    def _complete(self, chunk: bytes) -> str:
        """Take the chunk in and give out the lines of the events that are now complete, LF between them."""
        if self._start is not None:
            chunk = self._skip_bom(chunk)
        if _CR in chunk or self._after_cr:
            chunk = self._unify_line_ends(chunk)
        lines, end, rest = (self._held + chunk).rpartition(b"\n\n")
        if end and self._tail:
            lines = b"".join((self._tail, lines))
            self._tail = b""
        self._held = b""
        if rest:
            if rest[-1] == _LF:
                rest = rest[:-1]
                self._held = b"\n"
            if not self._tail:
                self._tail = rest
            elif isinstance(self._tail, bytearray):
                self._tail += rest
            else:
                self._tail = bytearray().join((self._tail, rest))
        self._amid = bool(self._tail or self._held or self._after_cr or self._start is not None)
        if len(lines) + len(self._tail) > self._limit:
            self._check_sizes(lines)
        return lines.decode("utf-8", "replace") if lines else ""

    def _skip_bom(self, chunk: bytes) -> bytes:
        chunk = (self._start or b"") + chunk
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._start = chunk
            return b""
        self._start = None
        return chunk.removeprefix(_BOM)

    def _unify_line_ends(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk[-1:] == b"\r"
        return b"\n".join(chunk.split(b"\r\n")).replace(b"\r", b"\n")

    def _check_sizes(self, lines: bytes) -> None:
        sizes = [len(event.strip(b"\n")) for event in (*lines.split(b"\n\n"), bytes(self._tail))]
        if max(sizes) > self._limit:
            self._limit = -1
            self._tail = b""
            raise EventTooLargeError(f"an event of the stream is larger than {self._max_event_bytes} bytes")

    def _alike(self, text: str) -> list[ServerSentEvent] | None:
        """The events of the text if they differ in one line of data only, as most streams' events do, else None.

        A busy stream is cut here into its events in one step, where the general way takes a few for every line.
        """
        start = text.find("data: ")
        head = text[: start + 6]
        if start < 0 or (start > 0 and text[start - 1] != "\n") or not text.startswith(head, text.find("\n\n") + 2):
            return None
        items = text[start + 6 :].split("\n\n" + head)
        if text.count("\n") != len(items) * (head.count("\n") + 2) - 2:
            return None
        first = self._interpret(head + items[0])
        if len(first) != 1 or first[0].data != items[0]:
            return None
        event, _, event_id = first[0]
        return [_new(ServerSentEvent, (event, item, event_id)) for item in items]

    def _interpret(self, text: str) -> list[ServerSentEvent]:
        """The events of whole lines, the last of which ends an event."""
        events: list[ServerSentEvent] = []
        event = event_line = event_name = ""
        data: list[str] = []
        lines = text.split("\n")
        lines.append("")
        for line in lines:
            if not line:
                if data:
                    events.append(_new(ServerSentEvent, (event or "message", "\n".join(data), self.last_event_id)))
                    data = []
                event = ""
                continue
            if line == event_line:  # a stream has few types, so the same line comes again and again
                event = event_name
                continue
            field, _, value = line.partition(": ")
            if ":" in field:  # the first colon had no space after it
                field, _, value = line.partition(":")
            if field == "data":
                data.append(value)
            elif field == "event":
                event = event_name = value
                event_line = line
            elif field == "id" and "\0" not in value:
                self.last_event_id = value
            elif field == "retry":
                self._set_retry(value)
        return events

    def _set_retry(self, value: str) -> None:
        if value.isascii() and value.isdigit():
            digits = value.lstrip("0")
            self._retry = min(int(digits[:20] or "0"), _MAX_RETRY)
