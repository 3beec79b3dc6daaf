"""Where the items' bars stand in the timeline: as few rows as there were items at work at once."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["lay_in_lanes"]


def lay_in_lanes(spans: Sequence[tuple[float, float] | None]) -> list[int | None]:
    """Lay spans of time in lanes, so that no two overlap within one.

    Args:
        spans: The beginning and the end of each; None for one that has no place in time.

    Returns:
        The lane of each, from 0: the lowest that was free when it began.
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
