"""The journal of a batch: `Journal`, for use between runs, and `RunJournal`, which a run writes and asks."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, Unpack

from attrs import define, evolve, field

from rebyte_async.batch.evidence import Watermark
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.postgres.parts import make_store
from rebyte_async.batch.journal.records import AgentComputerRecord, ItemChange, ItemRecord, NewItem, check_statuses
from rebyte_async.batch.journal.sqlite import SqliteStore
from rebyte_async.batch.journal.store import JournalStore
from rebyte_async.errors import BatchError, ConfigurationError

_DATE_ERROR = 3.0
"""Seconds that two readings of the server's clock may differ at most: a `Date` header has whole seconds."""
_TICK = 0.001

JournalAt: TypeAlias = str | os.PathLike[str] | PostgresJournal | None
"""Where a journal is: at the path of a file, in a database, or only in memory (None)."""


def store_at(place: JournalAt) -> JournalStore:
    """Return the store for the `journal` of a batch, not opened yet.

    Raises:
        ConfigurationError: There can be no journal at such a place.
    """
    if isinstance(place, PostgresJournal):
        store: JournalStore = make_store(place)
        return store
    return SqliteStore(place)


class Journal:
    """A batch's journal, open for writing: one SQLite file, or a batch in PostgreSQL.

    A `BatchRunner` opens the journal of its runs itself. This class is for work between runs:

        async with Journal("run.sqlite3") as journal:
            await journal.reopen(["failed", "error"])

    Only one user at a time, in any process, can have a journal open for writing. Every write is on disk when its call
    returns.

    Args:
        path: The file, which is created if there is none; a `PostgresJournal`, whose batch is made if there is none; or
            None, which keeps the journal while this object is open.
        base_url: The address of the API. It is recorded, and a journal of another address is refused.
    """

    def __init__(self, path: JournalAt, *, base_url: str | None = None) -> None:
        self._store = store_at(path)
        self.path: Path | None = None if path is None or isinstance(path, PostgresJournal) else Path(path)
        """The file, if it is one."""
        self.batch_id: str = ""
        """The batch's id, made with the journal."""
        self._base_url = base_url

    async def open(self) -> None:
        """Lock the file and open it, or create it.

        Raises:
            JournalBusyError: Another process has it open, or this process has already.
            JournalError: It is damaged, has lost commits, is a copy whose original is there, not a journal, of another
                version, or can't be written.
            BatchError: It is of a batch on another address.
        """
        self.batch_id = await self._store.open(self._base_url)

    async def aclose(self) -> None:
        """Finish the writes that were asked for, and release the file."""
        await self._store.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def reopen(self, statuses: Iterable[str], *, keys: Iterable[str] | None = None) -> int:
        """Let the next run start ended items again.

        Items that ended `ambiguous` are reconciled once more first. The others get a new task; the journal keeps their
        old one, so that it is not taken for the task of another item.

        Args:
            statuses: Items that ended with one of these: `failed`, `canceled`, `error`, `ambiguous`, `completed`.
            keys: Only the items with these keys; None for all.

        Returns:
            How many items were reopened.

        Raises:
            ConfigurationError: A status is none of these, or a single string was given instead of several.
            JournalError: The journal isn't open, or can't be written.
        """
        chosen = _strings("statuses", statuses)
        wanted = None if keys is None else _strings("keys", keys)
        check_statuses(chosen)
        return await self._store.reopen_items(chosen, wanted)


def _strings(name: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigurationError(f"{name} must be several strings, such as [{given!r:.80}], not one")
    return tuple(given)


@define
class RunJournal:
    """The journal as one run writes it, on any store. Questions are asked of `store` itself.

    A method that records a step returns when the step is on disk, and the `ItemRecord` is up to date then.
    """

    store: JournalStore
    base_url: str | None = None
    batch_id: str = field(default="", init=False)
    _run: int = field(default=0, init=False)

    async def begin_run(self) -> None:
        """Open the store, and record that the run begins."""
        self.batch_id = await self.store.open(self.base_url)
        self._run = await self.store.begin_run(started_at=time.time(), pid=os.getpid())

    async def end_run(self) -> None:
        """Record that the run has ended in order."""
        await self.store.update_run(self._run, ended_at=time.time())

    async def record_watermark(self, watermark: Watermark) -> Watermark:
        """Record the watermark before the run's first create; return it moved after the intents of earlier runs."""
        last = await self.store.latest_intent(before=watermark.taken_at + _DATE_ERROR)
        if last is not None:
            watermark = evolve(watermark, taken_at=max(watermark.taken_at, last + _TICK))
        await self.store.update_run(self._run, note=watermark.as_note())
        return watermark

    async def earlier_watermarks(self) -> list[Watermark]:
        """Return the watermarks of the earlier runs that have sent creates."""
        notes = await self.store.run_notes(before=self._run)
        return [watermark for note in notes if (watermark := Watermark.from_note(note)) is not None]

    async def watermark_of(self, run: int) -> Watermark | None:
        """Return the watermark of a run, which was recorded before its first intent."""
        return Watermark.from_note(await self.store.run_note(run))

    async def accept(self, items: Sequence[NewItem]) -> list[ItemRecord | BatchError]:
        """Record items as taken in. In the place of an item that can't be accepted comes the reason."""
        return await self.store.accept_items(items, self._run)

    async def record_intent(self, record: ItemRecord, workspace_id: str | None, now: float) -> None:
        """Record that a create is about to be sent. It must not be sent before this returns."""
        attempts = record.attempts + 1
        await self._change([record], state="creating", attempts=attempts, intent_at=now, workspace_id=workspace_id)
        record.intent_run = self._run

    async def clear_intent(self, record: ItemRecord) -> None:
        """Record that the create has certainly made no task, and that the server didn't read it."""
        attempts = record.attempts - 1
        await self._change([record], state="accepted", attempts=attempts, intent_at=None, workspace_id=None)

    async def clear_intents(self, records: Collection[ItemRecord]) -> None:
        """Record that ambiguous creates have certainly made no task. They stay counted as attempts."""
        await self._change(records, state="accepted", intent_at=None, workspace_id=None)

    async def record_task(
        self, record: ItemRecord, task_id: str, workspace_id: str | None, started_at: float | None
    ) -> None:
        """Record an item's task.

        Raises:
            DuplicateTaskError: The task belongs to another item.
        """
        await self._change([record], state="running", task_id=task_id, workspace_id=workspace_id, started_at=started_at)

    async def record_outcome(
        self, record: ItemRecord, status: str, *, final_result: str | None = None, error: str | None = None, now: float
    ) -> None:
        """Record how an item ended."""
        started_at = record.intent_at if record.started_at is None else record.started_at
        await self._change(
            [record],
            state="ended",
            status=status,
            final_result=final_result,
            error=error,
            started_at=started_at,
            ended_at=now,
        )

    async def _change(self, records: Collection[ItemRecord], **change: Unpack[ItemChange]) -> None:
        if not records:
            return
        await self.store.update_items(records, change)
        for record in records:
            record.apply(change)

    async def record_agent_computer_intent(self, slot: int, name: str, now: float) -> None:
        """Record that an agent computer is about to be made."""
        await self.store.save_agent_computer(AgentComputerRecord(slot, name, None, now))

    async def record_agent_computer(self, slot: int, workspace_id: str) -> None:
        """Record the id of an agent computer whose intent is recorded."""
        known = {record.slot: record for record in await self.store.agent_computers()}
        await self.store.save_agent_computer(evolve(known[slot], workspace_id=workspace_id))
