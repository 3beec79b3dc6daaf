"""The journal: what is known of every item, written down before the step that depends on it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import evolve, frozen

from rebyte_async.batch.evidence import Watermark
from rebyte_async.batch.journal.file import Lock, open_file, open_temporary
from rebyte_async.batch.journal.records import COLUMNS, DuplicateTaskError, ItemRecord, read_record
from rebyte_async.batch.journal.writer import Writer
from rebyte_async.errors import BatchError, ConfigurationError, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from types import TracebackType

    from rebyte_async.batch.journal.records import NewItem

__all__ = ["AgentComputerRecord", "Journal"]

T = TypeVar("T")
_VALUES = 500
"""How many values one statement holds: old versions of SQLite take 999."""
_SHOWN = 60
_APART = 3.0
"""How many seconds two readings of the server's clock may be apart at most."""
_TICK = 0.001
_LATE = 200
_SAMPLES = 3
"""How many of the latest tasks are asked how prompts are shown."""
_ENDS = ("completed", "failed", "canceled", "error", "ambiguous")
"""What items end as."""


@frozen
class AgentComputerRecord:
    """An agent computer of the batch, as the journal has it."""

    slot: int
    name: str
    workspace_id: str | None
    """None while its create is under way, or in doubt."""
    intent_at: float | None


