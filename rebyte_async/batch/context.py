"""What all parts of a run work with."""

from __future__ import annotations

from rebyte_async._transport import Transport
from rebyte_async.batch.failures import Outage
from rebyte_async.batch.journal import RunJournal
from rebyte_async.batch.limits import PromptLocks, StopSignal
from rebyte_async.batch.settings import Settings
from rebyte_async.client import AsyncRebyte


class RunContext:
    """The service, the journal, the time and the settings of one run."""

    def __init__(self, client: AsyncRebyte, transport: Transport, settings: Settings, journal: RunJournal) -> None:
        self.tasks, self.computers = client.tasks, client.agent_computers
        self.transport, self.time, self.clock = transport, transport.time, transport.server_clock
        self.settings, self.tuning = settings, settings.tuning
        self.journal = journal
        self.stop = StopSignal()  # says that no further create may be sent
        self.locks = PromptLocks()
        self.outage = self.new_outage()  # shared by all uploads and creates: a success of any ends it

    def new_outage(self) -> Outage:
        return Outage(self.time, self.tuning)
