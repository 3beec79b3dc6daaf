"""Failures by what they have in common: an error that names an id or a number is the same error with another one."""

from __future__ import annotations

import re

from attrs import define, field

__all__ = ["FailureGroup", "FailureGroups", "common_part"]

_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_WORD_WITH_DIGITS = re.compile(r"\b(?=\w*\d)\w{12,}\b")
_NUMBER = re.compile(r"(?<!\d)(?!(?<!\w)[45]\d\d(?!\w))\d+(?:\.\d+)?")
"""A number that is no HTTP status of an error: those tell failures apart."""
_LONGEST = 160
_UNSAID = "(no reason was given)"


def common_part(error: str | None) -> str:
    """What an error has in common with others of its kind, on one line."""
    line = " ".join((error or "").split()) or _UNSAID
    for pattern, instead in ((_UUID, "…"), (_WORD_WITH_DIGITS, "…"), (_NUMBER, "N")):
        line = pattern.sub(instead, line)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


@define
class FailureGroup:
    """Items that failed alike."""

    error: str
    """What their errors have in common."""
    status: str
    """What they ended as."""
    example: str
    """The error of the first of them."""
    count: int = 0


@define
class FailureGroups:
    """Takes failures one by one, and groups them."""

    _groups: dict[tuple[str, str], int] = field(factory=dict[tuple[str, str], int], init=False)
    groups: list[FailureGroup] = field(factory=list[FailureGroup], init=False)
    """In the order in which they were found."""

    def add(self, status: str, error: str | None) -> int:
        """Take a failure.

        Returns:
            The index of its group.
        """
        common = common_part(error)
        index = self._groups.setdefault((status, common), len(self.groups))
        if index == len(self.groups):
            self.groups.append(FailureGroup(common, status, error or ""))
        self.groups[index].count += 1
        return index
