"""How far transfers and batches are: drawn on a terminal, lines of text elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

import click
from attrs import define, field

from rebyte_async.cli.view.terminal import is_terminal
from rebyte_async.cli.view.text import format_duration, format_size, one_line

if TYPE_CHECKING:
    from rebyte_async.batch import BatchProgress
    from rebyte_async.cli.view.base import View

_INTERVAL = 10.0
_LONGEST_NAME = 30
_SLOW = 0.95
"""Items per second below which the rate is given per minute."""
BATCH_STATUSES = ("completed", "failed", "error", "ambiguous", "canceled", "skipped")
"""In the order in which their counts are shown."""


@define
class TransferView:
    """Shows transfers; this class shows nothing. A transfer may be of several files."""

    name: str = field(default="", init=False)
    began: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)

    def begin(self, name: str) -> None:
        """Show that a transfer begins."""
        self.name, self.began = one_line(name), time.monotonic()
        self.update(0, 1)
        self._count = 0

    def update(self, done: int, total: int, /) -> None:
        """Show how many bytes are transferred; `total` is 0 where it isn't known."""
        self._count = max(done, total)

    def finish(self, verb: str) -> None:
        """Say that the transfer is complete; `verb` is what was done."""

    @property
    def size(self) -> str:
        """The size of the transfer."""
        return format_size(self._count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _LineView(TransferView):
    """Writes a line when a transfer is complete."""

    def finish(self, verb: str) -> None:
        """Write the line."""
        took = format_duration(time.monotonic() - self.began)
        click.echo(f"{verb} {self.name} ({self.size} in {took})", err=True)


@define
class _NestedView(TransferView):
    """Shows uploads in the status line of the view of a turn, which has the terminal for itself."""

    view: View

    def update(self, done: int, total: int, /) -> None:
        """Show it in the status line."""
        super().update(done, total)
        part = done / total if total else 1.0
        self.view.set_status(f"uploading {one_line(self.name, _LONGEST_NAME)}  {part:.0%}")

    def finish(self, verb: str) -> None:
        """Have the view note it."""
        self.view.note(f"{verb} {self.name} ({self.size})")


def make_transfer_view(*, quiet: bool = False) -> TransferView:
    """Return the view of transfers that fits stderr; one that shows nothing when `quiet`."""
    if quiet:
        return TransferView()
    if not is_terminal(sys.stderr):
        return _LineView()
    from rebyte_async.cli.view.live import BarView  # noqa: PLC0415 - rich takes time, and only a terminal needs it

    return BarView()


def transfers_in(view: View) -> TransferView:
    """Return the view of uploads within the view of a turn."""
    return _NestedView(view)


class BatchView:
    """Shows a run of a batch."""

    __slots__ = ()

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        """Show how far the run is; called several times a second."""

    def say(self, text: str, /) -> None:
        """Say what happens to the run now."""
        click.echo(text, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@define
class PlainBatchView(BatchView):
    """Writes a line now and then, for logs."""

    interval: float = _INTERVAL
    """Seconds between two lines."""
    _last: float = field(factory=time.monotonic, init=False)

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        """Write a line, where the last one is old enough."""
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


def make_batch_view(*, may_draw: bool) -> BatchView:
    """Return the view of a run that fits stderr.

    Args:
        may_draw: Whether the run writes nothing else to a terminal: that would break what is drawn.
    """
    if not (may_draw and is_terminal(sys.stderr)):
        return PlainBatchView()
    from rebyte_async.cli.view.live import LiveBatchView  # noqa: PLC0415 - rich takes time, only a terminal needs it

    return LiveBatchView()


def format_counts(progress: BatchProgress) -> str:
    """Write how many items ended with each status: `398 completed, 2 failed`."""
    known = [(status, progress.ended.get(status, 0)) for status in BATCH_STATUSES]
    others = [(one_line(status, 20), count) for status, count in progress.ended.items() if status not in BATCH_STATUSES]
    return ", ".join(f"{count:,} {status}" for status, count in [*known, *others] if count)


def format_rate(progress: BatchProgress) -> str:
    """Write how many items end in a second, or in a minute."""
    rate = progress.rate
    return f"{rate:,.1f} items/s" if rate >= _SLOW else f"{60 * rate:,.1f} items/min"


def format_time_left(progress: BatchProgress, total: int | None) -> str:
    """Write how long the run still takes at this rate; nothing once all items run, since each takes its own time."""
    waiting = (total or 0) - progress.done - progress.running - progress.creating
    if total is None or progress.rate <= 0 or waiting <= 0:
        return ""
    return f"about {format_duration((total - progress.done) / progress.rate)} left"


def format_done(progress: BatchProgress, total: int | None) -> str:
    """Write how many items have ended."""
    return f"{progress.done:,} done" if total is None else f"{progress.done:,} of {max(total, progress.done):,} done"


def format_open(progress: BatchProgress) -> str:
    """Write how many items run and are being created."""
    creating = f"{progress.creating:,} being created" if progress.creating else ""
    return ", ".join(filter(None, (f"{progress.running:,} running", creating)))
