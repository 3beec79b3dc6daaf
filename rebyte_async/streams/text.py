"""The agent's words out of its events: deltas joined, blocks separated, echoes left out."""

from __future__ import annotations

from attrs import define, field

from rebyte_async.types.events import (
    QuestionEvent,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
)

__all__ = ["TextAssembler"]

_SEPARATOR = "\n\n"
JOINED = 64
"""Pieces of a text are joined when there are as many: each takes 50 bytes more than its text."""
_BLOCK_ENDS = (ToolUseEvent, ToolResultEvent, ThinkingEvent, QuestionEvent)


@define(eq=False, repr=False, weakref_slot=False)
class TextAssembler:
    """Turns events into the pieces of one text, with a blank line between its blocks.

    A delta is appended to the open block; a whole text begins a new one. Echoes are left out (contract §4, observed): a
    whole text that repeats the deltas before it, and a result that the text holds already, white space aside.
    """

    _pieces: list[str] = field(factory=list[str], init=False)
    _block: int = field(default=0, init=False)  # the index of the last block's first piece
    _joined: int = field(default=0, init=False)  # how many of the first pieces are joined ones
    _is_open: bool = field(default=False, init=False)  # whether a delta would be appended to that block
    _has_delta: bool = field(default=False, init=False)

    @property
    def text(self) -> str:
        """Everything so far."""
        return "".join(self._pieces)

    @property
    def last_block(self) -> str:
        """The last block, as far as it has come."""
        return "".join(self._pieces[self._block :])

    @property
    def open_block(self) -> list[str] | None:
        """All pieces so far, while the next delta would only be appended to them; else None."""
        return self._pieces if self._is_open else None

    def feed(self, event: TaskEvent) -> str:
        """Return the piece that an event adds to the text; empty when it adds none."""
        if isinstance(event, TextEvent):
            text = event.text
            if not event.is_delta:
                return self._add_whole(text)
            self._has_delta = True
            if not self._is_open:
                return self._start_block(text)
            self._pieces.append(text)
            return text
        if isinstance(event, ResultEvent):
            return self._add_result(event.text)
        if isinstance(event, _BLOCK_ENDS):
            self._is_open = False
        return ""

    def _add_whole(self, text: str) -> str:
        if self._is_open and self._has_delta and text.strip() == self.last_block.strip():
            self._is_open = False
            return ""
        self._has_delta = False
        return self._start_block(text)

    def _add_result(self, text: str) -> str:
        is_echo = "".join(text.split()) in "".join(self.text.split())
        piece = "" if is_echo else self._start_block(text)
        self._is_open = False
        return piece

    def _start_block(self, text: str) -> str:
        if not text:
            return ""
        self._is_open = True
        if not self._pieces:
            self._pieces = [text]
            return text
        self._joined = join_end(self._pieces, self._joined)
        self._pieces += (_SEPARATOR, text)
        self._block = len(self._pieces) - 1
        return _SEPARATOR + text


def join_end(pieces: list[str], start: int) -> int:
    """Join the pieces from a place on, if they are many, and return the place from which on the next ones will be."""
    if len(pieces) - start < JOINED:
        return start
    pieces[start:] = ["".join(pieces[start:])]
    return start + 1
