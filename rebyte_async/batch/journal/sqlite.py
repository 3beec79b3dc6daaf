"""The store that is a SQLite file, or a temporary database: one process, one thread that writes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
from attrs import asdict

from rebyte_async.batch.journal import schema
from rebyte_async.batch.journal.file import JournalFile, open_journal, open_temporary
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
from rebyte_async.batch.journal.store import DuplicateTaskError
from rebyte_async.batch.journal.writer import Writer
from rebyte_async.errors import BatchError, ConfigurationError, JournalError

T = TypeVar("T")
_MOST_VALUES = 500
"""Values in one statement: old versions of SQLite take 999."""
_COLUMNS = schema.ITEM_COLUMNS.split(", ")
_ADD_ITEM = schema.insert("items", "key", "fingerprint", "request", "prompt_hash", "run", "state", "attempts")


class SqliteStore:
    """A `JournalStore` in a SQLite file.

    Args:
        path: The file, which is created if there is none; None keeps the journal while the store is open.

    Raises:
        ConfigurationError: This can't be a path.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        if path is not None and not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"journal must be a path, or None, not {type(path).__name__}")
        if path is not None and os.fspath(path) in ("", b""):
            raise ConfigurationError("journal must be a path, or None, not an empty string")
        if path is not None and "\0" in str(path):
            raise ConfigurationError(f"journal must be a path, without NUL characters, not {str(path)!r:.80}")
        self.path: Path | None = None if path is None else Path(path)
        self._writer: Writer[sqlite3.Connection] | None = None

    async def open(self, base_url: str | None) -> str:
        self._writer = Writer(str(self.path or "(temporary)"), self._connect)
        try:
            await self._writer.start()
            facts = await self._write(lambda c: dict(c.execute(schema.SELECT_META).fetchall()))
            if base_url is not None:
                check_address(facts.get("base_url"), base_url, self.path)
                if "base_url" not in facts:
                    await self._query(schema.save("meta"), {"name": "base_url", "value": base_url})
        except BaseException:
            await self.aclose()
            raise
        return cast("str", facts.get("batch_id", ""))

    def _connect(self) -> JournalFile:
        if self.path is None:
            return open_temporary()
        try:
            path = Path(os.path.realpath(self.path))
            if not path.parent.is_dir():
                raise JournalError(f"can't create the journal {self.path}: there is no folder {path.parent}")
            if path.is_dir():
                raise JournalError(f"can't open the journal {self.path}: it is a folder")
            if path.exists() and not path.is_file():
                raise JournalError(f"can't open the journal {self.path}: it is not a regular file")
        except OSError as error:
            raise JournalError(f"can't open the journal {self.path}: {error.strerror or error}") from error
        opened = open_journal(path)
        opened.name = str(self.path)
        return opened

    async def hold(self) -> None:
        await anyio.sleep_forever()  # the lock of a file isn't lost while its process runs

    async def aclose(self) -> None:
        if self._writer is not None:
            await self._writer.stop()

    async def begin_run(self, *, started_at: float, pid: int) -> int:
        return await self._write(lambda c: _begin_run(c, started_at, pid))

    async def update_run(self, run: int, *, ended_at: float | None = None, note: str | None = None) -> None:
        if ended_at is not None:
            await self._query(schema.update("runs", "run", "ended_at"), {"run": run, "ended_at": ended_at})
        if note is not None:
            await self._query(schema.update("runs", "run", "note"), {"run": run, "note": note})

    async def record_total(self, total: int) -> None:
        await self._query(schema.save("meta"), {"name": "total", "value": str(total)})

    async def run_notes(self, *, before: int) -> list[str]:
        return [note for (note,) in await self._query(schema.SELECT_NOTES, (before,))]

    async def run_note(self, run: int) -> str | None:
        found = await self._query(schema.SELECT_NOTE, (run,))
        return found[0][0] if found else None

    async def accept_items(self, items: Sequence[NewItem], run: int) -> list[ItemRecord | BatchError]:
        return await self._write(lambda c: [_accept(c, item, run) for item in items])

    async def update_items(self, records: Collection[ItemRecord], change: ItemChange) -> None:
        statement = schema.update("items", "position", *change)
        rows = [{**change, "position": record.position} for record in records]

        def job(connection: sqlite3.Connection) -> None:
            try:
                connection.executemany(statement, rows)
            except sqlite3.IntegrityError as error:  # the one column that is unique is `task_id`
                raise DuplicateTaskError(f"the task {change.get('task_id')} belongs to another item") from error

        await self._write(job)

    async def reopen_items(self, statuses: Collection[str], keys: Collection[str] | None) -> int:
        chosen_keys = None if keys is None else set(keys)
        return await self._write(lambda c: _reopen(c, tuple(statuses), chosen_keys))

    async def records_in_state(self, state: str) -> list[ItemRecord]:
        query = schema.select_in_state(with_request=state != "running")
        return await self._write(lambda c: [_record(row) for row in c.execute(query, (state,))])

    async def undecided_records(self, prompt_hashes: Sequence[bytes]) -> list[ItemRecord]:
        return await self._write(
            lambda c: [
                _record(row)
                for part in _parts(prompt_hashes)
                for row in c.execute(schema.select_undecided(len(part)), part)
            ]
        )

    async def owned_task_ids(self, task_ids: Sequence[str]) -> set[str]:
        return await self._write(
            lambda c: _known(c, "items", "task_id", task_ids) | _known(c, "former_tasks", "task_id", task_ids)
        )

    async def known_prompt_hashes(self, hashes: Sequence[bytes]) -> set[bytes]:
        return await self._write(lambda c: _known(c, "items", "prompt_hash", hashes))

    async def recent_task_samples(self) -> list[tuple[str, bytes]]:
        return await self._query(schema.SELECT_SAMPLES)

    async def latest_intent(self, *, before: float) -> float | None:
        return cast("float | None", (await self._query(schema.SELECT_LATEST_INTENT, (before,)))[0][0])

    async def min_clock_offset(self, *, since: float, run: int | None = None) -> float | None:
        del run  # which recorded an intent isn't known here
        return cast("float | None", (await self._query(schema.SELECT_MIN_OFFSET, (since,)))[0][0])

    async def agent_computers(self) -> list[AgentComputerRecord]:
        return [AgentComputerRecord(*row) for row in await self._query(schema.SELECT_AGENT_COMPUTERS)]

    async def save_agent_computer(self, record: AgentComputerRecord) -> None:
        state = "creating" if record.workspace_id is None else "known"
        row = {
            "slot": record.slot,
            "name": record.name,
            "state": state,
            "workspace_id": record.workspace_id,
            "intent_at": record.intent_at,
        }
        await self._query(schema.save("workspaces"), row)

    async def _query(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        return await self._write(lambda c: c.execute(statement, values).fetchall())

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in the writer's thread. Reads take the same way, so that they see every write before them."""
        if self._writer is None:
            raise JournalError("the journal isn't open: use it with `async with`")
        return await self._writer.write(job)


def _begin_run(connection: sqlite3.Connection, started_at: float, pid: int) -> int:
    run: int = connection.execute(schema.SELECT_NEXT_RUN).fetchone()[0]
    row = {"run": run, "started_at": started_at, "ended_at": None, "pid": pid, "note": None}
    connection.execute(schema.save("runs"), row)
    return run


def _record(row: tuple[Any, ...]) -> ItemRecord:
    return ItemRecord(**dict(zip(_COLUMNS, row, strict=True)))


def _accept(connection: sqlite3.Connection, item: NewItem, run: int) -> ItemRecord | BatchError:
    row = connection.execute(schema.SELECT_ITEM, (item.key,)).fetchone()
    if row is None:
        added = connection.execute(_ADD_ITEM, {**asdict(item), "run": run, "state": "accepted", "attempts": 0})
        return new_record(item, added.lastrowid or 0, run)
    record = _record(row)
    if (conflict := find_conflict(record, item, run)) is not None:
        return conflict
    connection.execute(schema.update("items", "position", "run"), {"run": run, "position": record.position})
    if record.request != item.request:  # its metadata has changed
        change = {"request": item.request, "position": record.position}
        connection.execute(schema.update("items", "position", "request"), change)
        record.request = item.request
    record.run = run
    return record


def _reopen(connection: sqlite3.Connection, statuses: tuple[str, ...], keys: set[str] | None) -> int:
    rows = connection.execute(schema.select_ended(len(statuses)), statuses).fetchall()
    count = 0
    for position, key, status, intent_at, task_id in rows:
        if keys is not None and key not in keys:
            continue
        if task_id is not None:
            connection.execute(schema.save("former_tasks"), {"task_id": task_id, "position": position})
        change = reopen_change(status, intent_at)
        connection.execute(schema.update("items", "position", *change), {**change, "position": position})
        count += 1
    return count


def _parts(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Split values into parts of which each goes into one statement."""
    for start in range(0, len(values), _MOST_VALUES):
        yield tuple(values[start : start + _MOST_VALUES])


def _known(connection: sqlite3.Connection, table: str, column: str, values: Sequence[T]) -> set[T]:
    found: set[T] = set()
    for part in _parts(values):
        found.update(row[0] for row in connection.execute(schema.select_known(table, column, len(part)), part))
    return found
