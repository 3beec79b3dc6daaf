"""Parse server-sent events from bytes, exactly by the WHATWG rules.

The parser has neither a socket nor a clock. It takes the bytes as they arrive, cut anywhere, and returns events, which
don't depend on where the bytes were cut.

*Source*: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import NamedTuple

from rebyte_async.errors import EventTooLargeError

__all__ = ["SSEParser", "ServerSentEvent"]

_BOM = b"\xef\xbb\xbf"
_MAX_RETRY = 10**18  # ms; int() itself refuses a number of more than 4,300 digits
_CR = 13
_LF = 10
# Makes a NamedTuple in half the time that the class' own constructor takes. Typed where it is called.
_new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class ServerSentEvent(NamedTuple):
    """One event of a stream, as parsed. A tuple, because a frozen object would take longer to make than to parse."""

    event: str
    """The event's type; `message` when the server named none."""
    data: str
    """The data lines, joined by line feeds. Bytes that are no UTF-8 become U+FFFD."""
    id: str
    """The stream's last event id when the event was complete; empty when the stream had none yet."""


class SSEParser:
    """Turn the bytes of an event stream into events.

    Lines end in CR, LF or CRLF. A BOM at the start is skipped. An event without data is not returned, nor one that the
    stream doesn't finish. The cost is linear in the bytes, wherever they are cut.

    Args:
        max_event_bytes: The largest size of one event, in bytes. All its lines count, comments included, and each line
            end as one byte; the line end and the empty line that end the event don't.
    """

    __slots__ = (
        "_after_cr",
        "_has_pending",
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
        """The id to reconnect with. It changes when an event is complete, even one without data."""
        self._max_event_bytes = max_event_bytes
        self._limit = max_event_bytes  # -1 after the first event that is too large: every later call fails
        self._retry: int | None = None
        self._start: bytes | None = b""  # the beginning of a possible BOM; None once that is decided
        self._after_cr = False  # the last byte was a CR, so an LF would belong to it
        self._tail: bytes | bytearray = b""  # the unfinished event, with LF line ends; a bytearray once it has grown
        self._held = b""  # the LF after the tail, kept apart so that "\n\n" is always found in one piece
        self._has_pending = True  # whether the next chunk has to be joined to anything; without a tail, no line end has

    @property
    def retry(self) -> int | None:
        """The reconnection time that the server asked for last, in milliseconds; None when it never did.

        A value with anything but digits is ignored; one above 10**18 ms becomes 10**18 ms.
        """
        # By the rules a retry time holds once its line is complete, not its event: look at the lines of the tail.
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
            EventTooLargeError: An event is larger than `max_event_bytes`. Events that the same chunk completed before
                it are lost, and every later call raises as well: continue with a new parser.
        """
        if not self._has_pending and chunk.endswith(b"\n\n") and _CR not in chunk and len(chunk) <= self._limit:
            lines = chunk[:-2]  # whole events, as chunks of a live stream mostly are
        elif not (lines := self._complete(chunk)):
            return []
        text = lines.decode("utf-8", "replace")
        if text.count("\n") <= 1:  # one event, of a form that nearly all have
            name, _, data = text.rpartition("\n")
            if data.startswith("data: ") and (not name or name.startswith("event: ")):
                return [_new(ServerSentEvent, (name[7:] or "message", data[6:], self.last_event_id))]
        return self._interpret(text)

    def _interpret(self, text: str) -> list[ServerSentEvent]:
        """Return the events of whole lines, the last of which ends an event."""
        if "\n\n" in text:
            events = self._interpret_similar(text)
            if events is not None:
                return events
        return self._interpret_lines(text)

    def _complete(self, chunk: bytes) -> bytes:
        """Add a chunk to the tail; return the lines of the events that are now complete, with LF between them."""
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
        self._has_pending = bool(self._tail) or self._start is not None
        if len(lines) + len(self._tail) > self._limit:
            self._check_sizes(lines)
        return lines

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

    def _interpret_similar(self, text: str) -> list[ServerSentEvent] | None:
        """Return the events of a text if they differ only in one line of data, as on most streams, else None.

        This cuts the text into its events in one step; `_interpret_lines` takes a few steps for every line.
        """
        start = text.find("data: ")
        head = text[: start + 6]
        if start < 0 or (start > 0 and text[start - 1] != "\n") or not text.startswith(head, text.find("\n\n") + 2):
            return None
        items = text[start + 6 :].split("\n\n" + head)
        if text.count("\n") != len(items) * (head.count("\n") + 2) - 2:
            return None
        first = self._interpret_lines(head + items[0])
        if [event.data for event in first] != items[:1]:
            return None
        ((event, _, event_id),) = first
        return [_new(ServerSentEvent, (event, item, event_id)) for item in items]

    def _interpret_lines(self, text: str) -> list[ServerSentEvent]:
        """Return the events of a text, line by line."""
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
            if line == event_line:  # a stream has few types, so this line is often the same
                event = event_name
                continue
            field, _, value = line.partition(": ")
            if ":" in field:  # the first colon has no space after it
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
            self._retry = min(int(digits[:19] or "0"), _MAX_RETRY)