class Journal:
    """A batch's journal, open for writing: one SQLite file, whose schema docs/batch.md describes.

    A `BatchRunner` opens the journal that it is given by itself. This class is for what is done between runs:

        async with Journal("run.sqlite3") as journal:
            await journal.reopen(["failed", "error"])

    Only one holds a journal open for writing at a time, in whatever process. Every write is on disk when its call
    returns.

    Args:
        path: The file, which is made if there is none; None keeps the journal for as long as this object is open.
        base_url: The address of the API. It is written down, and a journal of another address is refused.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, base_url: str | None = None) -> None:
        if path is not None and not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"journal must be a path, or None, not {type(path).__name__}")
        if path is not None and os.fspath(path) in ("", b""):
            raise ConfigurationError("journal must be a path, or None, not an empty string")
        if path is not None and "\0" in str(path):
            raise ConfigurationError(f"journal must be a path, without NUL characters, not {str(path)!r:.80}")
        self.path: Path | None = None if path is None else Path(path)
        """The file."""
        self.batch_id: str = ""
        """The batch's id, made with the journal."""
        self._base_url = base_url
        self._lock: Lock | None = None
        self._writer: Writer | None = None
        self._run = 0

    async def open(self) -> None:
        """Take the lock, and open the file, or make it.

        Raises:
            JournalBusyError: Another process has it open, or this one already has.
            JournalError: It is damaged, no journal, of a newer version, or can't be written.
            BatchError: It is of another API.
        """
        self._writer = Writer(str(self.path or "(temporary)"), self._connection, self._unlock)
        try:
            await self._writer.start()
            facts = await self._write(lambda c: dict(c.execute("SELECT name, value FROM meta").fetchall()))
            self.batch_id = facts.get("batch_id", "")
            await self._check_address(facts.get("base_url"))
        except BaseException:
            await self.aclose()
            raise

    def _connection(self) -> sqlite3.Connection:
        if self.path is None:
            return open_temporary()
        path = Path(os.path.realpath(self.path))
        if not path.parent.is_dir():
            raise JournalError(f"can't make the journal {self.path}: there is no folder {path.parent}")
        if path.is_dir():
            raise JournalError(f"can't open the journal {self.path}: it is a folder")
        if path.exists() and not path.is_file():
            raise JournalError(f"can't open the journal {self.path}: it is no regular file")
        self._lock = Lock.taken(path)
        return open_file(path)

    async def _check_address(self, known: str | None) -> None:
        if self._base_url is None or known == self._base_url:
            return
        if known is not None:
            raise BatchError(
                f"the journal {self.path} is of a batch on {known}, and this client talks to {self._base_url}: give "
                "another journal, or the client that it was made with"
            )
        await self._write(lambda c: c.execute("INSERT INTO meta VALUES ('base_url', ?)", (self._base_url,)))

    async def aclose(self) -> None:
        """Write what was asked for, and let go of the file."""
        if self._writer is not None:
            await self._writer.stop()

    def _unlock(self) -> None:
        """Let go of the lock, in the writer's thread: so it is free also where nobody waits for that thread."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def reopen(self, statuses: Iterable[str], *, keys: Iterable[str] | None = None) -> int:
        """Let items that have ended be made again by the next run.

        Those that ended `ambiguous` are reconciled once more before; others get a new task, and their old one stays
        noted, so that no other item is given it.

        Args:
            statuses: How they ended: `failed`, `canceled`, `error`, `ambiguous`, `completed`.
            keys: Only these items; None for all.

        Returns:
            How many there were.

        Raises:
            ConfigurationError: A status is none of these, or what should be several words is one string.
            JournalError: The journal isn't open, or can't be written.
        """
        words = _words("statuses", statuses)
        names = None if keys is None else _words("keys", keys)
        if unknown := sorted(set(words) - set(_ENDS)):
            raise ConfigurationError(f"statuses has {', '.join(map(repr, unknown))}; items end as {', '.join(_ENDS)}")
        return await self._write(lambda c: _reopen(c, words, names))

    async def begin_run(self, note: str | None = None) -> None:
        """Note that a run begins."""

        def job(connection: sqlite3.Connection) -> int:
            added = connection.execute(
                "INSERT INTO runs (started_at, pid, note) VALUES (?, ?, ?)", (time.time(), os.getpid(), note)
            )
            return added.lastrowid or 0

        self._run = await self._write(job)

    async def end_run(self) -> None:
        """Note that the run has ended."""
        await self._set("UPDATE runs SET ended_at = ? WHERE run = ?", time.time(), self._run)

    async def records_in_state(self, state: str) -> list[ItemRecord]:
        """The items that are `creating` or `running`, in the order of their creates; what runs without its request."""
        columns = COLUMNS.replace("request", "''") if state == "running" else COLUMNS
        query = f"SELECT {columns} FROM items WHERE state = ? ORDER BY intent_at, position"  # noqa: S608 - no value stands in it
        return await self._write(lambda c: [read_record(row) for row in c.execute(query, (state,))])

    async def accept(self, intakes: Sequence[NewItem]) -> list[ItemRecord | BatchError]:
        """Write items down as taken, or say why one of them can't be."""
        return await self._write(lambda c: [_accept(c, intake, self._run) for intake in intakes])

    async def record_intent(self, entry: ItemRecord, workspace_id: str | None, now: float) -> None:
        """Write down that a create is about to be sent."""
        await self._set(
            "UPDATE items SET state = 'creating', attempts = attempts + 1, intent_at = ?, workspace_id = ? "
            "WHERE position = ?",
            now,
            workspace_id,
            entry.position,
        )
        entry.state, entry.intent_at, entry.workspace_id = "creating", now, workspace_id
        entry.attempts += 1

    async def clear_intent(self, entry: ItemRecord) -> None:
        """Write down that a create surely made nothing, and wasn't read by the server."""
        await self._set(
            "UPDATE items SET state = 'accepted', attempts = attempts - 1, intent_at = NULL, workspace_id = NULL "
            "WHERE position = ?",
            entry.position,
        )
        entry.state, entry.intent_at, entry.workspace_id = "accepted", None, None
        entry.attempts -= 1

    async def record_task(self, entry: ItemRecord, task_id: str, workspace_id: str | None, now: float | None) -> None:
        """Write down an item's task.

        Raises:
            DuplicateTaskError: The task belongs to another item.
        """
        await self._write(lambda c: _attach(c, entry.position, task_id, workspace_id, now))
        entry.state, entry.task_id, entry.workspace_id, entry.started_at = "running", task_id, workspace_id, now

    async def clear_intents(self, entries: Collection[ItemRecord]) -> None:
        """Write down that creates that were in doubt have surely made nothing."""
        rows = [(entry.position,) for entry in entries]
        await self._write(
            lambda c: c.executemany(
                "UPDATE items SET state = 'accepted', intent_at = NULL, workspace_id = NULL WHERE position = ?", rows
            )
        )
        for entry in entries:
            entry.state, entry.intent_at, entry.workspace_id = "accepted", None, None

    async def record_outcome(
        self, entry: ItemRecord, status: str, *, final_result: str | None = None, error: str | None = None, now: float
    ) -> None:
        """Write down what became of an item."""
        await self._set(
            "UPDATE items SET state = 'ended', status = ?, final_result = ?, error = ?, ended_at = ?, "
            "started_at = coalesce(started_at, intent_at) WHERE position = ?",
            status,
            final_result,
            error,
            now,
            entry.position,
        )
        entry.state, entry.status, entry.final_result, entry.error, entry.ended_at = (
            "ended",
            status,
            final_result,
            error,
            now,
        )
        entry.started_at = entry.started_at if entry.started_at is not None else entry.intent_at

    async def owned_task_ids(self, task_ids: Sequence[str]) -> set[str]:
        """Those of the tasks that belong, or belonged, to an item."""
        return await self._write(lambda c: _known(c, task_ids))

    async def recent_task_samples(self) -> list[tuple[str, bytes]]:
        """Some late tasks of items, and the hashes of their prompts; the longest requests first."""
        query = (
            "SELECT task_id, prompt_hash FROM (SELECT * FROM items WHERE task_id IS NOT NULL ORDER BY position DESC "
            "LIMIT ?) ORDER BY length(request) DESC, position DESC LIMIT ?"
        )
        return await self._write(lambda c: c.execute(query, (_LATE, _SAMPLES)).fetchall())

    async def record_watermark(self, mark: Watermark) -> Watermark:
        """Write down what was there before the run's first create, behind the intents of earlier runs."""

        def job(connection: sqlite3.Connection) -> Watermark:
            query = "SELECT max(intent_at) FROM items WHERE intent_at < ?"
            # `Date` tells whole seconds, so two readings of it may be in the wrong order.
            (last,) = connection.execute(query, (mark.taken_at + _APART,)).fetchone()
            noted = mark if last is None else evolve(mark, taken_at=max(mark.taken_at, last + _TICK))
            connection.execute("UPDATE runs SET note = ? WHERE run = ?", (noted.as_note(), self._run))
            return noted

        return await self._write(job)

    async def known_prompt_hashes(self, texts: Sequence[bytes]) -> set[bytes]:
        """Those of some hashes of prompts that are of an item's prompt."""
        return await self._write(lambda c: _among(c, "items", "prompt_hash", texts))

    async def earlier_watermarks(self) -> list[Watermark]:
        """What was there before the runs that have sent creates, earlier runs than this one."""
        query = "SELECT note FROM runs WHERE run != ? AND note IS NOT NULL"
        notes = await self._write(lambda c: c.execute(query, (self._run,)).fetchall())
        return [mark for (note,) in notes if (mark := Watermark.from_note(note)) is not None]

    async def min_clock_offset(self, since: float) -> float | None:
        """By how much at least tasks were made after the intents of their creates, which weren't before a time.

        It is below 0 where the clock of the intents is ahead. None where there is no such task.
        """
        query = "SELECT min(started_at - intent_at) FROM items WHERE task_id IS NOT NULL AND intent_at >= ?"
        (found,) = await self._write(lambda c: c.execute(query, (since,)).fetchone())
        return cast("float | None", found)

    async def agent_computers(self) -> list[AgentComputerRecord]:
        """The agent computers that were made, or are being made, for the batch."""
        query = "SELECT slot, name, workspace_id, intent_at FROM workspaces ORDER BY slot"
        return await self._write(lambda c: [AgentComputerRecord(*row) for row in c.execute(query)])

    async def record_agent_computer_intent(self, slot: int, name: str, now: float) -> None:
        """Write down that an agent computer is about to be made."""
        await self._set(
            "INSERT OR REPLACE INTO workspaces (slot, name, state, intent_at) VALUES (?, ?, 'creating', ?)",
            slot,
            name,
            now,
        )

    async def record_agent_computer(self, slot: int, workspace_id: str) -> None:
        """Write down an agent computer's id."""
        await self._set("UPDATE workspaces SET state = 'known', workspace_id = ? WHERE slot = ?", workspace_id, slot)

    async def _set(self, statement: str, *values: object) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(statement, values)

        await self._write(job)

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise JournalError("the journal isn't open: use it with `async with`")
        # What was asked for is written even where the caller is cancelled, so that the file keeps up with the world.
        return await asyncio.shield(self._writer.write(job))


