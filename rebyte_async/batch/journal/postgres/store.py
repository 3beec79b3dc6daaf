"""The store that is a batch in PostgreSQL: of one run that has the whole batch, or of a worker that has some shards."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import anyio

from rebyte_async.batch.journal.postgres import schema
from rebyte_async.batch.journal.postgres.journal import PostgresJournal, shard_of
from rebyte_async.batch.journal.postgres.opening import Access, open_session
from rebyte_async.batch.journal.postgres.session import SESSION_TIMEOUT, ItemUpdate, PostgresSession
from rebyte_async.batch.journal.records import (
    AgentComputerRecord,
    ItemChange,
    ItemRecord,
    NewItem,
    check_address,
    find_conflict,
    new_record,
    reopen_change,
)
from rebyte_async.batch.journal.store import Shard
from rebyte_async.batch.journal.writer import Writer
from rebyte_async.errors import BatchError, JournalError

T = TypeVar("T")
_PINGS_PER_TIMEOUT = 6
_LONGEST_HOST = 200


class PostgresStore:
    """A `JournalStore` in a PostgreSQL database, and a `ShardedStore` if it is opened as a worker's.

    Args:
        journal: The database and the batch.
        access: As what the batch is opened.
        session_timeout: Seconds of silence after which the server ends the session.
    """

    def __init__(
        self, journal: PostgresJournal, access: Access = Access.WHOLE, *, session_timeout: float = SESSION_TIMEOUT
    ) -> None:
        self._journal = journal
        self._access = access
        self._session_timeout = session_timeout
        self._writer: Writer[PostgresSession] | None = None
        self._session: PostgresSession | None = None
        self._receive: Callable[[str], None] | None = None

    async def open(self, base_url: str | None) -> str:
        writer = self._writer = Writer[PostgresSession](str(self._journal), self._connect)
        try:
            await writer.start()
            session = self._session
            assert session is not None  # noqa: S101 - it was opened
            if base_url is not None:
                check_address(session.facts.base_url, base_url, self._journal)
                if session.facts.base_url is None:
                    await self._query(schema.SET_BASE_URL, base_url, session.facts.batch)
        except BaseException:
            await self.aclose()
            raise
        return session.facts.batch_id

    def _connect(self) -> PostgresSession:
        # Between runs nothing shows that the session is alive, and the application may take its time.
        timeout = None if self._access is Access.WHOLE else self._session_timeout
        self._session = open_session(self._journal, self._access, timeout)
        if self._receive is not None:
            self._session.listen(self._receive)
        return self._session

    async def hold(self) -> None:
        while True:
            await anyio.sleep(self._session_timeout / _PINGS_PER_TIMEOUT)
            await self._write(_refresh)

    async def aclose(self) -> None:
        if self._writer is not None:
            await self._writer.stop()

    async def begin_run(self, *, started_at: float, pid: int) -> int:
        run = await self._write(lambda session: begin_run(session, self._access, started_at, pid))
        await self._write(lambda session: session.limit_silence(self._session_timeout))
        return run

    async def update_run(self, run: int, *, ended_at: float | None = None, note: str | None = None) -> None:
        await self._write(lambda session: session.execute(schema.UPDATE_RUN, ended_at, note, session.facts.batch, run))

    async def record_total(self, total: int) -> None:
        await self._query(schema.SET_TOTAL, total, self._batch)

    async def run_notes(self, *, before: int) -> list[str]:
        return [note for (note,) in await self._query(schema.SELECT_NOTES, self._batch, before)]

    async def run_note(self, run: int) -> str | None:
        found = await self._query(schema.SELECT_NOTE, self._batch, run)
        return found[0][0] if found else None

    async def accept_items(self, items: Sequence[NewItem], run: int) -> list[ItemRecord | BatchError]:
        return await self._write(lambda session: _accept(session, items, run))

    async def update_items(self, records: Collection[ItemRecord], change: ItemChange) -> None:
        await self._write(ItemUpdate(list(records), change))

    async def reopen_items(self, statuses: Collection[str], keys: Collection[str] | None) -> int:
        chosen = None if keys is None else set(keys)
        return await self._write(lambda session: _reopen(session, list(statuses), chosen))

    async def records_in_state(self, state: str) -> list[ItemRecord]:
        query = schema.SELECT_RUNNING if state == "running" else schema.SELECT_IN_STATE
        values: list[object] = [self._batch, state]
        if self._access is Access.WORKER and self._session is not None:
            query = query.replace("ORDER BY", schema.OF_RUN)
            values += [self._batch, self._session.run_number]
        return to_records(await self._query(query, *values))

    async def undecided_records(self, prompt_hashes: Sequence[bytes]) -> list[ItemRecord]:
        return to_records(await self._query(schema.SELECT_UNDECIDED, list(prompt_hashes), self._batch))

    async def owned_task_ids(self, task_ids: Sequence[str]) -> set[str]:
        ids = list(task_ids)
        return {row[0] for row in await self._query(schema.SELECT_OWNED_TASKS, ids, self._batch, self._batch)}

    async def known_prompt_hashes(self, hashes: Sequence[bytes]) -> set[bytes]:
        return {row[0] for row in await self._query(schema.SELECT_KNOWN_PROMPTS, list(hashes), self._batch)}

    async def recent_task_samples(self) -> list[tuple[str, bytes]]:
        return await self._query(schema.SELECT_SAMPLES, self._batch)

    async def latest_intent(self, *, before: float) -> float | None:
        return cast("float | None", (await self._query(schema.SELECT_LATEST_INTENT, self._batch, before))[0][0])

    async def min_clock_offset(self, *, since: float, run: int | None = None) -> float | None:
        (row,) = await self._query(schema.SELECT_MIN_OFFSET, self._batch, since, run, run)
        return cast("float | None", row[0])

    async def agent_computers(self) -> list[AgentComputerRecord]:
        return [AgentComputerRecord(*row) for row in await self._query(schema.SELECT_AGENT_COMPUTERS, self._batch)]

    async def save_agent_computer(self, record: AgentComputerRecord) -> None:
        values = (record.slot, record.name, record.workspace_id, record.intent_at)
        await self._query(schema.SAVE_AGENT_COMPUTER, self._batch, *values)

    async def claim_shard(self, except_for: Collection[int]) -> Shard | None:
        # The records are read in a transaction of their own, which sees all that earlier owners have committed.
        number = await self._write(lambda session: _claim(session, list(except_for)))
        if number is None:
            return None
        return Shard(number, to_records(await self._query(schema.SELECT_OPEN_IN_SHARD, self._batch, number)))

    async def accepted_items(self, shard: int, *, after: int, limit: int) -> list[ItemRecord]:
        return to_records(await self._query(schema.SELECT_ACCEPTED_IN_SHARD, self._batch, shard, after, limit))

    async def release_shard(self, shard: int) -> None:
        await self._write(lambda session: _release(session, shard))

    async def has_open_items(self, except_for: Collection[int]) -> bool:
        return bool((await self._query(schema.SELECT_HAS_OPEN, self._batch, list(except_for)))[0][0])

    async def pause_workers(self, seconds: float) -> None:
        await self._write(lambda session: session.notify(f"pause {seconds:.3f}"))

    def on_pause(self, call: Callable[[float], None]) -> None:
        loop = asyncio.get_running_loop()

        def receive(message: str) -> None:
            kind, _, seconds = message.partition(" ")
            if kind == "pause":
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(call, float(seconds))

        self._receive = receive

    @property
    def _batch(self) -> int:
        return -1 if self._session is None else self._session.facts.batch

    async def _query(self, statement: str, *values: object) -> list[Any]:
        return await self._write(lambda session: session.execute(statement, *values))

    async def _write(self, job: Callable[[PostgresSession], T]) -> T:
        """Run a job in the writer's thread. Reads take the same way, so that they see every write before them."""
        if self._writer is None:
            raise JournalError("the journal isn't open: use it with `async with`")
        return await self._writer.write(job)


