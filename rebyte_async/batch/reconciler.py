"""Decide on ambiguous creates, and record each decision before anything depends on it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

from attrs import define, field, frozen

from rebyte_async.batch.context import RunContext
from rebyte_async.batch.evidence import Watermark
from rebyte_async.batch.failures import ForeignCancellationError, UnresolvedCreateError, is_fatal, summarize_error
from rebyte_async.batch.items import NOT_SENT, hash_document, plain_prompt
from rebyte_async.batch.journal import DuplicateTaskError
from rebyte_async.batch.journal.records import ItemRecord
from rebyte_async.batch.matching import AmbiguousCreate, Verdict
from rebyte_async.batch.search import TaskSearch
from rebyte_async.errors import AmbiguousRequestError, JournalError, RebyteError
from rebyte_async.types import Task


@define(eq=False)
class RunWatermark:
    """The watermark of this run: taken once, before its first create, and recorded before its first intent."""

    context: RunContext
    value: Watermark | None = field(default=None, init=False)
    _is_recorded: bool = field(default=False, init=False)
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def record(self) -> Watermark:
        """Return the watermark, which is in the journal then."""
        watermark = await self.take()
        async with self._lock:
            if not self._is_recorded:
                self.value = await self.context.journal.record_watermark(watermark)
                self._is_recorded = True
        return self.value or watermark

    async def take(self) -> Watermark:
        """Take the watermark from a list of the newest tasks, unless that was done.

        The response also gives the server's time. If the listing fails, the watermark has no task, and bounds nothing.
        Only a refused API key is raised.
        """
        async with self._lock:
            if self.value is None:
                newest: Sequence[Task] = ()
                try:
                    newest = (await self.context.tasks.list(limit=self.context.tuning.newest_tasks)).data
                except RebyteError as error:
                    if is_fatal(error):
                        raise
                self.value = Watermark.of_newest(newest, self.context.clock.now())
            return self.value


@frozen(eq=False)
class _Case:
    """An ambiguous create of this run, and the future that its sender awaits."""

    record: ItemRecord
    verdict: asyncio.Future[Verdict]


class Reconciler:
    """Decides on ambiguous creates: those of this run as they arise, those of earlier runs before the first create."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self.watermark = RunWatermark(context)
        self._search = TaskSearch(context)
        self.cases: dict[int, _Case] = {}  # the undecided creates, by the items' positions

    async def resolve(self, record: ItemRecord, error: AmbiguousRequestError) -> bool:
        """Wait until `run` has decided on a create; return whether it made a task, which the record has then."""
        if self._context.settings.on_ambiguous == "report":
            self._context.locks.resolve(record.prompt_hash)
            raise UnresolvedCreateError(summarize_error(error)) from error
        case = _Case(record, asyncio.get_running_loop().create_future())
        self.cases[record.position] = case
        self._context.locks.changed.notify()
        verdict = await case.verdict
        if verdict.reason is not None:
            raise UnresolvedCreateError(f"{summarize_error(error)}; {verdict.reason}") from error
        return verdict.task is not None

    async def run(self) -> None:
        """Decide on ambiguous creates as they arise, until cancelled."""
        while True:
            await self._context.locks.changed.wait_for(self._ready_cases)
            await self._decide(self._ready_cases())

    def _ready_cases(self) -> list[_Case]:
        """Return the cases that can be decided: no create with their prompt is in flight, and all have been reported.

        Else a task of a create in flight could be taken for that of an ambiguous one.
        """
        counts = Counter(case.record.prompt_hash for case in self.cases.values())
        ready = {prompt for prompt, count in counts.items() if self._context.locks.are_all_ambiguous(prompt, count)}
        return [case for case in self.cases.values() if case.record.prompt_hash in ready]

    async def _decide(self, cases: Sequence[_Case]) -> None:
        failure: UnresolvedCreateError | None = None
        try:
            verdicts = await self.reconcile([case.record for case in cases])
        except (JournalError, ForeignCancellationError):
            raise
        except RebyteError as error:
            verdicts = {}
            failure = UnresolvedCreateError(f"the search for its task failed: {summarize_error(error)}")
            failure.is_final = False
        for case in cases:
            del self.cases[case.record.position]
            self._context.locks.resolve(case.record.prompt_hash)
            if case.verdict.cancelled():
                continue
            if failure is not None:
                case.verdict.set_exception(failure)
            else:
                case.verdict.set_result(verdicts[case.record.position])

    async def reconcile(self, records: Sequence[ItemRecord], *, are_old: bool = False) -> dict[int, Verdict]:
        """Decide on all ambiguous creates, and record which have a task and which made none.

        `are_old` says that earlier runs sent them. The verdicts are by the items' positions; the undecidable ones
        aren't recorded.
        """
        await self.watermark.take()
        creates = await self._describe(records, are_old=are_old)
        rivals = await self._describe(await self._find_rivals(records), are_old=are_old)
        min_wait = 0.0
        if are_old:  # the service may still process a create whose sender was killed, so its task may still appear
            longest = 2 * self._context.settings.settle
            latest = max(create.intent_at for create in creates)
            min_wait = min(longest, latest + longest - self._context.clock.now())
        verdicts = await self._search.decide(creates, rivals, min_wait=min_wait)
        for record in records:
            if (task := verdicts[record.position].task) is None:
                continue
            started_at = record.intent_at if task.created_at is None else task.created_at
            workspace_id = task.workspace_id or record.workspace_id
            try:
                await self._context.journal.record_task(record, task.task_id, workspace_id, started_at)
            except DuplicateTaskError:
                verdicts[record.position] = Verdict(reason=f"the task {task.task_id} belongs to another item")
        absent = [record for record in records if verdicts[record.position].is_absent]
        await self._context.journal.clear_intents(absent)
        return verdicts

    async def _find_rivals(self, records: Sequence[ItemRecord]) -> list[ItemRecord]:
        """Return other items with the same prompts whose creates stayed undecided, so that tasks may be theirs."""
        positions = {record.position for record in records}
        hashes = sorted({record.prompt_hash for record in records})
        undecided = await self._context.journal.store.undecided_records(hashes)
        return [record for record in undecided if record.position not in positions]

    async def _describe(self, records: Sequence[ItemRecord], *, are_old: bool) -> list[AmbiguousCreate]:
        """Describe creates for the matching, with the earliest times at which they can have made their tasks."""
        bounds = _Bounds(self._context)
        if not are_old and self.watermark.value is not None:
            bounds.own.append(self.watermark.value)
        creates: list[AmbiguousCreate] = []
        for record in records:
            intent_at = record.intent_at or 0.0
            watermark = await bounds.watermark_of(record)
            earliest = 0.0 if watermark is None else await bounds.find_earliest(record, watermark)
            request = json.loads(record.request)
            create = AmbiguousCreate(
                position=record.position,
                prompt_hash=record.prompt_hash,
                fingerprint=record.fingerprint,
                intent_at=intent_at,
                earliest=earliest,
                workspace_id=record.workspace_id,
                executor=request.get("executor"),
                model=request.get("model"),
                rest=hash_document(request, without=(*NOT_SENT, "executor", "model")),
                prompt=plain_prompt(request.get("prompt", "")),
                older_task_ids=() if watermark is None else watermark.task_ids,
            )
            creates.append(create)
        return creates


