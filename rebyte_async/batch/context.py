"""What all parts of a run work with."""

from __future__ import annotations

from attrs import field, frozen

from rebyte_async._clock import Time
from rebyte_async._transport import ServerClock
from rebyte_async.batch.failures import Outage
from rebyte_async.batch.journal import RunJournal
from rebyte_async.batch.settings import Settings, Tuning
from rebyte_async.batch.stopping import StopSignal
from rebyte_async.resources import AgentComputers, Tasks


@frozen(kw_only=True)
class RunContext:
    """The service, the journal, the time and the settings of one run."""

    tasks: Tasks
    computers: AgentComputers
    journal: RunJournal
    clock: ServerClock
    time: Time
    settings: Settings
    stop: StopSignal = field(factory=StopSignal)
    """Says that no further create may be sent."""

    @property
    def tuning(self) -> Tuning:
        """The limits and intervals."""
        return self.settings.tuning

    def new_outage(self) -> Outage:
        """Return an outage that hasn't begun."""
        return Outage(self.time, self.tuning)
