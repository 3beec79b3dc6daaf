"""Prose that comes in pieces, as lines of a terminal: wrapped at words, lightly styled, each line given out once."""

from __future__ import annotations

import re

import attrs
from rich.cells import cell_len, chop_cells
from rich.text import Text

_TOKEN = re.compile(r"\s+|\S+")
_INDENT = re.compile(r"\s*(?:(?:[-*+•]|\d{1,3}[.)])\s+)?")
_MARK = re.compile(r"\*\*(?=\S)|(?<=\S)\*\*|`")
_FENCE = "```"
_DEEPEST_INDENT = 8


@attrs.define
class _Markdown:
    """Where a line is within its Markdown. Marks are styled, not removed, so that no line's width changes later."""

    is_fenced: bool = False  # whether the line is in a block of code
    is_fence: bool = False  # whether the line begins or ends such a block
    is_heading: bool = False
    is_bold: bool = False
    is_code: bool = False

    def begin_line(self, text: str) -> None:
        self.is_bold = self.is_code = False
        self.is_fence = text.lstrip().startswith(_FENCE)
        self.is_heading = not self.is_fenced and text.startswith("#")

    def end_line(self) -> None:
        self.is_fenced ^= self.is_fence
        self.is_fence = False

    def paint(self, text: str) -> Text:
        if self.is_fence or self.is_fenced:
            return Text(text, style="dim" if self.is_fence else "cyan")
        painted, place = Text(style="bold" if self.is_heading else ""), 0
        for mark in _MARK.finditer(text):
            if self.is_code and mark.group() != "`":
                continue
            painted.append(text[place : mark.start()], self._style)
            painted.append(mark.group(), "dim")
            if mark.group() == "`":
                self.is_code = not self.is_code
            else:
                self.is_bold = not self.is_bold
            place = mark.end()
        return painted.append(text[place:], self._style)

    @property
    def _style(self) -> str:
        return "cyan" if self.is_code else "bold" if self.is_bold else ""


@attrs.define
class Prose:
    """A block of text on its way to a terminal.

    A terminal line is given out as soon as no further piece can change it; what is left is in `rest`.
    """

    style: str | None = None  # a style for all of it; None styles it as Markdown
    _part: str = attrs.field(default="", init=False)  # what has come of the last line and isn't given out yet
    _is_continued: bool = attrs.field(default=False, init=False)  # whether some of the last line has been given out
    _indent: int = attrs.field(default=0, init=False)
    """The indent of the terminal lines that continue a line: those of a list item are below its text."""
    _markdown: _Markdown = attrs.field(factory=_Markdown, init=False)

    def feed(self, piece: str, width: int) -> list[Text]:
        """Take a piece, and return the terminal lines that are final."""
        final: list[Text] = []
        for number, segment in enumerate(piece.split("\n")):
            if number:
                final.append(self._end_line())
            self._part += segment
            *done, self._part = self._wrap(width)
            final += [self._give(line) for line in done]
        return final

    def rest(self, width: int) -> Text | None:
        """Return the last line as far as it has come; None where nothing of it has."""
        if not self._part:
            return None
        return self._paint(self._wrap(width)[-1], attrs.evolve(self._markdown))

    def finish(self) -> list[Text]:
        return [self._end_line()] if self._part else []

    def _wrap(self, width: int) -> list[str]:
        """Break the part into terminal lines, filled greedily with words, so that more text changes none but the last.

        rich's own wrapping drops the spaces at the end of the last line, which the next word needs, and gives a word
        that is longer than the terminal and ends at its edge a blank line.
        """
        if not self._is_continued:
            match = _INDENT.match(self._part)
            self._indent = min(len(match.group()) if match else 0, _DEEPEST_INDENT, width // 4)
        lines: list[str] = []
        indented = width - self._indent
        line, room = "", indented if self._is_continued else width
        for token in _TOKEN.findall(self._part):
            needed = cell_len(token)
            if token.isspace():
                if not line and (lines or self._is_continued):
                    continue  # the space at a break is the break
                if needed > room:
                    lines.append(line)
                    line, room = "", indented
                    continue
            elif needed > room and line.strip():
                lines.append(line.rstrip())
                line, room = "", indented
            rest = token
            while needed > room:
                # At least one character, also where not even that fits.
                head = chop_cells(rest[: 4 * room], room)[0] if room > 1 else rest[0]
                lines.append(line + head)
                rest = rest[len(head) :]
                line, room, needed = "", indented, cell_len(rest)
            line += rest
            room -= needed
        return [*lines, line]

    def _end_line(self) -> Text:
        line = self._give(self._part)
        self._markdown.end_line()
        self._part, self._is_continued = "", False
        return line

    def _give(self, line: str) -> Text:
        painted = self._paint(line, self._markdown)
        self._is_continued = True
        return painted

    def _paint(self, text: str, markdown: _Markdown) -> Text:
        if not self._is_continued:
            markdown.begin_line(text)
        painted = markdown.paint(text) if self.style is None else Text(text, style=self.style)
        return Text(" " * self._indent) + painted if self._is_continued and self._indent else painted
