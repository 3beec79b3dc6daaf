"""The event loop of the command, which ends in order on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import FrameType

__all__ = ["InterruptedBySignal", "run_loop"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_T = TypeVar("_T")


class InterruptedBySignal(BaseException):
    """The user, or the system, ended the command; everything that it had started is closed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        """The signal."""


@define
class _Interrupt:
    """The first signal cancels the main task, so that it can clean up; the second one doesn't wait for that."""

    notice: Callable[[int], None]
    loop: asyncio.AbstractEventLoop | None = None
    task: asyncio.Task[Any] | None = None
    number: int | None = None
    hurried: bool = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        del frame
        if self.number is not None or self.loop is None:
            self.hurried = True
            self.notice(2)
            raise KeyboardInterrupt
        self.number = number
        self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self.task is not None and not self.task.done():
            self.notice(1)
            self.task.cancel()


def run_loop(main: Callable[[], Coroutine[Any, Any, _T]], *, notice: Callable[[int], None] = lambda _: None) -> _T:
    """Run a coroutine in an event loop of its own: uvloop's, where that is installed.

    Args:
        main: What to run.
        notice: Called with 1 when a signal has come, before `main` is cancelled, and with 2 when another one has.

    Returns:
        What `main` returns.

    Raises:
        InterruptedBySignal: A signal came before `main` had ended.
        KeyboardInterrupt: A second one came while it was cleaning up.
    """
    interrupt = _Interrupt(notice)

    async def guarded() -> _T:
        interrupt.task = asyncio.current_task()
        interrupt.loop = asyncio.get_running_loop()
        try:
            return await main()
        except asyncio.CancelledError:
            if interrupt.number is None or interrupt.hurried:
                raise
            raise InterruptedBySignal(interrupt.number) from None
        finally:
            interrupt.task = None

    with asyncio.Runner(loop_factory=_loop_factory()) as runner, _handled(interrupt):
        return runner.run(guarded())


@contextmanager
def _handled(interrupt: _Interrupt) -> Generator[None]:
    """Handle the signals that aren't ignored, as they are for a command in a script's background."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt.handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return uvloop.new_event_loop
