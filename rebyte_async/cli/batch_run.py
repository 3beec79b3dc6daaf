"""Running a batch from the command line: show how far it is, keep its outcomes, and say what is left when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click
from attrs import Factory, define, field

from rebyte_async.cli.batch_out import OutcomeFile
from rebyte_async.cli.exits import Exit, complain_of, exit_of, forget_output
from rebyte_async.cli.loop import InterruptedBySignal, run_loop
from rebyte_async.cli.view.batch import counts_in_words, make_batch_view
from rebyte_async.cli.view.brief import duration
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.watch import api_client
from rebyte_async.errors import BatchError, InvalidRequestError, JournalBusyError, RebyteError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from rebyte_async import AsyncRebyte
    from rebyte_async.batch import BatchItem, BatchOutcome, BatchProgress, BatchRun
    from rebyte_async.cli.view.batch import BatchView

__all__ = ["BatchJob"]

_TICK = 0.2
_AT_ONCE = 1_000
"""Outcomes that may wait for the disk."""
_EXITS = (
    ("ambiguous", Exit.AMBIGUOUS),
    ("failed", Exit.FAILED),
    ("error", Exit.FAILED),
    ("canceled", Exit.CANCELED),
    ("skipped", Exit.LIMITED),
)
"""What a batch comes to: the first of these that an item ended as."""
_AGAIN = {"--failed": ("failed", "error"), "--canceled": ("canceled",), "--ambiguous": ("ambiguous",)}
"""What `batch retry` takes for which items."""


def _view_of(job: BatchJob) -> BatchView:
    return make_batch_view(is_alone=not (job.out.is_stdout and sys.stdout.isatty()))


@define
class BatchJob:
    """One run of a batch."""

    journal: Path
    out: OutcomeFile = field(converter=OutcomeFile)
    options: dict[str, Any]
    """Those of the runner."""
    ordered: bool
    items: Callable[[], Iterable[BatchItem] | AsyncIterable[BatchItem]]
    """What to run."""
    count: Callable[[], int | None]
    """How many items that is, where it can be told; takes its time."""
    prepare: Callable[[AsyncRebyte], Awaitable[None]] | None = None
    """What is to be done before, when it is known that the run can begin."""
    is_whole: bool = True
    """Whether the run comes to an outcome for every item of the journal."""
    _view: BatchView = field(default=Factory(_view_of, takes_self=True), init=False)
    _run: BatchRun | None = field(default=None, init=False)
    _total: int | None = field(default=None, init=False)
    _gone: OSError | None = field(default=None, init=False)
    """Why the outcomes can't be kept any more; the journal has them."""
    _come: list[BatchOutcome] = field(factory=list["BatchOutcome"], init=False)

    def run(self) -> int:
        """Run it to its end, or until a signal comes.

        Returns:
            The exit code.
        """
        try:
            with self.out:
                return self._run_and_keep()
        except BrokenPipeError:
            forget_output()
            return Exit.BROKEN_PIPE
        except OSError as error:
            code = complain_of(error)
            self._say_how_to_go_on()
            return code

    def _run_and_keep(self) -> int:
        try:
            with self._view, _warnings_in(self._view):
                run_loop(self._main, notice=self._notice)
        except InterruptedBySignal as interrupt:
            self._complete()
            return self._interrupted(interrupt.number)
        except KeyboardInterrupt:
            return self._interrupted(signal.SIGINT)
        except RebyteError as error:
            complain_of(error)
            if self._run is not None and not isinstance(error, JournalBusyError):
                self._complete()
                self._say_how_to_go_on()
            return exit_of(_reason(error))
        if self.is_whole:
            self.out.replace()
        else:
            self._complete()
        return self._outcome()

    async def _main(self) -> None:
        try:
            async with api_client() as client:
                if self.prepare is not None:
                    await self.prepare(client)
                async with self._ticking():
                    await self._follow(client)
        except asyncio.CancelledError:
            if self._gone is None:
                raise
            raise self._gone from None

    async def _follow(self, client: AsyncRebyte) -> None:
        from rebyte_async.batch import BatchRunner  # noqa: PLC0415 - few commands need batches

        runner = BatchRunner(client, journal=self.journal, **self.options)
        self._run = runner.run(self.items(), ordered=self.ordered)
        async with self._run as outcomes:
            async for outcome in outcomes:
                self._come.append(outcome)
                if len(self._come) >= _AT_ONCE:
                    await self._flush()
        await self._flush()

    @asynccontextmanager
    async def _ticking(self) -> AsyncGenerator[None]:
        """Show how far it is, and keep what has come, until the block is left."""
        main = asyncio.current_task()
        assert main is not None  # noqa: S101 - it is running
        helpers = [asyncio.create_task(self._tick(main)), asyncio.create_task(self._learn_total())]
        try:
            yield
        finally:
            for helper in helpers:
                helper.cancel()
            for helper in helpers:
                with suppress(asyncio.CancelledError):
                    await helper

    async def _tick(self, main: asyncio.Task[Any]) -> None:
        while True:
            if self._run is not None:
                self._view.show(self._run.progress, self._total)
            try:
                await self._flush()
            except OSError as error:  # whoever read the outcomes has left, or the disk is full
                self._gone = error
                main.cancel()
                return
            await asyncio.sleep(_TICK)

    async def _learn_total(self) -> None:
        with suppress(OSError):
            self._total = await asyncio.to_thread(self.count)

    async def _flush(self) -> None:
        come, self._come = self._come, []
        if come:
            await asyncio.to_thread(self.out.write, come)

    def _notice(self, signals: int) -> None:
        if signals > 1:
            self._leave()
        what = "canceling the running tasks" if self.options.get("cancel_remote") else "stopping"
        self._view.say(f"{what}; Ctrl-C again to leave at once")

    def _leave(self) -> NoReturn:
        """End the process: what the run would still do takes its time, and a journal stays true whatever happens."""
        with suppress(Exception):  # this comes in the midst of anything
            self._view.__exit__(None, None, None)
            fate = "some tasks may not be canceled" if self.options.get("cancel_remote") else "the tasks keep running"
            click.echo(f"left at once: {fate}", err=True)
            self._say_how_to_go_on()
        os._exit(128 + signal.SIGINT)

    def _complete(self) -> None:
        """Have the file hold what the journal has."""
        from rebyte_async.batch import read_journal  # noqa: PLC0415 - few commands need batches

        if self._run is None or self.out.path is None:
            return
        self.out.write(self._come)
        with suppress(RebyteError), read_journal(self.journal) as reader:
            self.out.complete(reader.outcomes())

    def _interrupted(self, number: int) -> int:
        if self._run is None:
            click.echo("interrupted: nothing was started", err=True)
            return 128 + number
        click.echo(f"interrupted: {self._fate()}", err=True)
        self._say_how_to_go_on()
        return 128 + number

    def _fate(self) -> str:
        """What becomes of the tasks."""
        from rebyte_async.batch import read_journal  # noqa: PLC0415 - few commands need batches

        running = 0
        with suppress(RebyteError), read_journal(self.journal) as reader:
            counts = reader.counts()
            running = counts.states.get("running", 0) + counts.states.get("creating", 0)
        tasks = f"{running:,} task{'' if running == 1 else 's'}"
        if not self.options.get("cancel_remote"):
            return f"{tasks} keep{'s' if running == 1 else ''} running" if running else "no task is running"
        return f"{tasks} may still be running: not known to be canceled" if running else "the tasks are canceled"

    def _say_how_to_go_on(self) -> None:
        if not self.journal.exists():  # nothing was begun
            return
        click.echo(f"  go on:  {_same_command()}", err=True)
        if self.options.get("cancel_remote"):
            again = _command("batch", "retry", str(self.journal), "--canceled")
            click.echo(f"  again:  {again}", err=True)
        click.echo(f"  look:   {_command('batch', 'status', str(self.journal))}", err=True)

    def _outcome(self) -> int:
        assert self._run is not None  # noqa: S101 - it has ended
        progress = self._run.progress
        counts = counts_in_words(progress) or "no items"
        click.echo(f"{counts} in {duration(progress.elapsed.total_seconds())}", err=True)
        for line in self._hints(progress):
            click.echo(line, err=True)
        return next((code for status, code in _EXITS if progress.ended.get(status)), Exit.OK)

    def _hints(self, progress: BatchProgress) -> Iterator[str]:
        again = {
            option: sum(progress.ended.get(status, 0) for status in statuses) for option, statuses in _AGAIN.items()
        }
        options = [option for option, count in again.items() if count]
        why = [f"--status={status}" for status in _AGAIN["--failed"] if progress.ended.get(status)]
        if progress.ended.get("skipped"):
            yield f"  start the skipped ones:  {_same_command()}"
        if why and self.out.path is None:
            yield f"  see why:                 {_command('batch', 'export', str(self.journal), *why)}"
        if options:
            yield f"  run those again:         {_command('batch', 'retry', str(self.journal), *options)}"


def _reason(error: RebyteError) -> RebyteError:
    """What ended the run: the class of an error that says that a batch can't go on tells less than its cause."""
    cause = error.__cause__
    if type(error) is not BatchError or isinstance(cause, InvalidRequestError):
        return error
    return cause if isinstance(cause, RebyteError) else error


class _Teller(logging.Handler):
    """Has the view say what the SDK warns of; it would be in the way of what is drawn."""

    def __init__(self, view: BatchView) -> None:
        super().__init__(logging.WARNING)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self._view.say(f"warning: {one_line(record.getMessage())}")


@contextmanager
def _warnings_in(view: BatchView) -> Generator[None]:
    logger, teller = logging.getLogger("rebyte_async"), _Teller(view)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)


def _same_command() -> str:
    return _command(*sys.argv[1:])


def _command(*arguments: str) -> str:
    return one_line(shlex.join(["rebyte-async", *arguments]))
