"""The frames of an event stream, their bytes, and the sinks that they are sent to."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, Literal, TypeAlias

from attrs import define, frozen


def _encode(name: str, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode(errors="replace")  # a script may hold halves of surrogate pairs


@define(eq=False)
class Event:
    """An `event` frame; its JSON object `data` never changes once the frame is made."""

    data: dict[str, Any]

    @property
    def seq(self) -> int:
        """The event's number within its turn."""
        return int(self.data["seq"])

    @cached_property
    def wire(self) -> bytes:
        """The frame's bytes, encoded once however many streams send them."""
        return _encode("event", self.data)


@frozen
class Done:
    """The `done` frame that ends a turn."""

    data: dict[str, Any]

    @property
    def wire(self) -> bytes:
        return _encode("done", self.data)


@frozen
class Raw:
    """Bytes that are sent as they are."""

    wire: bytes


Frame: TypeAlias = Event | Done | Raw
FrameSink: TypeAlias = Callable[[Frame], Awaitable[None]]
ByteSink: TypeAlias = Callable[[bytes], Awaitable[None]]
CutManner: TypeAlias = Literal["reset", "eof", "clean"]


@define(eq=False)
class CutOff(Exception):  # noqa: N818 - a fault raises it on purpose; the emulator hasn't failed
    """A fault ends a body here, in the given manner."""

    manner: CutManner


def make_comment(text: str) -> Raw:
    return Raw(f": {text}\n\n".encode())
