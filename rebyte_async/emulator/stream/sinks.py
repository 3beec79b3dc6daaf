"""Where frames and bytes go on their way to the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from rebyte_async.emulator.stream.frames import Frame

FrameSink: TypeAlias = Callable[["Frame"], Awaitable[None]]
ByteSink: TypeAlias = Callable[[bytes], Awaitable[None]]
CutManner: TypeAlias = Literal["reset", "eof", "clean"]


class CutOff(Exception):  # noqa: N818 - it is what a fault does and no failure of the emulator
    """A stream ends here, whatever was still to come."""

    def __init__(self, manner: CutManner) -> None:
        super().__init__(manner)
        self.manner: CutManner = manner
