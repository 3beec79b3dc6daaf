"""Creates: each written down before it is sent, and reconciled where its answer was lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from anyio import CancelScope
from attrs import define, evolve, field, frozen

from rebyte_async.batch.failures import StrayCancelError, Trouble, in_one_line, is_fatal, is_passing
from rebyte_async.batch.journal import DuplicateTaskError
from rebyte_async.batch.limits import Texts
from rebyte_async.batch.marks import Mark
from rebyte_async.batch.matching import Doubt, Verdict
from rebyte_async.batch.search import Search
from rebyte_async.batch.stopping import HaltingGate, StoppedError
from rebyte_async.errors import AmbiguousRequestError, BatchError, JournalError, LimitExceededError, RebyteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rebyte_async._transport import Transport
    from rebyte_async.batch.items import BatchItem
    from rebyte_async.batch.journal import Journal
    from rebyte_async.batch.journal.records import ItemRecord
    from rebyte_async.batch.plan import Plan
    from rebyte_async.batch.stopping import Halt
    from rebyte_async.resources import Tasks
    from rebyte_async.types import Task
    from rebyte_async.types.files import FileRef

__all__ = ["Creates", "UnclearError"]


_NEWEST = 64
"""How many tasks are listed to see which was there last: several may be of one instant."""


class UnclearError(BatchError):
    """Whether a task was made for an item, or which, can't be told."""

    is_final: bool = True
    """Whether it stays so; False where looking for the task failed."""


@frozen(eq=False)
class _Case:
    """An item in doubt, and who waits for the verdict."""

    entry: ItemRecord
    verdict: asyncio.Future[Verdict]


