"""One frame of an event stream, and its bytes."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, TypeAlias

from attrs import define, frozen

__all__ = ["Comment", "Done", "Event", "Frame", "Raw"]


def _encoded(name: str, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode(errors="replace")  # a script may hold halves of surrogate pairs


@define(eq=False)
class Event:
    """An `event` frame; `data` is its JSON object and is never changed once the frame is made."""

    data: dict[str, Any]

    @property
    def seq(self) -> int:
        """The event's number within its turn."""
        return int(self.data["seq"])

    @cached_property
    def wire(self) -> bytes:
        """The frame on the wire: made once, however many streams carry it."""
        return _encoded("event", self.data)


@frozen
class Done:
    """The `done` frame that ends a turn."""

    data: dict[str, Any]

    @property
    def wire(self) -> bytes:
        """The frame on the wire."""
        return _encoded("done", self.data)


@frozen
class Comment:
    """A comment, as heartbeats are."""

    text: str

    @property
    def wire(self) -> bytes:
        """The comment on the wire."""
        return f": {self.text}\n\n".encode()


@frozen
class Raw:
    """Bytes that are sent as they are."""

    wire: bytes


Frame: TypeAlias = Event | Done | Comment | Raw
