"""Prose that comes in pieces, as lines of a terminal: wrapped by words, lightly styled, each line given out once."""

from __future__ import annotations

import re

import attrs
from rich.cells import cell_len, chop_cells
from rich.text import Text

__all__ = ["Prose"]

_TOKEN = re.compile(r"\s+|\S+")
_INDENT = re.compile(r"\s*(?:(?:[-*+•]|\d{1,3}[.)])\s+)?")
_MARK = re.compile(r"\*\*(?=\S)|(?<=\S)\*\*|`")
_FENCE = "```"
_DEEPEST_INDENT = 8


@attrs.define
class _Markdown:
    """Where a line is within its Markdown. Marks are styled, not removed, so that no line's width changes later."""

    fenced: bool = False
    fence: bool = False
    heading: bool = False
    bold: bool = False
    code: bool = False

    def begin_line(self, text: str) -> None:
        """Note what the beginning of a line tells of it."""
        self.bold = self.code = False
        self.fence = text.lstrip().startswith(_FENCE)
        self.heading = not self.fenced and text.startswith("#")

    def end_line(self) -> None:
        """Note that the line is complete."""
        self.fenced ^= self.fence
        self.fence = False

    def paint(self, text: str) -> Text:
        """Style the next part of the line."""
        if self.fence or self.fenced:
            return Text(text, style="dim" if self.fence else "cyan")
        painted, place = Text(style="bold" if self.heading else ""), 0
        for mark in _MARK.finditer(text):
            if self.code and mark.group() != "`":
                continue
            painted.append(text[place : mark.start()], self._style)
            painted.append(mark.group(), "dim")
            self._toggle(mark.group())
            place = mark.end()
        return painted.append(text[place:], self._style)

    def _toggle(self, mark: str) -> None:
        if mark == "`":
            self.code = not self.code
        else:
            self.bold = not self.bold

    @property
    def _style(self) -> str:
        return "cyan" if self.code else "bold" if self.bold else ""


@attrs.define
class Prose:
    """A block of text on its way to a terminal.

    A terminal line is given out as soon as nothing can change it any more; what is left is in `rest`.
    """

    style: str | None = None
    """A style for all of it; None styles it as Markdown."""
    _part: str = attrs.field(default="", init=False)
    """What has come of the last line and isn't given out yet."""
    _begun: bool = attrs.field(default=False, init=False)
    """Whether some of the last line has been given out."""
    _indent: int = attrs.field(default=0, init=False)
    _markdown: _Markdown = attrs.field(factory=_Markdown, init=False)

    def feed(self, piece: str, width: int) -> list[Text]:
        """Take a piece, and give the terminal lines that are final."""
        final: list[Text] = []
        for number, segment in enumerate(piece.split("\n")):
            if number:
                final.append(self._end_line())
            self._part += segment
            final += self._settle(width)
        return final

    def rest(self, width: int) -> Text | None:
        """The last line as far as it has come; None where there is nothing of it."""
        if not self._part:
            return None
        last = self._wrapped(width)[-1]
        return self._painted(last, attrs.evolve(self._markdown))

    def finish(self) -> list[Text]:
        """Give out what is left."""
        return [self._end_line()] if self._part else []

    def _settle(self, width: int) -> list[Text]:
        *done, self._part = self._wrapped(width)
        return [self._give(line) for line in done]

    def _wrapped(self, width: int) -> list[str]:
        if not self._begun:
            match = _INDENT.match(self._part)
            self._indent = min(len(match.group()) if match else 0, _DEEPEST_INDENT, width // 4)
        return _wrap(self._part, width, self._indent, begun=self._begun)

    def _end_line(self) -> Text:
        line = self._give(self._part)
        self._markdown.end_line()
        self._part, self._begun = "", False
        return line

    def _give(self, line: str) -> Text:
        painted = self._painted(line, self._markdown)
        self._begun = True
        return painted

    def _painted(self, text: str, markdown: _Markdown) -> Text:
        if not self._begun:
            markdown.begin_line(text)
        painted = markdown.paint(text) if self.style is None else Text(text, style=self.style)
        return Text(" " * self._indent) + painted if self._begun and self._indent else painted


def _wrap(text: str, width: int, indent: int, *, begun: bool) -> list[str]:
    """Terminal lines, filled greedily with words, so that more text changes none but the last.

    Args:
        text: A line, or what is left of it.
        width: The terminal's width.
        indent: The room to leave in all but the first terminal line.
        begun: Whether the first terminal line of this line came earlier.
    """
    lines: list[str] = []
    line, left = "", width - (indent if begun else 0)
    for match in _TOKEN.finditer(text):
        token = match.group()
        needed = cell_len(token)
        if token.isspace():
            if not line and (lines or begun):
                continue  # the space at a break is the break
            if needed > left:
                lines.append(line)
                line, left = "", width - indent
                continue
        elif needed > left and line.strip():
            lines.append(line.rstrip())
            line, left = "", width - indent
        while needed > left:
            head = _head(token, left)
            lines.append(line + head)
            token = token[len(head) :]
            line, left, needed = "", width - indent, cell_len(token)
        line += token
        left -= needed
    return [*lines, line]


def _head(word: str, room: int) -> str:
    """The beginning of a word that fits, or one character where nothing does."""
    return chop_cells(word[: 4 * room], room)[0] if room > 1 else word[0]
