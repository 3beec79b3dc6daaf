"""The items of a batch that workers share: a worker claims shards as it has room, and gives them back when they end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from json import loads

from anyio import create_task_group, move_on_after
from anyio.abc import TaskGroup
from attrs import define, field

from rebyte_async._sync import Signal
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.dispatcher import ItemDispatcher
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.journal import ItemRecord
from rebyte_async.batch.journal.store import Shard, ShardedStore
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.batch.run_scope import RunScope


@define(eq=False)
class _Claim:
    """A shard that this worker owns."""

    shard: Shard
    in_progress: int = field(default=0, init=False)  # items that have no outcome yet
    is_settled: bool = field(default=False, init=False)  # whether its ambiguous creates are decided
    has_leftovers: bool = field(default=False, init=False)  # whether an item is left for another run

    def with_state(self, state: str) -> list[ItemRecord]:
        return [record for record in self.shard.open_records if record.state == state]


class ShardedItems:
    """Takes the items of the shards that this worker claims, one shard after the other.

    A shard goes through these steps, beside those that are claimed already:

        claimed ──▶ its running tasks are followed
           │           └─ it has ambiguous creates: they are settled, together with those of other claims
           └──▶ its accepted items are started as there are slots ──▶ all have outcomes ──▶ released

    A worker claims a shard only when it has a free slot that no item of its shards waits for. So the shards of a large
    batch stay free for workers that come later, and those of a small batch are spread by the workers' sizes.
    """

    def __init__(self, context: RunContext, scope: RunScope, dispatcher: ItemDispatcher, store: ShardedStore) -> None:
        self._context = context
        self._scope = scope
        self._dispatcher = dispatcher
        self._store = store
        self._claims: dict[int, _Claim] = {}
        self._left: set[int] = set()  # shards whose other items are for another run
        self._starting = 0  # shards whose accepted items are being started
        self._unsettled: list[_Claim] = []
        self._is_spent = False  # whether the batch may make no further task
        self._changed = Signal()

    async def run(self, background: TaskGroup) -> None:
        """Claim shards until no item is left that this worker may run."""
        background.start_soon(self._scope.run_part, self._settle_claims)
        async with create_task_group() as items:
            with self._scope.intake:
                async with create_task_group() as shards:
                    await self._scope.run_part(self._claim_shards, shards, items)

    async def close(self) -> None:
        """Take no further item. The shards are free when the session ends."""

    async def _claim_shards(self, shards: TaskGroup, items: TaskGroup) -> None:
        while True:
            await self._wait_for_room()
            shard = await self._store.claim_shard([*self._claims, *self._left])
            if shard is not None:
                claim = self._claims[shard.number] = _Claim(shard)
                self._starting += 1
                shards.start_soon(self._scope.run_part, self._run_shard, claim, items)
            elif not self._claims and not await self._store.has_open_items(self._left):
                return
            else:  # others have them: until they end, or their sessions do
                with move_on_after(self._context.tuning.claim_interval):
                    await self._changed.wait()

    async def _wait_for_room(self) -> None:
        """Wait until there is a slot that no claimed item waits for."""
        while True:
            await self._changed.wait_for(lambda: self._starting == 0)
            await self._dispatcher.slots.wait_free()
            if self._starting == 0:
                return

    async def _run_shard(self, claim: _Claim, items: TaskGroup) -> None:
        """Run a shard to its end, and release it."""
        number = claim.shard.number
        creating, running = claim.with_state("creating"), claim.with_state("running")
        for _ in claim.shard.open_records:
            self._dispatcher.slots.force_acquire()  # each may be an open task
        await self._follow(claim, items, running)
        if creating:
            await self._settle(claim)
            made = [record for record in creating if record.state == "running"]
            for _ in range(len(creating) - len(made)):
                self._dispatcher.slots.release()
            await self._follow(claim, items, made)
        await self._start_accepted(claim, items)
        self._starting -= 1
        self._changed.notify()
        await self._changed.wait_for(lambda: claim.in_progress == 0)
        if claim.has_leftovers:
            self._left.add(number)
        await self._store.release_shard(number)
        del self._claims[number]
        self._changed.notify()

    async def _settle(self, claim: _Claim) -> None:
        """Wait until the ambiguous creates of a claim are decided. Meanwhile other shards may be claimed."""
        self._unsettled.append(claim)
        self._starting -= 1
        self._changed.notify()
        await self._changed.wait_for(lambda: claim.is_settled)
        self._starting += 1

    async def _settle_claims(self) -> None:
        """Decide on the ambiguous creates of claims, for those that come together in one pass."""
        while True:
            await self._changed.wait_for(lambda: self._unsettled)
            claims, self._unsettled = self._unsettled, []
            # Who had the shards before may have recorded an intent in the last moment, and send its create until then.
            await self._context.time.sleep(self._context.tuning.send_timeout + self._context.settings.settle)
            records = [record for claim in claims for record in claim.with_state("creating")]
            await self._dispatcher.reconcile_earlier(records)
            for claim in claims:
                claim.is_settled = True
            self._changed.notify()

    async def _follow(self, claim: _Claim, items: TaskGroup, records: list[ItemRecord]) -> None:
        for record in records:
            deliver = await self._take(claim, BatchItem.from_json(loads(record.request)), record)
            self._dispatcher.follow(items, record, deliver)

    async def _start_accepted(self, claim: _Claim, items: TaskGroup) -> None:
        """Start the accepted items of a shard, as there are slots for them."""
        after = 0
        page = self._context.tuning.read_ahead
        while records := await self._store.accepted_items(claim.shard.number, after=after, limit=page):
            for record in records:
                await self._dispatcher.slots.acquire()
                if self._is_spent:
                    self._dispatcher.slots.release()
                    claim.has_leftovers = True
                    return
                await self._dispatcher.runner.budget.reserve()
                item = BatchItem.from_json(loads(record.request))
                self._dispatcher.start(items, item, record, await self._take(claim, item, record))
            after = records[-1].position

    async def _take(self, claim: _Claim, item: BatchItem, record: ItemRecord) -> Callable[[BatchOutcome], None]:
        """Take an item when there is room for its outcome; return what hands that out."""
        await self._dispatcher.outcomes.wait_for_room()
        claim.in_progress += 1
        return partial(self._deliver, claim, self._dispatcher.take(item), record)

    def _deliver(self, claim: _Claim, number: int, record: ItemRecord, outcome: BatchOutcome) -> None:
        claim.in_progress -= 1
        claim.has_leftovers = claim.has_leftovers or record.state != "ended"
        self._is_spent = self._is_spent or outcome.status == "skipped"
        self._dispatcher.hand_out(number, outcome)
        self._changed.notify()
