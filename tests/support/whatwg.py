"""The WHATWG rules for event streams, transcribed word by word and character by character.

Slow and plain on purpose: it is what the parser is compared with, so it shares nothing with it.

Sources: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream and
https://encoding.spec.whatwg.org/#utf-8-decoder
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["EventStream", "decode_utf8"]


def decode_utf8(data: bytes) -> str:
    """Decode like the standard's "UTF-8 decode": one leading BOM is dropped, what is malformed is U+FFFD."""
    queue = list(data[3:] if data[:3] == b"\xef\xbb\xbf" else data)
    output: list[str] = []
    code_point = bytes_seen = bytes_needed = 0
    lower, upper = 0x80, 0xBF
    while queue:
        byte = queue.pop(0)
        if bytes_needed == 0:
            if byte <= 0x7F:
                output.append(chr(byte))
            elif 0xC2 <= byte <= 0xDF:
                bytes_needed, code_point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower = 0xA0 if byte == 0xE0 else lower
                upper = 0x9F if byte == 0xED else upper
                bytes_needed, code_point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower = 0x90 if byte == 0xF0 else lower
                upper = 0x8F if byte == 0xF4 else upper
                bytes_needed, code_point = 3, byte & 0x7
            else:
                output.append("\ufffd")
            continue
        if not lower <= byte <= upper:
            code_point = bytes_needed = bytes_seen = 0
            lower, upper = 0x80, 0xBF
            queue.insert(0, byte)
            output.append("\ufffd")
            continue
        lower, upper = 0x80, 0xBF
        code_point = (code_point << 6) | (byte & 0x3F)
        bytes_seen += 1
        if bytes_seen == bytes_needed:
            output.append(chr(code_point))
            code_point = bytes_needed = bytes_seen = 0
    if bytes_needed != 0:
        output.append("\ufffd")
    return "".join(output)


@dataclass
class EventStream:
    """An event source's state while it reads one whole stream."""

    dispatched: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    last_event_id: str = ""
    reconnection_time: int | None = None
    data_buffer: str = ""
    event_type_buffer: str = ""
    last_event_id_buffer: str = ""

    @classmethod
    def read(cls, data: bytes) -> EventStream:
        """Read a stream from its first byte to its end."""
        stream = cls()
        stream.parse(decode_utf8(data))
        return stream

    def parse(self, text: str) -> None:
        """Cut the text into lines and process them in order."""
        line = ""
        position = 0
        while position < len(text):
            character = text[position]
            if character == "\r":
                if position + 1 < len(text) and text[position + 1] == "\n":
                    position += 1
                self.process_line(line)
                line = ""
            elif character == "\n":
                self.process_line(line)
                line = ""
            else:
                line += character
            position += 1
        # The end of the file is reached: pending data, the last line included, is discarded.

    def process_line(self, line: str) -> None:
        """What the standard says of an empty line, a comment, a line with a colon, and any other line."""
        if line == "":
            self.dispatch()
        elif line[0] == ":":
            pass
        elif ":" in line:
            name, value = line[: line.index(":")], line[line.index(":") + 1 :]
            if value[:1] == " ":
                value = value[1:]
            self.process_field(name, value)
        else:
            self.process_field(line, "")

    def process_field(self, name: str, value: str) -> None:
        """What the standard says of each field name."""
        if name == "event":
            self.event_type_buffer = value
        elif name == "data":
            self.data_buffer += value
            self.data_buffer += "\n"
        elif name == "id":
            if "\0" not in value:
                self.last_event_id_buffer = value
        elif name == "retry" and value and all(character in "0123456789" for character in value):
            self.reconnection_time = int(value)

    def dispatch(self) -> None:
        """What the standard says of the end of an event."""
        self.last_event_id = self.last_event_id_buffer
        if self.data_buffer == "":
            self.event_type_buffer = ""
            return
        if self.data_buffer[-1] == "\n":
            self.data_buffer = self.data_buffer[:-1]
        event_type = "message"
        if self.event_type_buffer != "":
            event_type = self.event_type_buffer
        self.dispatched.append((event_type, self.data_buffer, self.last_event_id))
        self.data_buffer = ""
        self.event_type_buffer = ""
