"""The progress of a run in words, and a line of them now and then, for logs and other outputs that are no terminal."""

from __future__ import annotations

import sys
import time
from typing import Self

from attrs import define, field

from rebyte_async._terminal import format_duration, one_line
from rebyte_async.batch.progress import BatchProgress

_STATUSES = ("completed", "failed", "error", "ambiguous", "canceled", "skipped")
"""In the order in which their counts are shown."""
_SLOW = 0.95  # items per second below which the rate is given per minute


class ProgressView:
    """Shows the progress of a run until its block is left; this class shows nothing."""

    refresh_interval: float = 0.2
    """The seconds between two looks at the progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, progress: BatchProgress, /) -> None:
        """Show how far the run is; called several times a second."""

    def finish(self, progress: BatchProgress, /) -> None:
        """Show the end of the run, and leave it there."""

    def say(self, text: str, /) -> None:
        """Say what happens to the run now."""


@define
class LineView(ProgressView):
    """Writes a line on stderr now and then."""

    interval: float = 10.0  # seconds between two lines
    _last: float = field(factory=time.monotonic, init=False)
    _is_searching: bool = field(default=False, init=False)

    def show(self, progress: BatchProgress, /) -> None:
        if progress.searching and not self._is_searching:
            what = f"{progress.searching:,} create{'' if progress.searching == 1 else 's'}"
            self.say(f"looking for the tasks of {what} that an earlier run left undecided")
        self._is_searching = progress.searching > 0
        now = time.monotonic()
        if now >= self._last + self.interval:
            self._last = now
            self.say(format_line(progress))

    def finish(self, progress: BatchProgress, /) -> None:
        self.say(format_line(progress))

    def say(self, text: str, /) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is what it is for


def format_line(progress: BatchProgress) -> str:
    """Write the progress on a line, with all that is known and nothing else."""
    counts = format_counts(progress)
    left = format_time_left(progress)
    parts = (format_done(progress) + (f" ({counts})" if counts else ""), format_open(progress), format_rate(progress))
    return ", ".join(filter(None, (*parts, left)))


def format_counts(progress: BatchProgress) -> str:
    """Write how many items ended with each status: `398 completed, 2 failed`."""
    return ", ".join(f"{count:,} {status}" for status, count in sort_counts(progress))


def sort_counts(progress: BatchProgress) -> list[tuple[str, int]]:
    order = {status: number for number, status in enumerate(_STATUSES)}
    counts = [(one_line(status, 20), count) for status, count in progress.ended.items() if count]
    return sorted(counts, key=lambda pair: order.get(pair[0], len(order)))


def format_rate(progress: BatchProgress) -> str:
    rate = progress.rate
    return f"{rate:,.1f} items/s" if rate >= _SLOW else f"{60 * rate:,.1f} items/min"


def format_time_left(progress: BatchProgress) -> str:
    return f"about {format_duration(progress.eta.total_seconds())} left" if progress.eta else ""


def format_done(progress: BatchProgress) -> str:
    if progress.total is None:
        return f"{progress.done:,} done"
    return f"{progress.done:,} of {max(progress.total, progress.done):,} done"


def format_open(progress: BatchProgress) -> str:
    creating = f"{progress.creating:,} being created" if progress.creating else ""
    searching = f"{progress.searching:,} of an earlier run being looked for" if progress.searching else ""
    return ", ".join(filter(None, (f"{progress.running:,} running", creating, searching)))
