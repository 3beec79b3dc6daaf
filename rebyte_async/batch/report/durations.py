"""How durations are distributed: bins for a histogram, and the usual percentiles."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bins", "bin_durations", "percentiles"]

_WIDE = 30.0
"""The longest duration over the shortest from which on bins grow with the durations, so that both ends can be read."""
_SHORTEST = 0.01
"""Seconds below which durations don't differ."""
_MOST = 48
_FEWEST = 8


@frozen
class Bins:
    """Which durations are counted together."""

    edges: tuple[float, ...]
    """In seconds; a bin is from one to the next, and the last one holds its end."""

    def index(self, seconds: float) -> int:
        """The bin of a duration."""
        return min(max(bisect_right(self.edges, max(seconds, _SHORTEST)) - 1, 0), len(self.edges) - 2)


def bin_durations(seconds: Sequence[float]) -> Bins:
    """Bins that suit durations: of one width, or of one ratio where they differ much."""
    low = max(min(seconds, default=_SHORTEST), _SHORTEST)
    high = max(max(seconds, default=1.0), low * 1.01)
    count = max(_FEWEST, min(_MOST, round(2 * math.sqrt(len(seconds)))))
    if high / low > _WIDE:
        ratio = (high / low) ** (1 / count)
        edges = [low * ratio**number for number in range(count)]
    else:
        low = 0.0 if low < high / 4 else low
        edges = [low + (high - low) * number / count for number in range(count)]
    return Bins((*edges, high))


def percentiles(seconds: Sequence[float], *ranks: float) -> tuple[float, ...]:
    """Percentiles, each a duration that occurred; none where there are no durations.

    Args:
        seconds: The durations.
        ranks: From 0 to 100.
    """
    ordered = sorted(seconds)
    if not ordered:
        return ()
    return tuple(ordered[max(0, math.ceil(rank / 100 * len(ordered)) - 1)] for rank in ranks)
