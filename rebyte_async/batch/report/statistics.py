"""The figures of a report: durations in bins and percentiles, failures in groups, and bars in lanes. Pure."""

from __future__ import annotations

import heapq
import math
import re
from bisect import bisect_right
from collections.abc import Sequence

from attrs import define, field, frozen

_WIDE = 30.0
"""The ratio of the longest to the shortest duration from which bins grow with the durations, so that both ends are
readable."""
_SHORTEST = 0.01
"""Seconds below which durations count as equal."""
_MOST_BINS = 48
_FEWEST_BINS = 8


@frozen
class Bins:
    """Ranges of durations that are counted together."""

    edges: tuple[float, ...]
    """In seconds. A bin reaches from one edge to the next; the last bin includes its end."""

    def index(self, seconds: float) -> int:
        """Return the bin of a duration."""
        return min(max(bisect_right(self.edges, max(seconds, _SHORTEST)) - 1, 0), len(self.edges) - 2)


def bin_durations(seconds: Sequence[float]) -> Bins:
    """Choose bins for durations: of equal width, or of equal ratio where the durations differ much."""
    low = max(min(seconds, default=_SHORTEST), _SHORTEST)
    high = max(max(seconds, default=1.0), low * 1.01)
    count = max(_FEWEST_BINS, min(_MOST_BINS, round(2 * math.sqrt(len(seconds)))))
    if high / low > _WIDE:
        ratio = (high / low) ** (1 / count)
        edges = [low * ratio**number for number in range(count)]
    else:
        low = 0.0 if low < high / 4 else low
        edges = [low + (high - low) * number / count for number in range(count)]
    return Bins((*edges, high))


def percentiles(seconds: Sequence[float], *ranks: float) -> tuple[float, ...]:
    """Return percentiles (ranks 0 to 100), each a duration that occurred; nothing where there are no durations."""
    ordered = sorted(seconds)
    if not ordered:
        return ()
    return tuple(ordered[max(0, math.ceil(rank / 100 * len(ordered)) - 1)] for rank in ranks)


_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_WORD_WITH_DIGITS = re.compile(r"\b(?:\d+[.,])*(?=\w*\d)(?=\w*[^\W\d])\w+")
"""An id, or a number with a unit: `req_9f8e`, `k17`, `2.5GB`."""
_STATUS = r"(?:^|(?<=: )|(?<=HTTP )|(?<=HTTP/1\.1 )|(?<=status )|(?<=status code ))[45]\d\d(?!\w)"
_NUMBER = re.compile(rf"(?<!\w)(?!{_STATUS})\d+(?:[.,]\d+)*")
"""A number that isn't the HTTP status of an error: statuses keep failures apart."""
_LONGEST = 160


def generalize_error(error: str | None) -> str:
    """Return an error on one line without its ids and numbers, so that errors of one kind are equal."""
    line = " ".join((error or "").split()) or "(no reason was given)"
    for pattern, instead in ((_UUID, "…"), (_WORD_WITH_DIGITS, "…"), (_NUMBER, "N")):
        line = pattern.sub(instead, line)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


@define
class FailureGroup:
    """Items that failed for one reason."""

    error: str
    """Their generalized error."""
    status: str
    """The status that they ended with."""
    example: str
    """The error of the first of them."""
    count: int = 0


@define
class FailureGroups:
    """Collects failures in groups."""

    _indexes: dict[tuple[str, str], int] = field(factory=dict[tuple[str, str], int], init=False)
    groups: list[FailureGroup] = field(factory=list[FailureGroup], init=False)
    """In the order of their first failures."""

    def add(self, status: str, error: str | None) -> int:
        """Add a failure, and return the index of its group."""
        general = generalize_error(error)
        index = self._indexes.setdefault((status, general), len(self.groups))
        if index == len(self.groups):
            self.groups.append(FailureGroup(general, status, error or ""))
        self.groups[index].count += 1
        return index


def assign_lanes(spans: Sequence[tuple[float, float] | None]) -> list[int | None]:
    """Place the bars of a timeline in as few lanes as there are bars at one time.

    Args:
        spans: The start and end of each bar; None for an item without a bar.

    Returns:
        The lane of each bar, from 0: the lowest that was free when the bar starts.
    """
    lanes: list[int | None] = [None] * len(spans)
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    for index, start, end in sorted(
        ((index, *span) for index, span in enumerate(spans) if span is not None), key=lambda row: (row[1], row[0])
    ):
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, lane))
        lanes[index] = lane
    return lanes
