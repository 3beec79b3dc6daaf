"""How far a batch is: drawn again and again on a terminal, a line now and then elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

import click
from attrs import define, field

from rebyte_async.cli.view.brief import duration
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.view.human import style_of_word
from rebyte_async.cli.view.keys import without_echo
from rebyte_async.cli.view.screens import is_screen, make_console

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from rebyte_async.batch import BatchProgress

__all__ = ["BatchView", "PlainBatchView", "counts_in_words", "left_in_words", "make_batch_view", "rate_in_words"]

_INTERVAL = 10.0
"""Seconds between two lines."""
_STATUSES = ("completed", "failed", "error", "ambiguous", "canceled", "skipped")
_BAR = 40
_LONGEST_KEY = 60
_SLOW = 0.95
"""Items a second below which the rate is told a minute."""


class BatchView(Protocol):
    """Shows a run while it goes on."""

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        """Show how far it is; called some times a second."""
        ...

    def say(self, text: str, /) -> None:
        """Say what is being done about it now."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def make_batch_view(*, is_alone: bool) -> BatchView:
    """What fits stderr, and whether the run writes nothing else to a terminal: that would break what is drawn."""
    return _RichBatchView() if is_alone and is_screen(sys.stderr) else PlainBatchView()


def counts_in_words(progress: BatchProgress) -> str:
    """What has ended, by status: `398 completed, 2 failed`."""
    known = [(status, progress.ended.get(status, 0)) for status in _STATUSES]
    others = [(one_line(status, 20), count) for status, count in progress.ended.items() if status not in _STATUSES]
    return ", ".join(f"{count:,} {status}" for status, count in [*known, *others] if count)


def rate_in_words(progress: BatchProgress) -> str:
    """How fast it goes."""
    rate = progress.rate
    return f"{rate:,.1f} items/s" if rate >= _SLOW else f"{60 * rate:,.1f} items/min"


def left_in_words(progress: BatchProgress, total: int | None) -> str:
    """How long it goes on at this rate, where that can be told: not of the last ones, each of which takes its time."""
    waiting = (total or 0) - progress.done - progress.running - progress.creating
    if total is None or progress.rate <= 0 or waiting <= 0:
        return ""
    return f"about {duration((total - progress.done) / progress.rate)} left"


def _done_in_words(progress: BatchProgress, total: int | None) -> str:
    return f"{progress.done:,} done" if total is None else f"{progress.done:,} of {max(total, progress.done):,} done"


def _open_in_words(progress: BatchProgress) -> str:
    creating = f"{progress.creating:,} being created" if progress.creating else ""
    return ", ".join(filter(None, (f"{progress.running:,} running", creating)))


@define
class PlainBatchView:
    """Writes a line now and then, for logs."""

    interval: float = _INTERVAL
    """Seconds between two lines."""
    _last: float = field(factory=time.monotonic, init=False)

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        """Write a line, where it is time for one."""
        now = time.monotonic()
        if now < self._last + self.interval:
            return
        self._last = now
        counts = counts_in_words(progress)
        parts = (
            _done_in_words(progress, total) + (f" ({counts})" if counts else ""),
            _open_in_words(progress),
            rate_in_words(progress),
            left_in_words(progress, total),
        )
        click.echo(", ".join(filter(None, parts)), err=True)

    def say(self, text: str, /) -> None:
        """Write it."""
        click.echo(text, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _live(view: _RichBatchView) -> Live:
    from rich.live import Live  # noqa: PLC0415 - it takes time, and only a terminal needs it

    return Live(
        view,
        console=view.console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )


@define
class _RichBatchView:
    """Draws the same few lines again and again, and takes them away at the end."""

    console: Console = field(factory=lambda: make_console(sys.stderr), init=False)
    _live: Live | None = field(default=None, init=False)
    _keys: ExitStack = field(factory=ExitStack, init=False)
    _progress: BatchProgress | None = field(default=None, init=False)
    _total: int | None = field(default=None, init=False)
    _doing: str = field(default="", init=False)

    def show(self, progress: BatchProgress, total: int | None, /) -> None:
        """Draw it."""
        self._progress, self._total = progress, total
        if self._live is not None:
            self._live.refresh()

    def say(self, text: str, /) -> None:
        """Draw it in the last line."""
        self._doing = text
        if self._live is not None:
            self._live.refresh()

    def __enter__(self) -> Self:
        self._keys.enter_context(without_echo())
        self._live = _live(self)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._keys.close()

    def __rich__(self) -> RenderableType:
        from rich.console import Group  # noqa: PLC0415 - only a terminal needs it
        from rich.text import Text  # noqa: PLC0415 - likewise

        progress = self._progress
        lines = [] if progress is None else [self._bar(progress), *self._facts(progress), *self._slowest(progress)]
        lines.append(Text(self._doing, style="yellow") if self._doing else Text("Ctrl-C to stop", style="dim"))
        for line in lines:
            line.truncate(self.console.width, overflow="ellipsis")
        return Group(*lines)

    def _bar(self, progress: BatchProgress) -> Text:
        from rich.text import Text  # noqa: PLC0415 - only a terminal needs it

        done = _done_in_words(progress, self._total)
        if not self._total:
            return Text(done, style="bold")
        width = max(8, min(_BAR, self.console.width - 40))
        part = min(1.0, progress.done / self._total)
        filled = int(width * part)
        return Text.assemble(
            ("━" * filled, "green"), ("━" * (width - filled), "bright_black"), f" {part:4.0%}  ", (done, "bold")
        )

    def _facts(self, progress: BatchProgress) -> list[Text]:
        from rich.text import Text  # noqa: PLC0415 - only a terminal needs it

        counts = Text("  ").join(
            Text(f"{count:,} {one_line(status, 20)}", style=style_of_word(status) or "yellow")
            for status, count in sorted(progress.ended.items(), key=_by_status)
            if count
        )
        running = Text(_open_in_words(progress), style="cyan")
        times = (rate_in_words(progress), f"{duration(progress.elapsed.total_seconds())} so far")
        left = left_in_words(progress, self._total)
        return [
            Text("  ").join([running, counts] if counts.plain else [running]),
            Text("  ".join(filter(None, (*times, left))), style="dim"),
        ]

    @staticmethod
    def _slowest(progress: BatchProgress) -> list[Text]:
        from rich.text import Text  # noqa: PLC0415 - only a terminal needs it

        lines = [
            Text.assemble(
                (f"{duration(item.running_for.total_seconds()):>10}  ", "cyan"),
                one_line(item.key, _LONGEST_KEY),
                (f"  {one_line(item.task_id)}", "dim"),
            )
            for item in progress.slowest
        ]
        return [Text("slowest of those that run:", style="dim"), *lines] if lines else []


def _by_status(pair: tuple[str, int]) -> int:
    status = pair[0]
    return _STATUSES.index(status) if status in _STATUSES else len(_STATUSES)
