"""The agent computers of a batch: made once, or given, and used by one task at a time each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from attrs import define, field

from rebyte_async.batch.failures import Trouble, in_one_line, is_passing
from rebyte_async.errors import (
    AmbiguousRequestError,
    BatchError,
    ConfigurationError,
    LimitExceededError,
    NotFoundError,
    ProvisionError,
    RebyteError,
    WaitTimeoutError,
)
from rebyte_async.resources.arguments import optional_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async._transport import Transport
    from rebyte_async.batch.journal import Journal
    from rebyte_async.batch.settings import Tuning
    from rebyte_async.batch.stopping import Halt
    from rebyte_async.resources import AgentComputers

__all__ = ["Machines", "checked_workspaces"]

_log = logging.getLogger("rebyte_async")


def checked_workspaces(workspaces: object) -> int | tuple[str, ...] | None:
    """The runner's `workspaces`: how many, or which ones.

    Raises:
        ConfigurationError: It is neither.
    """
    if workspaces is None:
        return None
    if type(workspaces) is int and workspaces >= 1:
        return workspaces
    if isinstance(workspaces, Sequence) and not isinstance(workspaces, str | bytes) and workspaces:
        ids = tuple(optional_text("workspace", value) or "" for value in cast("Sequence[object]", workspaces))
        if "" not in ids and len(set(ids)) == len(ids):
            return ids
    raise ConfigurationError(
        "workspaces must be a number of agent computers, at least 1, a list of the ids of some, each once, or None, "
        f"not {workspaces!r:.80}"
    )


@define(eq=False, kw_only=True)
class Machines:
    """Lends agent computers to items, and makes them as they are needed."""

    wanted: int | tuple[str, ...]
    computers: AgentComputers
    journal: Journal
    transport: Transport
    tuning: Tuning
    settle: float
    clock_ready: Callable[[], Awaitable[None]]
    halt: Halt
    """Says when no machine is to be lent any more."""
    _free: deque[str] = field(factory=deque[str], init=False)
    _busy: dict[str, int] = field(factory=dict[str, int], init=False)
    """How many tasks run on a machine: more than one only where an earlier run had it so."""
    _unmade: deque[int] = field(factory=deque[int], init=False)
    """The slots of machines that aren't made yet, or not known to be ready."""
    _ours: set[str] = field(factory=set[str], init=False)
    """The machines that the batch may use."""
    _alive: int = field(default=0, init=False)
    """How many machines there are, or may yet be."""
    _why: str = field(default="", init=False)
    """What became of the others."""
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def open(self, busy: Sequence[str | None]) -> None:
        """Find out which machines there are.

        Args:
            busy: Those that tasks of the batch still run on.
        """
        for workspace_id in busy:
            if workspace_id is not None:
                self._busy[workspace_id] = self._busy.get(workspace_id, 0) + 1
        if isinstance(self.wanted, tuple):
            self._ours.update(self.wanted)
            self._free.extend(workspace_id for workspace_id in self.wanted if workspace_id not in self._busy)
        else:
            made = {machine.slot: machine.workspace_id for machine in await self.journal.agent_computers()}
            self._ours.update(self._busy.keys() & set(made.values()))
            # Those that were made before may not be ready yet, or never be.
            self._unmade.extend(slot for slot in range(self.wanted) if made.get(slot) not in self._busy)
        self._alive = self.wanted if isinstance(self.wanted, int) else len(self.wanted)

    async def take(self) -> str:
        """Borrow a machine; waits until there is one.

        Raises:
            StoppedError: The run is ending.
            BatchError: There is none that works, or none can be made.
        """
        while not self._free:
            self.halt.check()
            if self._unmade:
                if (made := await self._made(self._unmade.popleft())) is not None:
                    self._ours.add(made)
                    self._busy[made] = 1
                    return made
            elif self._alive == 0:
                raise BatchError(f"the batch has no agent computer to run on: {self._why}")
            else:
                self._changed.clear()
                await self._changed.wait()
        workspace_id = self._free.popleft()
        self._busy[workspace_id] = 1
        return workspace_id

    def lose(self, workspace_id: str | None, why: str) -> None:
        """Put nothing else on a machine in this run: it is gone, or what became of the task on it isn't known."""
        if workspace_id in self._ours:
            self._ours.discard(workspace_id)
            self._alive -= 1
            self._why = why
            self.touch()

    async def is_gone(self, workspace_id: str) -> bool:
        """Whether there is no such machine, as far as can be told."""
        try:
            await Trouble(self.tuning, self.transport.gate).outlast(lambda: self.computers.get(workspace_id))
        except NotFoundError:
            return True
        except RebyteError:
            return False
        return False

    def touch(self) -> None:
        """Have whoever waits for a machine look."""
        self._changed.set()

    def give_back(self, workspace_id: str | None) -> None:
        """A task that ran on a machine has ended."""
        if workspace_id is None or workspace_id not in self._busy:
            return
        self._busy[workspace_id] -= 1
        if self._busy[workspace_id] == 0:
            del self._busy[workspace_id]
            if workspace_id in self._ours:
                self._free.append(workspace_id)
                self.touch()

    async def _made(self, slot: int) -> str | None:
        """Make the machine of a slot and wait until it is ready; None where it can't be provisioned."""
        try:
            workspace_id = await self._id_of(slot)
            try:
                await self._ready(workspace_id)
            except NotFoundError:  # it was deleted since
                workspace_id = await self._id_of(slot, anew=True)
                await self._ready(workspace_id)
        except (ProvisionError, LimitExceededError) as error:
            _log.warning("%s; the batch goes on without this agent computer", error)
            self._alive -= 1
            is_limit = isinstance(error, LimitExceededError)
            self._why = in_one_line(error) if is_limit else "none could be provisioned"
            self.touch()
            return None
        except BaseException as error:
            self._unmade.append(slot)
            self.touch()
            if isinstance(error, RebyteError) and not isinstance(error, BatchError):
                raise BatchError(f"can't make the batch's agent computers: {in_one_line(error)}") from error
            raise
        return workspace_id

    async def _id_of(self, slot: int, *, anew: bool = False) -> str:
        """Make a machine, or find the one that an earlier create has made."""
        name = f"batch-{self.journal.batch_id[:8]}-{slot}"
        known = {} if anew else {machine.slot: machine.workspace_id for machine in await self.journal.agent_computers()}
        if (workspace_id := known.get(slot)) is not None:
            return workspace_id
        trouble = Trouble(self.tuning, self.transport.gate)
        in_doubt = slot in known
        while True:
            workspace_id = await self._found(name) if in_doubt else None
            if workspace_id is None:
                await self.clock_ready()
                await self.journal.record_agent_computer_intent(slot, name, self.transport.clock.now())
                try:
                    workspace_id = (await self.computers.create(name)).id
                except RebyteError as error:
                    in_doubt = isinstance(error, AmbiguousRequestError)
                    if not (in_doubt or is_passing(error)) or trouble.is_too_long():
                        raise
                    await trouble.pause(error)
                    continue
            await self.journal.record_agent_computer(slot, workspace_id)
            return workspace_id

    async def _found(self, name: str) -> str | None:
        """The machine of a name, which is the batch's own; looked for twice, since it may turn up late."""
        for look in range(2):
            if look:
                await self.transport.gate.sleep(self.settle)
            found = await Trouble(self.tuning, self.transport.gate).outlast(lambda: self._listed(name))
            if found is not None:
                return found
        return None

    async def _listed(self, name: str) -> str | None:
        async for computer in self.computers.list(limit=100):
            if computer.name == name:
                return computer.id
        return None

    async def _ready(self, workspace_id: str) -> None:
        trouble = Trouble(self.tuning, self.transport.gate)
        while True:
            try:
                await trouble.outlast(lambda: self.computers.wait_ready(workspace_id))
            except WaitTimeoutError:
                if trouble.is_too_long():
                    raise
            else:
                return
