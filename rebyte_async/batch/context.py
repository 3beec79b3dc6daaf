"""The context that all parts of a run share, and the outages of the service that they wait out."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import define, field

from rebyte_async._clock import Time
from rebyte_async._transport import Transport
from rebyte_async.batch.failures import is_transient
from rebyte_async.batch.journal import RunJournal
from rebyte_async.batch.limits import PromptLocks, StopSignal
from rebyte_async.batch.progress import ProgressTracker
from rebyte_async.batch.settings import Settings, Tuning
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import APIError, RebyteError

T = TypeVar("T")
_MAX_DOUBLINGS = 20


@define(eq=False)
class Outage:
    """A period in which calls fail transiently. Several calls may share one: how long to wait, and when to give up."""

    time: Time
    tuning: Tuning
    _since: float = field(default=math.inf, init=False)  # when the first failure without a success since then was
    _failures: int = field(default=0, init=False)

    def reset(self) -> None:
        self._since = math.inf
        self._failures = 0

    def has_timed_out(self) -> bool:
        """Note a failure; return whether the outage has lasted so long that waiting should end."""
        now = self.time.clock()
        self._since = min(self._since, now)
        self._failures += 1
        return now - self._since >= self.tuning.outage_timeout

    async def wait(self, error: RebyteError) -> None:
        """Wait before the next attempt: half to all of a growing delay, and as long as the error asks for."""
        retry_after = (isinstance(error, APIError) and error.retry_after) or 0.0
        doublings = min(self._failures - 1, _MAX_DOUBLINGS)
        longest = min(self.tuning.longest_retry_delay, self.tuning.first_retry_delay * 2.0**doublings)
        delay = self.time.rng.uniform(longest / 2, longest)
        await self.time.sleep(max(delay, min(retry_after, self.tuning.outage_timeout)))

    async def should_retry(self, error: RebyteError) -> bool:
        """Wait, and return True, if a failed call is to be made again; return False at once if not."""
        if not is_transient(error):
            self.reset()
            return False
        if self.has_timed_out():
            return False
        await self.wait(error)
        return True

    async def retry_through(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call until it succeeds, fails permanently, or the outage has lasted too long."""
        while True:
            try:
                result = await call()
            except RebyteError as error:
                if not await self.should_retry(error):
                    raise
            else:
                self.reset()
                return result


class RunContext:
    """The service, the journal, the time and the settings of one run."""

    def __init__(self, client: AsyncRebyte, transport: Transport, settings: Settings, journal: RunJournal) -> None:
        self.tasks = client.tasks
        self.computers = client.agent_computers
        self.transport = transport
        self.time = transport.time
        self.clock = transport.server_clock
        self.settings = settings
        self.tuning = settings.tuning
        self.journal = journal
        self.stop = StopSignal()  # says that no further create may be sent
        self.locks = PromptLocks()
        self.tracker = ProgressTracker(self.time, self.clock, settings.tuning.progress_window)
        self.outage = self.new_outage()  # shared by all uploads and creates: a success of any ends it

    def new_outage(self) -> Outage:
        return Outage(self.time, self.tuning)
