"""The agent computers of a batch: created once, or given by id, and used by one task at a time each."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from attrs import define, field

from rebyte_async._sync import Signal
from rebyte_async._validate import optional_text
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.failures import is_transient, summarize_error
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

_log = logging.getLogger("rebyte_async")
_PAGE_SIZE = 100
MOST_WORKSPACES = 10_000  # agent computers to create for one batch; each has a slot from the start
UNDECIDED_TASKS = "undecided creates may have started tasks on them"  # why agent computers are removed


def check_workspaces(workspaces: object) -> int | tuple[str, ...] | None:
    if workspaces is None or (type(workspaces) is int and 1 <= workspaces <= MOST_WORKSPACES):
        return workspaces
    if isinstance(workspaces, Sequence) and not isinstance(workspaces, str | bytes) and workspaces:
        ids = tuple(optional_text("workspace", value) or "" for value in cast("Sequence[object]", workspaces))
        if "" not in ids and len(set(ids)) == len(ids):
            return ids
    raise ConfigurationError(
        f"workspaces must be a number of agent computers from 1 to {MOST_WORKSPACES:,}, a list of the ids of some, "
        f"each once, or None, not {workspaces!r:.80}"
    )


@define(eq=False)
class AgentComputerPool:
    """Lends agent computers to items, and creates them as they are needed.

    The pool of a journal has numbered slots. The agent computer of a slot has a name that only this batch uses, so that
    one whose create was ambiguous is found by its name, and is not created twice.
    """

    context: RunContext
    wanted: int | tuple[str, ...]  # how many agent computers to create, or the ids of existing ones
    before_create: Callable[[], Awaitable[object]]  # called before a create; then the server's time is known
    _free: deque[str] = field(factory=deque[str], init=False)
    _busy: Counter[str] = field(factory=Counter[str], init=False)  # tasks on each: several only from an earlier run
    _unready_slots: deque[int] = field(factory=deque[int], init=False)  # agent computers not created, or not ready
    _usable: set[str] = field(factory=set[str], init=False)  # the agent computers that may get tasks
    _alive: int = field(default=0, init=False)  # how many agent computers there are or may still be
    _loss_reason: str = field(default="", init=False)  # why the latest of the others was lost
    changed: Signal = field(factory=Signal, init=False)  # wakes `acquire`

    async def open(self, running: Sequence[str | None], undecided: Sequence[str | None]) -> None:
        """Read from the journal which agent computers there are.

        `running` has those of tasks that earlier runs left open, `undecided` those of creates that can't be decided.
        """
        self._busy = Counter(workspace_id for workspace_id in [*running, *undecided] if workspace_id is not None)
        if isinstance(self.wanted, tuple):
            self._usable.update(self.wanted)
            self._free.extend(workspace_id for workspace_id in self.wanted if workspace_id not in self._busy)
        else:
            known = await self._read_slots()
            self._usable.update(self._busy.keys() & set(known.values()))
            # Agent computers that an earlier run created may not be ready, so they are waited for like new ones.
            self._unready_slots.extend(slot for slot in range(self.wanted) if known.get(slot) not in self._busy)
        self._alive = self.wanted if isinstance(self.wanted, int) else len(self.wanted)
        for workspace_id in undecided:
            self.remove(workspace_id, UNDECIDED_TASKS)

    async def _read_slots(self) -> dict[int, str | None]:
        return {computer.slot: computer.workspace_id for computer in await self.context.journal.store.agent_computers()}

    async def acquire(self) -> str:
        """Borrow an agent computer; wait until there is one.

        Raises StoppedError when the run is ending, and BatchError when no agent computer works or can be created.
        """
        while not self._free:
            self.context.stop.check()
            if self._unready_slots:
                if (workspace_id := await self._prepare(self._unready_slots.popleft())) is not None:
                    self._usable.add(workspace_id)
                    self._free.append(workspace_id)
            elif self._alive == 0:
                raise BatchError(f"the batch has no agent computer to run on: {self._loss_reason}")
            else:
                await self.changed.wait()
        workspace_id = self._free.popleft()
        self._busy[workspace_id] = 1
        return workspace_id

    def release(self, workspace_id: str | None) -> None:
        """Note that a task which ran on an agent computer has ended."""
        if workspace_id is None or workspace_id not in self._busy:
            return
        self._busy[workspace_id] -= 1
        if self._busy[workspace_id] == 0:
            del self._busy[workspace_id]
            if workspace_id in self._usable:
                self._free.append(workspace_id)
                self.changed.notify()

    def remove(self, workspace_id: str | None, reason: str) -> None:
        """Lend an agent computer no more in this run: it is gone, or its task can't be followed."""
        if workspace_id in self._usable:
            self._usable.discard(workspace_id)
            self._alive -= 1
            self._loss_reason = reason
            self.changed.notify()

    async def is_gone(self, workspace_id: str) -> bool:
        """Return whether the service certainly has no such agent computer."""
        try:
            await self.context.new_outage().retry_through(lambda: self.context.computers.get(workspace_id))
        except RebyteError as error:
            return isinstance(error, NotFoundError)
        return False

    async def _prepare(self, slot: int) -> str | None:
        """Create the agent computer of a slot, or find it, and wait until it is ready; None if it never will be."""
        try:
            workspace_id = await self._ensure_created(slot)
            try:
                await self._wait_ready(workspace_id)
            except NotFoundError:  # it was deleted after an earlier run
                workspace_id = await self._ensure_created(slot, ignore_known=True)
                await self._wait_ready(workspace_id)
        except (ProvisionError, LimitExceededError) as error:
            _log.warning("%s; the batch continues without this agent computer", error)
            self._alive -= 1
            is_limit = isinstance(error, LimitExceededError)
            self._loss_reason = summarize_error(error) if is_limit else "none could be provisioned"
            self.changed.notify()
            return None
        except BaseException as error:
            self._unready_slots.append(slot)
            self.changed.notify()
            if isinstance(error, RebyteError) and not isinstance(error, BatchError):
                raise BatchError(f"can't create the batch's agent computers: {summarize_error(error)}") from error
            raise
        return workspace_id

    async def _ensure_created(self, slot: int, *, ignore_known: bool = False) -> str:
        """Return the id of a slot's agent computer, and create it unless the journal knows one."""
        name = f"batch-{self.context.journal.batch_id[:8]}-{slot}"
        known = {} if ignore_known else await self._read_slots()
        if (workspace_id := known.get(slot)) is not None:
            return workspace_id
        outage = self.context.new_outage()
        is_ambiguous = slot in known  # the journal has an intent without a result
        while True:
            workspace_id = await self._find(name) if is_ambiguous else None
            if workspace_id is None:
                await self.before_create()
                await self.context.journal.record_agent_computer_intent(slot, name, self.context.clock.now())
                try:
                    workspace_id = (await self.context.computers.create(name)).id
                except RebyteError as error:
                    is_ambiguous = isinstance(error, AmbiguousRequestError)
                    if not (is_ambiguous or is_transient(error)) or outage.has_timed_out():
                        raise
                    await outage.wait(error)
                    continue
            await self.context.journal.record_agent_computer(slot, workspace_id)
            return workspace_id

    async def _find(self, name: str) -> str | None:
        """Find an agent computer by its name, in two listings, since it may become visible late."""
        for number in range(2):
            if number:
                await self.context.time.sleep(self.context.settings.settle)
            found = await self.context.new_outage().retry_through(lambda: self._list_for(name))
            if found is not None:
                return found
        return None

    async def _list_for(self, name: str) -> str | None:
        computers = self.context.computers.list(limit=_PAGE_SIZE)
        return await anext((one.id async for one in computers if one.name == name), None)

    async def _wait_ready(self, workspace_id: str) -> None:
        patience = self.context.new_outage()  # no call's own outage: a wait that times out ends that one
        while True:
            try:
                await self.context.new_outage().retry_through(lambda: self.context.computers.wait_ready(workspace_id))
            except WaitTimeoutError:
                if patience.has_timed_out():
                    raise
            else:
                return
