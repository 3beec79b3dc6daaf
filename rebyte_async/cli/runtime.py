"""How a command runs: the event loop, signals, the client, and the exit code of each way to end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, TypeAlias, TypedDict

import attrs
import click
from attrs import define

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line
from rebyte_async.cli.exits import Exit, report_error
from rebyte_async.cli.view.output import show_record
from rebyte_async.errors import ConfigurationError, RebyteError

_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    if name in signal.Signals.__members__
)
_Main: TypeAlias = "Callable[[], Coroutine[Any, Any, int | None]]"


def open_client() -> AsyncRebyte:
    """Return a client with the settings of the environment, or raise ConfigurationError."""
    if not os.environ.get("REBYTE_API_KEY", "").strip():
        raise ConfigurationError("there is no API key: set REBYTE_API_KEY (rebyte-async demo needs none)")
    return AsyncRebyte(**network_settings())


class NetworkSettings(TypedDict):
    """How the command reaches the network."""

    proxy: str | None
    ssl: str | None
    trust_env: bool


def network_settings() -> NetworkSettings:
    """Return what `--proxy` and `--ca` say; what they don't is read from the environment."""
    context = click.get_current_context(silent=True)
    given = {} if context is None else context.find_root().params
    return {"proxy": given.get("proxy"), "ssl": given.get("ca"), "trust_env": True}


def show_once(read: Callable[[AsyncRebyte], Awaitable[attrs.AttrsInstance]], *, as_json: bool) -> int:
    """Read one model with a client, show it, and return the exit code."""

    async def call(client: AsyncRebyte) -> None:
        show_record(await read(client), as_json=as_json)

    return run_once(call)


def do_once(act: Callable[[AsyncRebyte], Awaitable[object]], done: str) -> int:
    """Make a call without a result, print `done`, and return the exit code."""

    async def call(client: AsyncRebyte) -> None:
        await act(client)
        click.echo(one_line(done))

    return run_once(call)


def delete_once(
    delete: Callable[[AsyncRebyte], Awaitable[object]],
    question: str,
    done: str,
    *,
    yes: bool,
    is_yes_required: bool = False,
) -> int:
    """Delete something, and return the exit code.

    On a terminal the question is asked first; elsewhere the command itself, or the required `--yes`, answers it.
    """
    is_asked = not yes and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    if is_yes_required and not yes and not is_asked:
        raise click.UsageError("this isn't a terminal, so the question can't be asked: give --yes if you are sure")
    if is_asked and not click.confirm(one_line(question), err=True):
        click.echo("nothing was done", err=True)
        return Exit.OTHER
    return do_once(delete, done)


def run_once(
    call: Callable[[AsyncRebyte], Awaitable[int | None]], *, on_interrupt: str | Callable[[], str] = ""
) -> int:
    """Run a call with a client, and return its exit code, or OK; `on_interrupt` says after Ctrl-C what remains."""

    async def main() -> int | None:
        async with open_client() as client:
            return await call(client)

    return run(main, on_interrupt=say_on_interrupt(on_interrupt))


def say_on_interrupt(message: str | Callable[[], str]) -> Callable[[int], int]:
    """Return an `on_interrupt` for `run` that says what remains; nothing for an empty message."""

    def say(code: int) -> int:
        if text := message if isinstance(message, str) else message():
            click.echo(f"interrupted: {text}", err=True)
        return code

    return say


def run(
    main: _Main,
    *,
    on_interrupt: Callable[[int], int] = int,
    on_error: Callable[[RebyteError | OSError], int] = report_error,
    on_signal: Callable[[int], None] = lambda _: None,
    screen: AbstractContextManager[object] | None = None,
) -> int:
    """Run a coroutine in its own event loop, and return the exit code for whatever ends it.

    Args:
        main: What to run; returns the exit code, or None for OK.
        on_interrupt: Called after a signal with 128 plus its number; says what remains, and returns the code.
        on_error: Called with an error; reports it, and returns the exit code.
        on_signal: Called with 1 when a signal came, before `main` is cancelled, and with 2 on a second one.
        screen: Entered before the loop starts, and left before any of the above reports something.
    """
    try:
        with screen or nullcontext():
            return _run_loop(main, on_signal)
    except _SignalReceived as received:
        return on_interrupt(128 + received.args[0])
    except KeyboardInterrupt:
        return on_interrupt(Exit.INTERRUPTED)
    except BrokenPipeError:
        return discard_output()
    except (RebyteError, OSError) as error:
        discard_unwritable()
        return on_error(error)


def discard_unwritable() -> None:
    """Give up what stdout can't write: at its end, the interpreter would try once more and exit with code 120."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()


def discard_output() -> int:
    """Give up a stdout that is a broken pipe, so that the interpreter doesn't write to it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return Exit.BROKEN_PIPE


class _SignalReceived(BaseException):
    """A signal, of this number, ended `main`, and everything that it had opened is closed."""


@define
class _Interrupt:
    """Cancels `main` on the first signal, so that it can clean up; the second signal doesn't wait for that.

    `asyncio.Runner` does so too, but for SIGINT only, and it reports neither signal before it acts.
    """

    on_signal: Callable[[int], None]
    task: asyncio.Task[Any] | None = None
    number: int | None = None
    is_second: bool = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number is not None or self.task is None:
            self.is_second = True
            self.on_signal(2)
            raise KeyboardInterrupt
        self.number = number
        self.task.get_loop().call_soon_threadsafe(self._cancel, self.task)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            self.on_signal(1)
            task.cancel()

    @contextmanager
    def installed(self) -> Generator[None]:
        """Handle signals until the block is left, except those that are ignored, as in a script's background."""
        numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _run_loop(main: _Main, on_signal: Callable[[int], None]) -> int:
    interrupt = _Interrupt(on_signal)

    async def guarded() -> int:
        interrupt.task = asyncio.current_task()
        try:
            return await main() or Exit.OK
        except asyncio.CancelledError:
            if interrupt.number is None or interrupt.is_second:
                raise
            raise _SignalReceived(interrupt.number) from None

    with asyncio.Runner(loop_factory=_find_loop_factory()) as runner, interrupt.installed():
        return runner.run(guarded())


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop, if it is installed.

    Before 0.23 it closes the socket of a cancelled connect twice: the second time it may be another one's.
    """
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    version = [int(part) for part in re.findall(r"\d+", vars(uvloop).get("__version__", ""))]
    return uvloop.new_event_loop if version >= [0, 23] else None
