"""One run of a batch from the command line: shows its progress, writes its outcomes, says what is left at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from attrs import Factory, define, evolve, field

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import format_duration, is_terminal, one_line
from rebyte_async.batch import BatchOutcome, BatchProgress, BatchRun, read_journal
from rebyte_async.batch.progress_lines import LineView, ProgressView, format_counts
from rebyte_async.cli.batch_journal import JournalPlace, hide_passwords, to_arguments
from rebyte_async.cli.exits import Exit, exit_code_for, report_error
from rebyte_async.cli.outcome_file import OutcomeFile
from rebyte_async.cli.runtime import discard_output, open_client, run
from rebyte_async.errors import BatchError, InvalidRequestError, JournalBusyError, RebyteError

_REFRESH_INTERVAL = 0.2
_MOST_BUFFERED = 1_000  # outcomes that may wait to be written
_EXITS = (
    ("ambiguous", Exit.AMBIGUOUS),
    ("failed", Exit.FAILED),
    ("error", Exit.FAILED),
    ("canceled", Exit.CANCELED),
    ("skipped", Exit.LIMITED),
)
"""The exit codes of a batch: that of the first status in which an item ended counts."""
_RETRIES = {"--failed": ("failed", "error"), "--canceled": ("canceled",), "--ambiguous": ("ambiguous",)}
"""The options of `batch retry`, by the statuses that they choose."""


@define
class BatchJob:
    """One run of a batch."""

    journal: JournalPlace
    out: OutcomeFile = field(converter=OutcomeFile)
    options: dict[str, Any]  # the options of the runner
    begin: Callable[[AsyncRebyte, int | None], BatchRun]  # begins the run; takes the number of items, if known
    count: Callable[[], int | None] = lambda: None  # counts the items, where that is possible; called in a thread
    prepare: Callable[[AsyncRebyte], Awaitable[None]] | None = None  # runs first, once it is known that there is a key
    is_whole: bool = True  # whether the run gives an outcome for every item of the journal
    _view: ProgressView = field(default=Factory(lambda job: _make_view(job.out.is_stdout), takes_self=True), init=False)
    _run: BatchRun | None = field(default=None, init=False)
    _total: int | None = field(default=None, init=False)
    _write_error: OSError | None = field(default=None, init=False)
    """Why no more outcomes can be written; the journal has them."""
    _buffer: list[BatchOutcome] = field(factory=list["BatchOutcome"], init=False)  # outcomes that aren't written yet

    def run(self) -> int:
        try:
            with self.out:
                code = run(
                    self._main,
                    on_interrupt=self._end_interrupted,
                    on_error=self._end_failed,
                    on_signal=self._note_signal,
                    screen=self._shown(),
                )
                return self._end() if code == Exit.OK else code
        except BrokenPipeError:
            return discard_output()
        except OSError as error:
            return self._end_failed(error)

    @contextmanager
    def _shown(self) -> Generator[None]:
        """Show the view, which says what the SDK warns of as well: a log would break what is drawn."""
        logger, handler = logging.getLogger("rebyte_async"), _ViewHandler(self._view)
        logger.addHandler(handler)
        try:
            with self._view:
                yield
        finally:
            logger.removeHandler(handler)

    async def _main(self) -> None:
        try:
            async with open_client() as client:
                if self.prepare is not None:
                    await self.prepare(client)
                async with self._refreshing():
                    await self._follow(client)
        except asyncio.CancelledError:
            if self._write_error is None:
                raise
            raise self._write_error from None

    async def _follow(self, client: AsyncRebyte) -> None:
        with suppress(OSError):  # which reading the items reports
            self._total = await asyncio.to_thread(self.count)
        self._run = self.begin(client, self._total if self.is_whole else None)
        async with self._run as outcomes:
            async for outcome in outcomes:
                self._buffer.append(outcome)
                if len(self._buffer) >= _MOST_BUFFERED:
                    await self._flush()
        await self._flush()

    @asynccontextmanager
    async def _refreshing(self) -> AsyncGenerator[None]:
        """Refresh the view and write outcomes as they come, until the block is left."""
        main, ended = asyncio.current_task(), asyncio.Event()
        assert main is not None  # noqa: S101 - it is running
        refresher = asyncio.create_task(self._refresh(main, ended))
        try:
            yield
        finally:
            ended.set()
            await refresher  # which isn't cancelled: its thread may be writing outcomes

    async def _refresh(self, main: asyncio.Task[Any], ended: asyncio.Event) -> None:
        while not ended.is_set():
            if self._run is not None:
                self._view.show(self._progress(self._run))
            try:
                await self._flush()
            except OSError as error:  # the reader of the outcomes has left, or the disk is full
                self._write_error = error
                main.cancel()
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_INTERVAL):
                    await ended.wait()

    def _progress(self, run: BatchRun) -> BatchProgress:
        progress = run.progress
        return evolve(progress, total=self._total) if progress.total is None else progress

    async def _flush(self) -> None:
        buffer, self._buffer = self._buffer, []
        if buffer:
            await asyncio.to_thread(self.out.write, buffer)

    # --- The ends of the run ---

    def _note_signal(self, count: int) -> None:
        cancels = self.options.get("cancel_remote")
        if count == 1:
            what = "canceling the running tasks" if cancels else "stopping"
            self._view.say(f"{what}; Ctrl-C again to leave at once")
            return
        with suppress(Exception):  # a signal comes at any point of the program
            self._view.__exit__(None, None, None)
            fate = "some tasks may not be canceled" if cancels else "the tasks keep running"
            click.echo(f"left at once: {fate}", err=True)
            self._say_how_to_continue()
        # End the process without the clean-up, which takes its time: the journal is right at every moment.
        os._exit(128 + signal.SIGINT)

    def _complete_file(self) -> None:
        """Add to the file the outcomes that only the journal has."""
        if self._run is None or self.out.path is None:
            return
        self.out.write(self._buffer)
        with suppress(RebyteError), read_journal(self.journal) as reader:
            self.out.complete(reader.outcomes())

    def _end_failed(self, error: RebyteError | OSError) -> int:
        report_error(error)
        if not isinstance(error, RebyteError):  # the file of outcomes can't be written
            self._say_how_to_continue()
            return exit_code_for(error)
        if self._run is not None and not isinstance(error, JournalBusyError):
            self._complete_file()
            self._say_how_to_continue()
        return exit_code_for(_find_cause(error))

    def _end_interrupted(self, code: int) -> int:
        if self._run is None:
            click.echo("interrupted: nothing was started", err=True)
            return code
        self._complete_file()
        click.echo(f"interrupted: {self._fate()}", err=True)
        self._say_how_to_continue()
        return code

    def _fate(self) -> str:
        running = 0
        with suppress(RebyteError), read_journal(self.journal) as reader:
            counts = reader.counts()
            running = counts.states.get("running", 0) + counts.states.get("creating", 0)
        tasks = f"{running:,} task{'' if running == 1 else 's'}"
        if not self.options.get("cancel_remote"):
            return f"{tasks} keep{'s' if running == 1 else ''} running" if running else "no task is running"
        return f"{tasks} may still be running: not known to be canceled" if running else "the tasks are canceled"

    def _say_how_to_continue(self) -> None:
        if isinstance(self.journal, Path) and not self.journal.exists():  # nothing was begun
            return
        click.echo(f"  continue:  {_command(*sys.argv[1:])}", err=True)
        if self.options.get("cancel_remote"):
            click.echo(
                f"  again:     {_command('batch', 'retry', *to_arguments(self.journal), '--canceled')}", err=True
            )
        click.echo(f"  look:      {_command('batch', 'status', *to_arguments(self.journal))}", err=True)

    def _end(self) -> int:
        if self.is_whole:
            self.out.replace()
        else:
            self._complete_file()
        assert self._run is not None  # noqa: S101 - it has ended
        progress = self._run.progress
        counts = format_counts(progress) or "no items"
        click.echo(f"{counts} in {format_duration(progress.elapsed.total_seconds())}", err=True)
        for line in self._hints(progress):
            click.echo(line, err=True)
        return next((code for status, code in _EXITS if progress.ended.get(status)), Exit.OK)

    def _hints(self, progress: BatchProgress) -> Iterator[str]:
        counts = {option: sum(progress.ended.get(status, 0) for status in of) for option, of in _RETRIES.items()}
        options = [option for option, count in counts.items() if count]
        failures = [f"--status={status}" for status in _RETRIES["--failed"] if progress.ended.get(status)]
        if progress.ended.get("skipped"):
            yield f"  start the skipped ones:  {_command(*sys.argv[1:])}"
        if failures and self.out.path is None:
            yield f"  see why:                 {_command('batch', 'export', *to_arguments(self.journal), *failures)}"
        if options:
            yield f"  run those again:         {_command('batch', 'retry', *to_arguments(self.journal), *options)}"


def _make_view(writes_outcomes: bool) -> ProgressView:
    """Return the view of a run that fits stderr; it doesn't draw where outcomes are written to a terminal."""
    if not is_terminal(sys.stderr) or (writes_outcomes and sys.stdout.isatty()):
        return LineView()
    from rebyte_async.batch.progress_bar import Picture, TerminalBar  # noqa: PLC0415 - rich takes time

    return TerminalBar(Picture("Ctrl-C to stop"), is_alone=True)


def _find_cause(error: RebyteError) -> RebyteError:
    """Return the error that gives the exit code: the cause says more than that the batch can't continue."""
    cause = error.__cause__
    if type(error) is not BatchError or isinstance(cause, InvalidRequestError):
        return error
    return cause if isinstance(cause, RebyteError) else error


class _ViewHandler(logging.Handler):
    """Has the view say the SDK's warnings."""

    def __init__(self, view: ProgressView) -> None:
        super().__init__(logging.WARNING)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.say(f"warning: {one_line(record.getMessage())}")


def _command(*arguments: str) -> str:
    return one_line(shlex.join(["rebyte-async", *hide_passwords(arguments)]))