@define(eq=False, kw_only=True)
class Creates:
    """Makes the tasks of a run."""

    tasks: Tasks
    journal: Journal
    transport: Transport
    plan: Plan
    halt: Halt
    """Says when no create is to be sent any more."""
    trouble: Trouble = field(init=False)
    _sender: Tasks = field(init=False)
    """Sends creates, up to the halt."""
    _texts: Texts = field(factory=Texts, init=False)
    _places: asyncio.Semaphore = field(init=False)
    _search: Search = field(init=False)
    _cases: dict[int, _Case] = field(factory=dict[int, _Case], init=False)
    _flights: set[asyncio.Task[None]] = field(factory=set["asyncio.Task[None]"], init=False)
    _asked_time: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _mark: Mark | None = field(default=None, init=False)
    """The service's newest task before the first create of the run."""
    _has_noted: bool = field(default=False, init=False)
    """Whether it is written down."""

    def __attrs_post_init__(self) -> None:
        tuning = self.plan.tuning
        self.trouble = Trouble(tuning, self.transport.gate)
        gate = HaltingGate.before(self.transport.gate, self.halt)
        self._sender = evolve(self.tasks, transport=self.transport.view(gate=gate))
        self._places = asyncio.Semaphore(tuning.creates_at_once)
        self._search = Search(
            tasks=self.tasks,
            journal=self.journal,
            gate=self.transport.gate,
            tuning=tuning,
            settle=self.plan.settle,
        )

    @property
    def open(self) -> int:
        """How many creates are under way or in doubt."""
        return len(self._flights) + len(self._cases)

    async def make(
        self, item: BatchItem, entry: ItemRecord, files: Sequence[FileRef], workspace_id: str | None
    ) -> None:
        """Make an item's task, once. Afterwards the entry has it.

        Raises:
            StoppedError: The run is ending.
            UnclearError: A task may have been made, and which can't be told.
            RebyteError: Surely none was made. Where another run may succeed, the entry is as before.
            BaseException: What nobody reckoned with. The entry is left as it is, for the next run to find out.
        """
        recreates = 0
        while True:
            try:
                await self._send(item, entry, files, workspace_id)
            except AmbiguousRequestError as error:
                if await self._verdict(entry, error):
                    return
                recreates += 1
                if recreates > self.plan.tuning.recreates:
                    raise UnclearError(
                        f"{recreates} creates got lost, the last one so: {in_one_line(error)}"
                    ) from error
            except RebyteError as error:
                if not await self.trouble.passes(error):
                    raise
            else:
                return

    async def _send(
        self, item: BatchItem, entry: ItemRecord, files: Sequence[FileRef], workspace_id: str | None
    ) -> None:
        """One create. It goes on when the caller is cancelled, so that its task is known if there is still time."""
        await self._cleared(entry.prompt_hash)
        flight = asyncio.get_running_loop().create_task(self._flight(item, entry, files, workspace_id))
        self._flights.add(flight)
        flight.add_done_callback(self._landed)
        await asyncio.shield(flight)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled():
            flight.exception()  # seen: whoever made it may have been cancelled

    async def _cleared(self, text: bytes) -> None:
        """Wait for a place and for the text to be in no doubt, and take both."""
        while True:
            await self._texts.clear(text)
            await self._places.acquire()
            if self._texts.is_clear(text):
                self._texts.start(text)
                return
            self._places.release()

    async def _flight(
        self, item: BatchItem, entry: ItemRecord, files: Sequence[FileRef], workspace_id: str | None
    ) -> None:
        in_doubt = True  # also where something was raised that nobody reckoned with
        try:
            mark = await self._marked()
            await self.halt.over(self.transport.gate.passed())  # a pause after a 429 is no time to be in doubt
            await self.journal.record_intent(entry, workspace_id, max(mark.began, self.transport.clock.now()))
            await self._create(item, entry, files, workspace_id)
            in_doubt = False
        except RebyteError as error:
            in_doubt = isinstance(error, AmbiguousRequestError)
            raise
        finally:
            self._places.release()
            self._texts.land(entry.prompt_hash, in_doubt=in_doubt)

    async def _create(
        self, item: BatchItem, entry: ItemRecord, files: Sequence[FileRef], workspace_id: str | None
    ) -> None:
        try:
            task = await self._sender.create(
                item.prompt,
                **item.to_arguments(workspace_id=workspace_id, files=files),
            )
        except AmbiguousRequestError:
            raise
        except LimitExceededError as error:
            await self.journal.clear_intent(entry)
            raise BatchError(f"the batch can't go on: {in_one_line(error)}") from error
        except RebyteError as error:
            if isinstance(error, StoppedError) or is_passing(error) or is_fatal(error):
                await self.journal.clear_intent(entry)
            raise
        self.trouble.over()
        started = self._start_of(task, entry.intent_at)
        try:
            await self.journal.record_task(entry, task.id, task.workspace_id or workspace_id, started)
        except DuplicateTaskError as error:
            raise UnclearError(f"the service told a task, {task.id}, that belongs to another item") from error

    def _start_of(self, task: Task, sent_at: float | None) -> float:
        """When a task was made, which tells whether the clock is right."""
        clock = self.transport.clock
        if task.created_at is None:
            return clock.now()
        started = task.created_at.timestamp()
        if sent_at is not None:
            clock.correct(started, sent_at, slack=self.plan.tuning.slack)
        return started

    async def know_time(self) -> None:
        """Have the server tell its time, and its newest task: from then on the run may make others.

        Trouble with it is none of the creates': what isn't known then is done without.

        Raises:
            RebyteError: The key is refused.
        """
        await self._found_mark()

    async def _found_mark(self) -> Mark:
        async with self._asked_time:
            if self._mark is None:
                newest: Sequence[Task] = ()
                try:
                    newest = (await self.tasks.list(limit=_NEWEST)).data
                except RebyteError as error:
                    if is_fatal(error):
                        raise
                self._mark = Mark.at(newest, self.transport.clock.now())
            return self._mark

    async def _marked(self) -> Mark:
        """The mark, written down before the first create."""
        await self.halt.over(self.know_time())
        mark = await self._found_mark()
        async with self._asked_time:
            if not self._has_noted:
                self._mark = await self.journal.record_watermark(mark)
                self._has_noted = True
        return self._mark or mark

    async def _verdict(self, entry: ItemRecord, error: AmbiguousRequestError) -> bool:
        """Whether the create that is in doubt has made a task, which the entry has then.

        Raises:
            UnclearError: It can't be told.
        """
        if self.plan.on_ambiguous == "report":
            self._texts.settle(entry.prompt_hash)
            raise UnclearError(in_one_line(error)) from error
        case = _Case(entry, asyncio.get_running_loop().create_future())
        self._cases[entry.position] = case
        self._texts.touch()
        verdict = await case.verdict
        if verdict.unclear is not None:
            raise UnclearError(f"{in_one_line(error)}; {verdict.unclear}") from error
        return verdict.task is not None

    async def settle_doubts(self) -> None:
        """Reconcile what comes to be in doubt, until cancelled."""
        while True:
            counts = Counter(case.entry.prompt_hash for case in self._cases.values())
            ready = [
                case
                for case in self._cases.values()
                if self._texts.has_landed(case.entry.prompt_hash, counts[case.entry.prompt_hash])
            ]
            if not ready:
                await self._texts.change()
                continue
            await self._settle(ready)

    async def _settle(self, cases: Sequence[_Case]) -> None:
        failure: UnclearError | None = None
        try:
            verdicts = await self.reconcile([case.entry for case in cases])
        except (JournalError, StrayCancelError):
            raise
        except RebyteError as error:
            verdicts = {}
            failure = UnclearError(f"looking for its task failed: {in_one_line(error)}")
            failure.is_final = False
        for case in cases:
            del self._cases[case.entry.position]
            self._texts.settle(case.entry.prompt_hash)
            if case.verdict.cancelled():
                continue
            if failure is not None:
                case.verdict.set_exception(failure)
            else:
                case.verdict.set_result(verdicts[case.entry.position])

    async def _dated(self, doubts: Sequence[Doubt], *, are_old: bool) -> list[Doubt]:
        """The doubts, with the times from which on their tasks may have been made."""
        marks = await self.journal.earlier_watermarks() if are_old else []
        dated: list[Doubt] = []
        apart: dict[float, float | None] = {}
        for doubt in doubts:
            mark = Mark.of(doubt.intent_at, marks) if are_old else self._mark
            if mark is None:
                dated.append(evolve(doubt, earliest=0.0))
                continue
            if mark.began not in apart:
                apart[mark.began] = await self.journal.min_clock_offset(mark.began)
            earliest = mark.earliest(doubt.intent_at, apart[mark.began], self.plan.tuning.slack)
            dated.append(evolve(doubt, earliest=earliest, before=mark.task_ids))
        return dated

    def _left(self, doubts: Sequence[Doubt]) -> float:
        """How long the second look has to wait at least: a create may be recorded after the end of its connection."""
        latest = max(doubt.intent_at for doubt in doubts)
        late = 2 * self.plan.settle
        return min(late, latest + late - self.transport.clock.now())

    async def reconcile(self, entries: Sequence[ItemRecord], *, are_old: bool = False) -> dict[int, Verdict]:
        """Find out about creates in doubt, and write it down.

        Args:
            entries: The items of all creates in doubt.
            are_old: Whether an earlier run has sent them.

        Returns:
            The verdicts by the items' positions. Those that are unclear aren't written down.

        Raises:
            RebyteError: The tasks can't be listed.
        """
        await self.know_time()
        doubts = await self._dated([Doubt.of(entry) for entry in entries], are_old=are_old)
        verdicts = await self._search.judged(doubts, wait=self._left(doubts) if are_old else 0.0)
        for entry in entries:
            verdicts[entry.position] = await self._applied(entry, verdicts[entry.position])
        absent = [entry for entry in entries if verdicts[entry.position] == Verdict()]
        await self.journal.clear_intents(absent)
        return verdicts

    async def _applied(self, entry: ItemRecord, verdict: Verdict) -> Verdict:
        if verdict.task is None:
            return verdict
        task = verdict.task
        started = entry.intent_at if task.created_at is None else task.created_at
        try:
            await self.journal.record_task(entry, task.task_id, task.workspace_id or entry.workspace_id, started)
        except DuplicateTaskError:
            return Verdict(unclear=f"the task {task.task_id} belongs to another item")
        return verdict

    async def land(self) -> None:
        """Send no other create. Wait for those that are under way, for a moment, and give them up then.

        Raises:
            Exception: One of them has failed in a way that nobody reckoned with.
        """
        self.halt.call()
        if not self._flights:
            return
        flights = set(self._flights)
        with CancelScope(shield=True):
            _, late = await asyncio.wait(flights, timeout=self.plan.tuning.landing)
            for flight in late:
                flight.cancel()
            for error in await asyncio.gather(*flights, return_exceptions=True):
                if isinstance(error, Exception) and not isinstance(error, RebyteError):
                    raise error
