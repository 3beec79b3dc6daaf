"""How far transfers and batches are, in lines of text on stderr."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from attrs import define, field

from rebyte_async.cli.view.base import Shown, View
from rebyte_async.cli.view.text import format_duration, format_size, one_line

if TYPE_CHECKING:  # the batch takes time to import, and few commands need it
    from rebyte_async.batch import BatchProgress

LONGEST_NAME = 30
_STATUSES = ("completed", "failed", "error", "ambiguous", "canceled", "skipped")
"""In the order in which their counts are shown."""
_SLOW = 0.95  # items per second below which the rate is given per minute


@define
class TransferView(Shown):
    """Shows transfers, each of one or more files; this class shows nothing."""

    name: str = field(default="", init=False)
    began: float = field(default=0.0, init=False)
    count: int = field(default=0, init=False)  # the bytes of the transfer

    @contextmanager
    def transfer(self, name: str, verb: str) -> Generator[None]:
        """Show a transfer from its beginning to its end; `verb` says what was done."""
        with self:
            self.name = one_line(name)
            self.began = time.monotonic()
            self.update(0, 1)
            self.count = 0
            yield
            self.finish(verb)

    def update(self, done: int, total: int, /) -> None:
        """Show how many bytes are transferred; `total` is 0 where it isn't known."""
        self.count = max(done, total)

    def finish(self, verb: str) -> None:
        """Show that the transfer is complete; `verb` says what was done."""


class LineTransferView(TransferView):
    """Writes a line when a transfer is complete."""

    def finish(self, verb: str) -> None:
        took = format_duration(time.monotonic() - self.began)
        click.echo(f"{verb} {self.name} ({format_size(self.count)} in {took})", err=True)


@define
class NestedTransferView(TransferView):
    """Shows transfers in the status line of the view of a turn, which has the terminal for itself."""

    view: View
    doing: str = "uploading"
    notes: bool = True  # whether the view notes what was done, rather than shows the files at its end

    def update(self, done: int, total: int, /) -> None:
        super().update(done, total)
        part = f"{done / total:.0%}" if total else format_size(done)
        self.view.set_status(f"{self.doing} {one_line(self.name, LONGEST_NAME)}  {part}")

    def finish(self, verb: str) -> None:
        if self.notes:
            self.view.note(f"{verb} {self.name} ({format_size(self.count)})")


class BatchView(Shown):
    """Shows a run of a batch."""

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        """Show how far the run is; called several times a second."""

    def say(self, text: str, /) -> None:
        """Say what happens to the run now."""
        click.echo(text, err=True)


@define
class PlainBatchView(BatchView):
    """Writes a line now and then, for logs."""

    interval: float = 10.0  # seconds between two lines
    _last: float = field(factory=time.monotonic, init=False)
    _is_searching: bool = field(default=False, init=False)

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        if progress.searching and not self._is_searching:
            what = f"{progress.searching:,} create{'' if progress.searching == 1 else 's'}"
            self.say(f"looking for the tasks of {what} that an earlier run left undecided")
        self._is_searching = progress.searching > 0
        now = time.monotonic()
        if now < self._last + self.interval:
            return
        self._last = now
        counts = format_counts(progress)
        parts = (
            format_done(progress, total) + (f" ({counts})" if counts else ""),
            format_open(progress),
            format_rate(progress),
            format_time_left(progress, total),
        )
        click.echo(", ".join(filter(None, parts)), err=True)


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


def format_time_left(progress: BatchProgress, total: int | None) -> str:
    """Write how long the run still takes at this rate; nothing once all items run, since each takes its own time."""
    waiting = (total or 0) - progress.done - progress.running - progress.creating
    if total is None or progress.rate <= 0 or waiting <= 0:
        return ""
    return f"about {format_duration((total - progress.done) / progress.rate)} left"


def format_done(progress: BatchProgress, total: int | None) -> str:
    return f"{progress.done:,} done" if total is None else f"{progress.done:,} of {max(total, progress.done):,} done"


def format_open(progress: BatchProgress) -> str:
    creating = f"{progress.creating:,} being created" if progress.creating else ""
    searching = f"{progress.searching:,} of an earlier run being looked for" if progress.searching else ""
    return ", ".join(filter(None, (f"{progress.running:,} running", creating, searching)))
