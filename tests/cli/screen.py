"""As much of a terminal as a test needs to read what a user would see."""

from __future__ import annotations

import re

from attrs import define, field

__all__ = ["Screen"]

_TOKEN = re.compile(r"\x1b\[(?P<parameters>[0-9;?]*)(?P<command>[A-Za-z])|(?P<other>[\s\S])")


@define
class Screen:
    """Understands lines, the cursor's way up and down, and erasing; it fails on what it doesn't understand."""

    width: int
    _lines: list[list[str]] = field(factory=lambda: [[]], init=False)
    _row: int = field(default=0, init=False)
    _column: int = field(default=0, init=False)

    def show(self, raw: str) -> list[str]:
        """What can be read after all of this was sent, without blank lines at the end."""
        for token in _TOKEN.finditer(raw):
            if token["command"]:
                self._obey(token["command"], token["parameters"])
            else:
                self._put(token["other"])
        lines = ["".join(line).rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _obey(self, command: str, parameters: str) -> None:
        match command:
            case "A":
                self._row = max(0, self._row - int(parameters or 1))
            case "K":
                assert parameters == "2"
                self._lines[self._row] = []
            case "m" | "h" | "l":
                pass
            case _:
                raise AssertionError(f"a sequence that no view should send: {parameters}{command}")

    def _put(self, character: str) -> None:
        if character == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append([])
        elif character == "\r":
            self._column = 0
        else:
            assert character.isprintable(), f"a control character: {character!r}"
            if self._column == self.width:
                self._put("\n")
                self._column = 0
            line = self._lines[self._row]
            line.extend(" " * (self._column + 1 - len(line)))
            line[self._column] = character
            self._column += 1