def _refresh(session: PostgresSession) -> None:
    """Show the server that the session is alive, and read the limits of the batch, which may have changed."""
    ((most_made, most_open),) = session.execute(schema.SELECT_LIMITS, session.facts.batch)
    session.limits = (most_made, most_open)


def begin_run(session: PostgresSession, access: Access, started_at: float, pid: int) -> int:
    """Record that a run begins, and let the session write for it."""
    host = socket.gethostname()[:_LONGEST_HOST]
    batch = session.facts.batch
    ((run,),) = session.execute(schema.INSERT_RUN, batch, batch, started_at, pid, host)
    if access is Access.WHOLE:
        session.execute(schema.OWN_ALL_SHARDS, run, batch)
    session.run_number = run
    return cast("int", run)


def _claim(session: PostgresSession, except_for: list[int]) -> int | None:
    batch = session.facts.batch
    rows = session.execute(schema.CLAIM_SHARD, batch, except_for, schema.lock_key(batch, 0))
    if not rows:
        return None
    session.execute(schema.OWN_SHARD, session.run_number, batch, rows[0][0])
    return cast("int", rows[0][0])


def _release(session: PostgresSession, shard: int) -> None:
    batch = session.facts.batch
    session.execute(schema.OWN_SHARD, None, batch, shard)
    session.execute(schema.UNLOCK, schema.lock_key(batch, shard))