@define(eq=False)
class _Bounds:
    """Finds when ambiguous creates can have made their tasks at the earliest."""

    context: RunContext
    own: list[Watermark] = field(factory=list[Watermark], init=False)  # that of this run, if it counts
    _earlier: list[Watermark] | None = field(default=None, init=False)
    _of_runs: dict[int, Watermark | None] = field(factory=dict[int, "Watermark | None"], init=False)
    _offsets: dict[tuple[float, int | None], float | None] = field(
        factory=dict[tuple[float, "int | None"], "float | None"], init=False
    )

    async def watermark_of(self, record: ItemRecord) -> Watermark | None:
        """Return a watermark that was taken before an item's intent: by the run that recorded it, where that is known.

        Otherwise the times say which. They are those of one machine then, while runs that share a store have many.
        """
        journal, run = self.context.journal, record.intent_run
        if run is not None:
            if run not in self._of_runs:
                self._of_runs[run] = await journal.watermark_of(run)
            return self._of_runs[run]
        if self._earlier is None:
            self._earlier = await journal.earlier_watermarks()
        return Watermark.at_intent(record.intent_at or 0.0, [*self._earlier, *self.own])

    async def find_earliest(self, record: ItemRecord, watermark: Watermark) -> float:
        """Return the earliest time, by the clock of tasks, at which the create can have made its task."""
        key = (watermark.taken_at, record.intent_run)
        if key not in self._offsets:
            store = self.context.journal.store
            self._offsets[key] = await store.min_clock_offset(since=watermark.taken_at, run=record.intent_run)
        slack = self.context.tuning.clock_slack
        return watermark.earliest_task_time(record.intent_at or 0.0, self._offsets[key], slack)
