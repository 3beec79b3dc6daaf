"""An event loop in a thread of its own, for an emulator that no test's loop can hold up."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


@define(eq=False)
class LoopThread:
    """Runs an event loop until it is stopped."""

    loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop, init=False)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Run the loop."""
        self._thread = threading.Thread(target=self.loop.run_forever, name="rebyte-emulator", daemon=True)
        self._thread.start()

    def run(self, job: Coroutine[object, object, T]) -> T:
        """Run a coroutine in the thread's loop, and wait for it in this one."""
        return asyncio.run_coroutine_threadsafe(job, self.loop).result()

    def stop(self) -> None:
        """Stop the loop, and wait for the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
