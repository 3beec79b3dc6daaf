"""The protocol of the stores that keep journals: one implementation for each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from attrs import frozen

from rebyte_async.batch.journal.records import AgentComputerRecord, ItemChange, ItemRecord, NewItem
from rebyte_async.errors import BatchError, JournalError


class DuplicateTaskError(JournalError):
    """A task was to be recorded for an item, and another item of the batch has it."""


class JournalLostError(JournalError):
    """The session with the journal's database was lost, or can't be made: another one may succeed."""


class BatchBudgetError(BatchError):
    """All the tasks were made that the batch may make."""


class BatchFullError(BatchError):
    """As many tasks are open as the batch may have open."""


class JournalStore(Protocol):
    """Keeps the journal of one batch. `tests/batch/test_journal_store.py` tests these promises on every store.

    A store decides nothing about items. It applies the rules of `records.py`, inside its transactions where a rule
    needs stored values.

    - A write is on disk when its call returns. Writes are made in the order of their calls, also those whose callers
      are cancelled: the task or the outcome that they record is a fact.
    - A call is written as a whole or not at all.
    - Every failure is a `JournalError`, never an exception of the database. After a failure of the store itself (a full
      disk, a lost connection) it refuses all further writes.

    A store lets one user in at a time: the SQLite store one process, the PostgreSQL store one session of the database.
    Its workers share a batch beyond this protocol, by `ShardedStore`.
    """

    async def open(self, base_url: str | None) -> str:
        """Open the journal, or create it, and return the batch's id.

        Args:
            base_url: The address of the API, which is recorded if none was; None accepts any.

        Raises:
            JournalBusyError: The journal is in use, and the store can't be shared.
            JournalError: It is damaged or not complete, not a journal, of another version, or can't be reached.
            BatchError: It is of a batch on another address.
        """
        ...

    async def hold(self) -> None:
        """Keep the journal open until cancelled; raise JournalError as soon as it is known to be lost."""
        ...

    async def aclose(self) -> None:
        """Finish the writes that were asked for, and close the journal. May be called when `open` has failed."""
        ...

    async def begin_run(self, *, started_at: float, pid: int) -> int:
        """Record that a run begins, and return its number."""
        ...

    async def update_run(self, run: int, *, ended_at: float | None = None, note: str | None = None) -> None:
        """Record the end of a run, or its note: a text that only the batch's own rules understand."""
        ...

    async def record_total(self, total: int) -> None:
        """Record how many items the batch has, with those that weren't accepted yet."""
        ...

    async def run_notes(self, *, before: int) -> list[str]:
        """Return the notes of the runs that began before a run."""
        ...

    async def run_note(self, run: int) -> str | None:
        """Return the note of a run; None where it has none."""
        ...

    async def accept_items(self, items: Sequence[NewItem], run: int) -> list[ItemRecord | BatchError]:
        """Make a run the owner of items, adding those that are new.

        An item that is the same but for its metadata gets the new request.

        Returns:
            For each item its record, or the conflict that `find_conflict` finds.
        """
        ...

    async def update_items(self, records: Collection[ItemRecord], change: ItemChange) -> None:
        """Record a change of items. The records in memory aren't changed.

        Raises:
            DuplicateTaskError: The change names a task that another item has. Other writes are not affected.
        """
        ...

    async def reopen_items(self, statuses: Collection[str], keys: Collection[str] | None) -> int:
        """Apply `reopen_change` to ended items, keep their tasks as former ones, and return the number of items.

        Args:
            statuses: Items that ended with one of these.
            keys: Only these items; None for all.
        """
        ...

    async def records_in_state(self, state: str) -> list[ItemRecord]:
        """Return the items that are `creating` or `running`, by the time of their intents.

        Running items come without their requests, which may be long and aren't needed any more.
        """
        ...

    async def undecided_records(self, prompt_hashes: Sequence[bytes]) -> list[ItemRecord]:
        """Return the items with one of these prompts whose create may have made a task that no item has.

        They are `creating`, or ended as `ambiguous`, and have an intent.
        """
        ...

    async def owned_task_ids(self, task_ids: Sequence[str]) -> set[str]:
        """Return those of the ids whose task an item has, or had before it was reopened."""
        ...

    async def known_prompt_hashes(self, hashes: Sequence[bytes]) -> set[bytes]:
        """Return those of the hashes that an item's prompt has."""
        ...

    async def recent_task_samples(self) -> list[tuple[str, bytes]]:
        """Return some recent tasks of items with the hashes of their prompts, the longest requests first."""
        ...

    async def latest_intent(self, *, before: float) -> float | None:
        """Return the time of the last intent before a time; None if there is none."""
        ...

    async def min_clock_offset(self, *, since: float, run: int | None = None) -> float | None:
        """Return the least `started_at - intent_at` among items with a task whose intent isn't before a time.

        In a shared store, only the intents that `run` recorded count: machines have clocks of their own.

        It is negative where the clock of the intents is ahead of the clock of tasks; None if there is no such item.
        """
        ...

    async def agent_computers(self) -> list[AgentComputerRecord]:
        """Return the batch's agent computers, by slot."""
        ...

    async def save_agent_computer(self, record: AgentComputerRecord) -> None:
        """Record an agent computer, in place of the one that its slot had."""
        ...


@frozen
class Shard:
    """A part of a batch that a worker has claimed."""

    number: int
    open_records: list[ItemRecord]
    """Its items that are `creating` or `running`, by the time of their intents."""


class ShardedStore(JournalStore, Protocol):
    """A store whose batch several workers share. Each shard has one owner at a time; equal prompts share a shard."""

    async def claim_shard(self, except_for: Collection[int]) -> Shard | None:
        """Become the owner of a shard that has items to run; None if there is none without another owner.

        Args:
            except_for: Shards that aren't wanted, and those that are claimed already.
        """
        ...

    async def accepted_items(self, shard: int, *, after: int, limit: int) -> list[ItemRecord]:
        """Return the next `accepted` items of a shard after a position."""
        ...

    async def release_shard(self, shard: int) -> None:
        """Give a shard back."""
        ...

    async def has_open_items(self, except_for: Collection[int]) -> bool:
        """Return whether any shard, except for some, has items that haven't ended."""
        ...

    async def pause_workers(self, seconds: float) -> None:
        """Have all workers of the batch pause their calls."""
        ...

    def on_pause(self, call: Callable[[float], None]) -> None:
        """Have something called, in the event loop, with the seconds of each pause that another worker asks for."""
        ...
