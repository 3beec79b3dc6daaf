"""The frames of a task's stream: server-sent events, most of them in the one form that the API writes."""

from __future__ import annotations

from typing import TypeAlias

from rebyte_async.sse import ServerSentEvent, SSEParser

Frame: TypeAlias = bytes | ServerSentEvent
"""The data of an event that is named `event`, as it came; or any event, parsed.

Most frames of a stream are the former, and their JSON is read from bytes.
"""

_HEAD = b"event: event\ndata: "
_NEXT = b"\n\n" + _HEAD
_LINES = 3  # of a frame in that form, the empty one that ends it included


def unpack(frame: Frame) -> tuple[str, str]:
    """Return the name and the data of a frame."""
    return ("event", frame.decode("utf-8", "replace")) if isinstance(frame, bytes) else (frame.event, frame.data)


class FrameParser(SSEParser):
    """Cuts the API's own form of frames out of the bytes, and leaves any other form to the parser it inherits from.

    What it returns are the same events. The data of the API's own frames stays as bytes, which JSON is read from
    anyway: it need not be decoded twice.
    """

    __slots__ = ()

    def feed_frames(self, chunk: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete. Raises as `feed` does."""
        # The work of `feed`, without decoding.
        if not self._has_pending and chunk.endswith(b"\n\n") and b"\r" not in chunk and len(chunk) <= self._limit:
            lines = chunk[:-2]
        elif not (lines := self._complete(chunk)):
            return []
        if lines.startswith(_HEAD):
            frames: list[Frame] = [*lines[len(_HEAD) :].split(_NEXT)]
            # Each has no lines but its two: a third would be more data, an id, or a comment.
            if lines.count(b"\n") == len(frames) * _LINES - 2:
                return frames
        frames = []
        for block in lines.split(b"\n\n"):  # one event each, at most
            if block.startswith(_HEAD) and block.count(b"\n") == 1:
                frames.append(block[len(_HEAD) :])
            elif block:
                frames += self._interpret(block.decode("utf-8", "replace"))
        return frames