def _accept(connection: sqlite3.Connection, intake: NewItem, run: int) -> ItemRecord | BatchError:
    row = connection.execute(f"SELECT {COLUMNS} FROM items WHERE key = ?", (intake.key,)).fetchone()  # noqa: S608
    if row is None:
        added = connection.execute(
            "INSERT INTO items (key, fingerprint, request, prompt_hash, run, state) VALUES (?, ?, ?, ?, ?, 'accepted')",
            (intake.key, intake.fingerprint, intake.request, intake.prompt_hash, run),
        )
        return _new_entry(intake, added.lastrowid or 0, run)
    entry = read_record(row)
    if entry.run == run:
        return BatchError(f"the key {intake.key!r:.80} comes twice: each item of a batch needs a key of its own")
    if entry.fingerprint != intake.fingerprint:
        return BatchError(
            f"the key {intake.key!r:.80} stands in the journal with {_difference(entry.request, intake.request)}: give "
            "the item as it was, or another key"
        )
    connection.execute("UPDATE items SET run = ? WHERE position = ?", (run, entry.position))
    entry.run = run
    return entry


def _new_entry(intake: NewItem, position: int, run: int) -> ItemRecord:
    return ItemRecord(
        position=position,
        key=intake.key,
        fingerprint=intake.fingerprint,
        request=intake.request,
        prompt_hash=intake.prompt_hash,
        run=run,
        state="accepted",
        workspace_id=None,
        task_id=None,
        attempts=0,
        intent_at=None,
        status=None,
        final_result=None,
        error=None,
        started_at=None,
        ended_at=None,
    )


