"""The agent's words out of its events: deltas joined, blocks divided, echoes left out."""

from __future__ import annotations

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

_BETWEEN = "\n\n"
_BLOCK_ENDS = (ToolUseEvent, ToolResultEvent, ThinkingEvent, QuestionEvent)


class TextAssembler:
    """Turns events into the pieces of one text, a blank line between its blocks.

    A delta appends to the open block, a whole text begins one. A whole text that repeats the deltas before it, and a
    result that repeats the last block or all of the text, are echoes (contract §4, observed).
    """

    __slots__ = ("_block", "_open", "_pieces", "_streamed")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._block = 0  # where the last block begins among the pieces
        self._open = False  # whether a delta would append to it
        self._streamed = False  # whether there is a delta in it

    @property
    def text(self) -> str:
        """Everything so far."""
        return "".join(self._pieces)

    @property
    def last_block(self) -> str:
        """The last block, as far as it has come."""
        return "".join(self._pieces[self._block :])

    def feed(self, event: TaskEvent) -> str:
        """The piece that an event adds to the text; empty when it adds none."""
        if isinstance(event, TextEvent):
            text = event.text
            if not event.is_delta:
                return self._whole(text)
            self._streamed = True
            if not self._open:
                return self._start(text)
            self._pieces.append(text)
            return text
        if isinstance(event, ResultEvent):
            return self._result(event.text)
        if isinstance(event, _BLOCK_ENDS):
            self._open = False
        return ""

    def _whole(self, text: str) -> str:
        if self._open and self._streamed and text.strip() == self.last_block.strip():
            self._open = False
            return ""
        self._streamed = False
        return self._start(text)

    def _result(self, text: str) -> str:
        said = text.strip()
        piece = "" if said in {self.last_block.strip(), self.text.strip()} else self._start(text)
        self._open = False
        return piece

    def _start(self, text: str) -> str:
        if not text:
            return ""
        self._open = True
        if not self._pieces:
            self._pieces = [text]
            return text
        self._pieces += (_BETWEEN, text)
        self._block = len(self._pieces) - 1
        return _BETWEEN + text
