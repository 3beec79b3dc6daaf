"""The engine of a run: takes items in, makes their tasks, waits for them, and writes everything down."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter, deque
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, CapacityLimiter, create_task_group, move_on_after

from rebyte_async.batch.agent_computers import Machines
from rebyte_async.batch.budget import Budget
from rebyte_async.batch.creates import Creates, UnclearError
from rebyte_async.batch.failures import first_of, in_one_line, is_fatal, is_passing, no_stray_cancel
from rebyte_async.batch.items import BatchItem, intake_of
from rebyte_async.batch.journal.records import time_of
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.progress import BatchProgress, RunningItem
from rebyte_async.batch.slots import Slots
from rebyte_async.batch.stopping import Halt, StoppedError
from rebyte_async.batch.watcher import Watch
from rebyte_async.errors import BatchError, JournalError, NotFoundError, RebyteError
from rebyte_async.types.statuses import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from anyio.abc import TaskGroup

    from rebyte_async._transport import Transport
    from rebyte_async.batch.inputs import Source
    from rebyte_async.batch.journal import Journal
    from rebyte_async.batch.journal.records import ItemRecord, NewItem
    from rebyte_async.batch.outputs import Outlet
    from rebyte_async.batch.plan import Plan
    from rebyte_async.client import AsyncRebyte
    from rebyte_async.types import Task
    from rebyte_async.types.files import FileRef

__all__ = ["Engine"]

_log = logging.getLogger("rebyte_async")
_SLOWEST = 5
_RATE_OVER = 60.0
_CANCELS_AT_ONCE = 16
_CANCEL_TRIES = 5
_CANCEL_PAUSE = 0.5


class Engine:
    """Runs one batch once. It knows its outlet, and nothing of who reads from it."""

    def __init__(
        self,
        client: AsyncRebyte,
        transport: Transport,
        plan: Plan,
        journal: Journal,
        source: Source,
        outlet: Outlet,
    ) -> None:
        self._tasks = client.tasks
        self._transport = transport
        self._plan = plan
        self._journal = journal
        self._source = source
        self._outlet = outlet
        self._scope = CancelScope()
        self._intake = CancelScope()
        self._budget = Budget(plan.max_new_tasks)
        self._slots = Slots(plan.concurrency)
        self._watch = Watch(
            tasks=client.tasks,
            gate=transport.gate,
            tuning=plan.tuning,
            max_streams=plan.max_streams,
            receiver=plan.receiver,
        )
        self._halt = Halt()
        self._creates = Creates(
            tasks=client.tasks,
            journal=journal,
            transport=transport,
            plan=plan,
            halt=self._halt,
        )
        self._machines = None if plan.workspaces is None else self._new_machines(client, plan.workspaces)
        self._failure: BaseException | None = None
        """What is raised behind the outcomes."""
        self._no_creates: BaseException | None = None
        """Why no create is sent any more."""
        self._interrupted = False
        """Whether the run was ended from outside, before its end."""
        self._is_complete = False
        """Whether it came to its end by itself."""
        self._running: dict[int, ItemRecord] = {}
        """The entries whose tasks are open, by position."""
        self._old: dict[int, asyncio.Future[BatchOutcome]] = {}
        """What becomes of the tasks of earlier runs, by their items' positions."""
        self._since = transport.gate.clock()
        self._taken = self._resumed = 0
        self._ended: Counter[str] = Counter()
        self._ends: deque[float] = deque()

    def _new_machines(self, client: AsyncRebyte, wanted: int | tuple[str, ...]) -> Machines:
        return Machines(
            wanted=wanted,
            computers=client.agent_computers,
            journal=self._journal,
            transport=self._transport,
            tuning=self._plan.tuning,
            settle=self._plan.settle,
            clock_ready=self._creates.know_time,
            halt=self._halt,
        )

    # The life of the run.

    async def run(self) -> None:
        """Run to the end. What went wrong is told through the outlet."""
        try:
            with self._scope:
                await self._opened()
        except asyncio.CancelledError:
            self._interrupted = True
            raise
        except BaseException as error:
            self._fail(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            try:
                with CancelScope(shield=True):
                    await self._leave()
            except Exception as error:  # noqa: BLE001 - raised to whoever reads
                self._fail(error)
            finally:  # whatever happens there, nobody waits for outcomes that never come
                if self._failure is None and not self._is_complete:
                    self._failure = BatchError("the run was ended before all of its items had; run it again to go on")
                self._outlet.close(self._failure)

    def stop(self) -> None:
        """End the run now: nothing new is started, and what the journal says stays true."""
        self._interrupted = True
        self._halt.call()
        self._scope.cancel()

    async def _opened(self) -> None:
        await self._journal.open()
        await self._journal.begin_run()
        running = await self._journal.records_in_state("running")
        doubtful = await self._journal.records_in_state("creating")
        running += await self._reconciled(doubtful)
        if self._machines is not None:
            unclear = [entry.workspace_id for entry in doubtful if entry.state == "ended"]
            await self._machines.open([entry.workspace_id for entry in running] + unclear)
            for machine in unclear:
                self._machines.lose(machine, "tasks may run on them that can't be told")
        async with create_task_group() as group:
            group.start_soon(self._guarded, self._creates.settle_doubts)
            for entry in running:
                self._slots.overtake()
                self._old[entry.position] = asyncio.get_running_loop().create_future()
                group.start_soon(self._guarded, self._follow_old, entry)
            async with create_task_group() as items:
                with self._intake:
                    await self._guarded(self._take_in, items)
            group.cancel_scope.cancel()
        self._is_complete = not self._scope.cancel_called

    async def _reconciled(self, entries: Sequence[ItemRecord]) -> list[ItemRecord]:
        """Settle, before the first create, what earlier runs have left in doubt: those that have a task."""
        if not entries:
            return []
        reason = "the run was ended before the answer to its create came"
        if self._plan.on_ambiguous == "report":
            for entry in entries:
                await self._finish(entry, "ambiguous", error=f"AmbiguousRequestError: {reason}")
            return []
        try:
            verdicts = await self._creates.reconcile(entries, are_old=True)
        except JournalError:
            raise
        except RebyteError as error:
            raise BatchError(f"can't find out what became of the last run's creates: {in_one_line(error)}") from error
        for entry in entries:
            if (unclear := verdicts[entry.position].unclear) is not None:
                await self._finish(entry, "ambiguous", error=f"AmbiguousRequestError: {reason}; {unclear}")
        return [entry for entry in entries if verdicts[entry.position].task is not None]

    async def _guarded(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Do a part of the work. A failure that is no item's own ends the run."""
        try:
            with no_stray_cancel():
                await work(*arguments)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            self._break_off(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):  # which end the event loop too, at once
                raise

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or first_of(error)

    def _break_off(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._halt.call()
        self._scope.cancel()

    async def _leave(self) -> None:
        """Let the creates that are under way land, cancel what is to be canceled, and let go of everything."""
        try:
            await self._tried(self._creates.land)
            if self._interrupted and self._plan.cancel_remote:
                await self._tried(self._cancel_remote)
            if not isinstance(self._failure, JournalError):
                await self._tried(self._journal.end_run)
        finally:
            try:
                with move_on_after(self._plan.tuning.landing), suppress(Exception):  # the application's own generator
                    await self._source.close()
            finally:
                await self._tried(self._journal.aclose)

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the leaving. What goes wrong with it is raised to whoever reads, and holds up no other part."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - raised to whoever reads
            self._fail(error)

    def _end(self, error: BaseException, *, no_creates: bool = False) -> None:
        """Take no new items; what runs ends, and then the error is raised."""
        if no_creates and self._no_creates is None:
            self._no_creates = error
            self._halt.call()
            if self._machines is not None:
                self._machines.touch()
        if self._failure is None:
            _log.warning("the batch takes no new items: %s", error)
            self._failure = error
        self._intake.cancel()

    # Taking items in.

    async def _take_in(self, group: TaskGroup) -> None:
        ahead = max(1, min(self._plan.tuning.ahead, self._plan.concurrency))
        while True:
            room = await self._outlet.room()
            try:
                given = await self._source.take(min(room, ahead))
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - the application's own, raised to it
                self._end(error)
                return
            if not given:
                return
            items, refusal = self._checked(given)
            entries = await self._journal.accept([intake for _, intake in items])
            for (item, _), entry in zip(items, entries, strict=True):
                if isinstance(entry, BatchError):
                    self._end(entry)
                    return
                await self._dispatch(group, item, entry)
            if refusal is not None:
                self._end(refusal)
                return

    def _checked(self, given: Sequence[object]) -> tuple[list[tuple[BatchItem, NewItem]], BatchError | None]:
        """The items up to the first that can't be one, and what is wrong with that."""
        items: list[tuple[BatchItem, NewItem]] = []
        for item in given:
            if not isinstance(item, BatchItem):
                return items, BatchError(f"items must give BatchItem, not {type(item).__name__}: {item!r:.80}")
            if self._machines is not None and item.workspace_id is not None:
                return items, BatchError(
                    f"the item {item.key!r:.80} has a workspace_id of its own, and the batch has workspaces: give one "
                    "or the other"
                )
            try:
                items.append((item, intake_of(item)))
            except RebyteError as error:
                return items, BatchError(error.message)
        return items, None

    async def _dispatch(self, group: TaskGroup, item: BatchItem, entry: ItemRecord) -> None:
        """Set an item on its way: what has ended is handed out, what runs is waited for, the others are made."""
        granted = entry.state == "accepted" and await self._budget.reserve()
        if granted:
            await self._slots.take()
        number = self._outlet.take()
        self._taken += 1
        if entry.state == "ended":
            self._resumed += 1
            self._hand_out(number, entry.outcome())
        elif entry.state == "running":
            group.start_soon(self._guarded, self._await_old, number, entry)
        elif granted:
            group.start_soon(self._guarded, self._make, group, number, item, entry)
        else:
            self._hand_out(number, BatchOutcome(key=entry.key, status="skipped", attempts=entry.attempts))

    def _hand_out(self, number: int, outcome: BatchOutcome) -> None:
        self._ended[outcome.status] += 1
        self._outlet.put(number, outcome)

    # One item.

    async def _make(self, group: TaskGroup, number: int, item: BatchItem, entry: ItemRecord) -> None:
        """Make an item's task, and have someone wait for its end, who has no need of the item."""
        outcome = await self._started(item, entry)
        if outcome is None:
            self._budget.spend()
            entry.request = ""  # what was asked may be long, and the tasks that are open many
            group.start_soon(self._guarded, self._follow, number, entry)
        else:
            self._slots.give()
            self._hand_out(number, outcome)

    async def _follow(self, number: int, entry: ItemRecord) -> None:
        """Wait for the end of an item's task."""
        try:
            outcome = await self._followed(entry, is_new=True)
        finally:
            self._slots.give()
        self._hand_out(number, outcome)

    async def _started(self, item: BatchItem, entry: ItemRecord) -> BatchOutcome | None:
        """None when the item has its task, else what became of it.

        Raises:
            JournalError: It can't be written down.
            BaseException: What nobody reckoned with; it is no item's own, and nothing is written down of it.
        """
        try:
            files = await self._uploaded(item)
        except Exception as error:  # noqa: BLE001 - also what a file of the application's own raises
            return await self._not_started(entry, error)
        try:
            if self._machines is None:
                await self._creates.make(item, entry, files, item.workspace_id)
            else:
                await self._make_on_one_of(self._machines, item, entry, files)
        except JournalError:
            raise
        except RebyteError as error:
            return await self._not_started(entry, error)
        return None

    async def _make_on_one_of(
        self, machines: Machines, item: BatchItem, entry: ItemRecord, files: Sequence[FileRef]
    ) -> None:
        """Make an item's task on a machine. One that is gone is done without, and the item has another."""
        while True:
            machine = await machines.take()
            try:
                await self._creates.make(item, entry, files, machine)
            except UnclearError:
                machines.lose(machine, "tasks may run on them that can't be told")
                raise
            except NotFoundError as error:
                is_gone = await machines.is_gone(machine)
                if is_gone:
                    machines.lose(machine, in_one_line(error))
                    await self._journal.clear_intent(entry)
                machines.give_back(machine)
                if not is_gone:
                    raise
            except BaseException:
                machines.give_back(machine)
                raise
            else:
                if entry.workspace_id != machine:
                    machines.give_back(machine)  # the service has put it elsewhere
                return

    async def _uploaded(self, item: BatchItem) -> Sequence[FileRef]:
        """Upload an item's files: before the create is written down, since nothing of it is in doubt."""
        if not item.files:
            return ()
        return await self._creates.trouble.outlast(lambda: self._tasks.attach(item.files))

    async def _not_started(self, entry: ItemRecord, error: Exception) -> BatchOutcome:
        if isinstance(error, UnclearError):
            self._budget.spend()
            text = f"AmbiguousRequestError: {error.message.removeprefix('AmbiguousRequestError: ')}"
            if error.is_final:
                return await self._finish(entry, "ambiguous", error=text)
            return self._unfinished(entry, "ambiguous", text)
        self._budget.give_back()
        if isinstance(error, StoppedError):
            reason = "" if self._no_creates is None else f": {in_one_line(self._no_creates)}"
            return self._unfinished(entry, "error", f"BatchError: {error.message}{reason}")
        if isinstance(error, BatchError) or is_fatal(error) or is_passing(error):
            self._end(_as_batch_error(error), no_creates=True)
            return self._unfinished(entry, "error", in_one_line(error))
        return await self._finish(entry, "error", error=in_one_line(error))

    async def _followed(self, entry: ItemRecord, *, is_new: bool = False) -> BatchOutcome:
        """Wait for the end of an item's task, and write it down."""
        self._running[entry.position] = entry
        try:
            end = await self._watch.end_of(entry.task_id or "", is_new=is_new)
        except RebyteError as error:
            self._end(_as_batch_error(error), no_creates=True)
            return self._unfinished(entry, "error", in_one_line(error))
        if not end.is_final:
            if self._machines is not None:
                self._machines.lose(entry.workspace_id, "the tasks on them can't be followed")
            return self._unfinished(entry, end.status, end.error)
        outcome = await self._finish(entry, end.status, final_result=end.final_result, error=end.error)
        del self._running[entry.position]
        self._give_back(entry.workspace_id)
        return outcome

    async def _finish(
        self, entry: ItemRecord, status: str, *, final_result: str | None = None, error: str | None = None
    ) -> BatchOutcome:
        # The server's clock, which is known to the second alone, can seem to be before the start that it told.
        now = max(self._transport.clock.now(), entry.started_at or 0.0)
        await self._journal.record_outcome(entry, status, final_result=final_result, error=error, now=now)
        self._ends.append(self._transport.gate.clock())
        self._forget_ends()
        return entry.outcome()

    def _forget_ends(self) -> None:
        """Keep the ends that the rate is counted from."""
        since = self._transport.gate.clock() - _RATE_OVER
        while self._ends and self._ends[0] < since:
            self._ends.popleft()

    @staticmethod
    def _unfinished(entry: ItemRecord, status: str, error: str | None) -> BatchOutcome:
        """What is told of an item that isn't written down as ended: the next run goes on with it."""
        return BatchOutcome(
            key=entry.key,
            status=status,
            task_id=entry.task_id,
            error=error,
            attempts=entry.attempts,
            started_at=time_of(entry.started_at),
        )

    def _give_back(self, machine: str | None) -> None:
        if self._machines is not None:
            self._machines.give_back(machine)

    # The tasks of earlier runs.

    async def _follow_old(self, entry: ItemRecord) -> None:
        """Wait for the task of an earlier run, whether or not its item is given again."""
        try:
            outcome = await self._followed(entry)
        finally:
            self._slots.give()
        self._old[entry.position].set_result(outcome)

    async def _await_old(self, number: int, entry: ItemRecord) -> None:
        self._hand_out(number, await self._old[entry.position])

    # Ending before the end.

    async def _cancel_remote(self) -> None:
        """Cancel the tasks that are open, as many as there is time for."""
        slots = CapacityLimiter(_CANCELS_AT_ONCE)

        async def cancel(entry: ItemRecord) -> None:
            async with slots:
                await self._cancel(entry)

        open_ones = await self._journal.records_in_state("running")
        with move_on_after(self._plan.tuning.cancelling):
            async with create_task_group() as group:
                for entry in open_ones:
                    group.start_soon(cancel, entry)

    async def _cancel(self, entry: ItemRecord) -> None:
        """Cancel until it took: a cancel that overtakes its own submit is lost (contract §3, observed)."""
        task_id = entry.task_id or ""
        try:
            for _ in range(_CANCEL_TRIES):
                await self._tasks.cancel(task_id)
                task = await self._tasks.get(task_id)
                if task.is_terminal:
                    await self._finish_read(entry, task)
                    return
                await asyncio.sleep(_CANCEL_PAUSE)
        except RebyteError as error:
            _log.warning("can't cancel the task %s: %s", task_id, error)

    async def _finish_read(self, entry: ItemRecord, task: Task) -> None:
        """Write down the end of a task that had come to it, or was canceled."""
        if task.status == TaskStatus.CANCELED:
            await self._finish(entry, TaskStatus.CANCELED.value, final_result=task.final_result or None)
            return
        end = await self._watch.ended(task.id, task)
        if end.status == TaskStatus.COMPLETED and end.final_result is None:
            return  # its answer may come yet: the next run asks for it
        await self._finish(entry, end.status, final_result=end.final_result, error=end.error)

    # Looking at it.

    @property
    def progress(self) -> BatchProgress:
        """A snapshot."""
        now = self._transport.gate.clock()
        elapsed = now - self._since
        self._forget_ends()
        return BatchProgress(
            taken=self._taken,
            running=len(self._running),
            creating=self._creates.open,
            ended=dict(self._ended),
            resumed=self._resumed,
            created=self._budget.made,
            elapsed=timedelta(seconds=elapsed),
            rate=len(self._ends) / max(1.0, min(elapsed, _RATE_OVER)),
            slowest=self._slowest(),
        )

    def _slowest(self) -> tuple[RunningItem, ...]:
        now = self._transport.clock.now()
        started = [(entry.started_at or now, entry) for entry in self._running.values()]
        first = heapq.nsmallest(_SLOWEST, started, key=lambda pair: pair[0])
        return tuple(_running(entry, now - since) for since, entry in first)


def _running(entry: ItemRecord, seconds: float) -> RunningItem:
    return RunningItem(key=entry.key, task_id=entry.task_id or "", running_for=timedelta(seconds=max(0.0, seconds)))


def _as_batch_error(error: Exception) -> BatchError:
    if isinstance(error, BatchError):
        return error
    result = BatchError(f"the batch can't go on: {in_one_line(error)}")
    result.__cause__ = error
    return result