def _difference(old: str, new: str) -> str:
    """What of an item has changed."""
    before, after = json.loads(old), json.loads(new)
    names = [name for name in (before | after) if before.get(name) != after.get(name)]
    return "another " + " and ".join(f"{name} ({_short(before.get(name))})" for name in names)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _attach(
    connection: sqlite3.Connection, position: int, task_id: str, workspace_id: str | None, now: float | None
) -> None:
    try:
        connection.execute(
            "UPDATE items SET state = 'running', task_id = ?, workspace_id = ?, started_at = ? WHERE position = ?",
            (task_id, workspace_id, now, position),
        )
    except sqlite3.IntegrityError as error:
        raise DuplicateTaskError(f"the task {task_id} belongs to another item") from error


def _known(connection: sqlite3.Connection, task_ids: Sequence[str]) -> set[str]:
    return {name for table in ("items", "former_tasks") for name in _among(connection, table, "task_id", task_ids)}


def _among(connection: sqlite3.Connection, table: str, column: str, values: Sequence[T]) -> set[T]:
    """Those of some values that stand in a column."""
    found: set[T] = set()
    for start in range(0, len(values), _VALUES):
        part = tuple(values[start : start + _VALUES])
        marks = ",".join("?" * len(part))
        rows = connection.execute(f"SELECT {column} FROM {table} WHERE {column} IN ({marks})", part)  # noqa: S608
        found.update(row[0] for row in rows)
    return found


def _words(name: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigurationError(f"{name} must be several strings, such as [{given!r:.80}], not one")
    return tuple(given)


def _reopen(connection: sqlite3.Connection, statuses: tuple[str, ...], keys: tuple[str, ...] | None) -> int:
    marks = ",".join("?" * len(statuses))
    query = f"SELECT position, key, status, task_id FROM items WHERE state = 'ended' AND status IN ({marks})"  # noqa: S608
    wanted = None if keys is None else set(keys)
    rows = [row for row in connection.execute(query, statuses).fetchall() if wanted is None or row[1] in wanted]
    connection.executemany(
        "INSERT OR IGNORE INTO former_tasks (task_id, position) VALUES (?, ?)",
        [(task_id, position) for position, _, _, task_id in rows if task_id is not None],
    )
    connection.executemany(
        "UPDATE items SET state = CASE WHEN status = 'ambiguous' AND intent_at IS NOT NULL THEN 'creating' ELSE "
        "'accepted' END, status = NULL, final_result = NULL, error = NULL, task_id = NULL, started_at = NULL, "
        "ended_at = NULL WHERE position = ?",
        [(position,) for position, *_ in rows],
    )
    return len(rows)
