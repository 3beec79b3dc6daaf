"""The scopes of a run, and the error that it ends with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import CancelScope
from attrs import define, field

from rebyte_async.batch.failures import reject_foreign_cancellation, unwrap_group
from rebyte_async.batch.limits import StopSignal
from rebyte_async.errors import BatchError

_log = logging.getLogger("rebyte_async")


@define(eq=False)
class RunScope:
    """What can end a run: all of it at once, its creates, or only its intake of items."""

    stop: StopSignal
    whole: CancelScope = field(factory=CancelScope, init=False)
    intake: CancelScope = field(factory=CancelScope, init=False)
    failure: BaseException | None = field(default=None, init=False)  # the error that is raised after the outcomes

    async def run_part(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Do a part of the run. A failure that no item can cause ends the run."""
        try:
            with reject_foreign_cancellation():
                await work(*arguments)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            self.failure = self.failure or error
            self.stop.trigger()
            self.whole.cancel()
            if isinstance(error, KeyboardInterrupt | SystemExit):  # these end the event loop as well
                raise

    async def try_step(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run one clean-up step. Its failure is reported to the consumer and does not skip later steps."""
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - raised through the queue of outcomes
            self.set_failure(error)

    def set_failure(self, error: BaseException) -> None:
        self.failure = self.failure or unwrap_group(error)

    def stop_creating(self, error: BatchError) -> None:
        """Create no further task. Tasks that run are followed to their ends, and then the error is raised."""
        if self.stop.reason is None:
            self.stop.trigger(error)
        self.end_intake(error)

    def end_intake(self, error: BaseException) -> None:
        """Take no further item. Items that were taken get their outcomes, and then the error is raised."""
        if self.failure is None:
            _log.warning("the batch takes no new items: %s", error)
            self.failure = error
        self.intake.cancel()

    def end(self) -> None:
        """End all of the run now."""
        self.stop.trigger()
        self.whole.cancel()
