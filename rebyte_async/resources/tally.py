"""The progress of several transfers as one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rebyte_async.resources.sources import Progress

__all__ = ["Tally"]


@define(eq=False)
class Tally:
    """Adds up how far some transfers are. What is in all is 0 while the size of one isn't known."""

    _progress: Progress | None
    _sizes: list[int | None]
    """The size of each, as far as it is known; kept up to date here."""
    _counts: dict[int, int] = field(factory=dict[int, int], init=False)
    _done: int = field(default=0, init=False)

    def part(self, index: int) -> Progress | None:
        """Whom one of them is to tell how far it is."""
        return None if self._progress is None else partial(self._report, self._progress, index)

    def known(self, index: int, size: int) -> None:
        """The size of one is known now, which it may not have been before."""
        if self._progress is not None and self._sizes[index] is None:
            self._sizes[index] = size
            self._progress(self._done, _sum(self._sizes))

    def _report(self, progress: Progress, index: int, count: int, size: int) -> None:
        before = self._counts.get(index, 0)
        if count == before and self._sizes[index] is not None:
            return
        self._counts[index] = count
        self._done += count - before
        if size:
            self._sizes[index] = size
        progress(self._done, _sum(self._sizes))


def _sum(sizes: Sequence[int | None]) -> int:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else 0