def to_records(rows: Sequence[Sequence[Any]]) -> list[ItemRecord]:
    """Make records of rows with `RECORD_COLUMNS`."""
    return [ItemRecord(**dict(zip(schema.RECORD_COLUMNS, row, strict=True))) for row in rows]


def _accept(session: PostgresSession, items: Sequence[NewItem], run: int) -> list[ItemRecord | BatchError]:
    batch = session.facts.batch
    keys = [item.key for item in items if "\0" not in item.key]
    known = {record.key: record for record in to_records(session.execute(schema.SELECT_KNOWN, batch, keys))}
    accepted: list[ItemRecord | BatchError] = []
    added: dict[str, NewItem] = {}
    kept: list[ItemRecord] = []
    for item in items:
        if (refusal := check_storable(item)) is not None:
            accepted.append(refusal)
            continue
        record = known.get(item.key)
        if record is None:
            record = known[item.key] = new_record(item, 0, run)
            added[item.key] = item
        elif (conflict := find_conflict(record, item, run)) is not None:
            accepted.append(conflict)
            continue
        else:
            record.run, record.request = run, item.request
            kept.append(record)
        accepted.append(record)
    for key, position in insert_items(session, list(added.values()), run):
        known[key].position = position
    if kept:
        requests = [record.request for record in kept]
        session.execute(schema.TAKE_OVER, run, [record.position for record in kept], requests)
    return accepted


def check_storable(item: NewItem) -> BatchError | None:
    """Return why PostgreSQL can't keep an item, if it can't."""
    return BatchError(f"the key {item.key!r:.80} has a NUL character: use another key") if "\0" in item.key else None


def insert_items(session: PostgresSession, items: Sequence[NewItem], run: int) -> list[tuple[str, int]]:
    """Add new items, and return their keys and positions."""
    if not items:
        return []
    facts = session.facts
    columns = zip(
        *((shard_of(i.prompt_hash, facts.shards), i.key, i.fingerprint, i.request, i.prompt_hash) for i in items),
        strict=True,
    )
    added = session.execute(schema.INSERT_ITEMS, facts.batch, run, *map(list, columns))
    session.note_positions([position for _, position in added])
    return added


def _reopen(session: PostgresSession, statuses: list[str], keys: set[str] | None) -> int:
    batch = session.facts.batch
    rows = session.execute(schema.SELECT_ENDED, batch, statuses)
    chosen = [row for row in rows if keys is None or row[1] in keys]
    former = [(task_id, position) for position, _, _, _, task_id in chosen if task_id is not None]
    if former:
        session.execute(schema.SAVE_FORMER_TASKS, batch, *map(list, zip(*former, strict=True)))
    for is_undecided in (True, False):
        some = [row for row in chosen if (row[2] == "ambiguous" and row[3] is not None) is is_undecided]
        if some:
            _, _, status, intent_at, _ = some[0]
            session.change([row[0] for row in some], reopen_change(status, intent_at))
    return len(chosen)
