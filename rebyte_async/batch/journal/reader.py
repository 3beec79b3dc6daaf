"""Reading a journal: also while its run writes it, or after the run was killed, and without changing it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

from attrs import evolve, field, fields, frozen

from rebyte_async.batch.journal import schema
from rebyte_async.batch.journal.file import BUSY_TIMEOUT, check_none_lost
from rebyte_async.batch.journal.integrity import check_journal, translate_errors
from rebyte_async.batch.journal.lock import read_note
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.postgres.parts import open_source
from rebyte_async.batch.journal.records import time_of
from rebyte_async.batch.outcomes import BatchOutcome, explain_end
from rebyte_async.errors import JournalError

_PAGE = 500
"""Items that are read together. A read that lasted would keep the run from shortening its write-ahead log."""
_BEFORE_ALL = -(1 << 63)
_COLUMNS = schema.READ_COLUMNS.split(", ")


@frozen(kw_only=True)
class JournalItem:
    """An item of a batch, as its journal has it."""

    position: int
    """Its place in the order in which items were accepted, from 1."""
    key: str
    """The item's key."""
    request: Mapping[str, Any] = field(hash=False)
    """The item, as `BatchItem.from_json` takes it: the key, the prompt, the executor, and so on."""
    state: str
    """`accepted`, `creating` (a create may have been sent, and no response is recorded), `running` or `ended`."""
    status: str | None
    """The status that it ended with; None while it hasn't ended."""
    task_id: str | None
    """The id of its task, where one is known."""
    workspace_id: str | None
    """The id of the agent computer that it runs on, where one is known."""
    attempts: int
    """How many creates were sent for it that the server may have read."""
    final_result: str | None
    """The agent's final result, where there is one."""
    error: str | None
    """The error, on one line, where there was one."""
    started_at: datetime | None
    """When its task was created, by the server's clock."""
    ended_at: datetime | None
    """When its task ended, by the server's clock: its own time if that was read, else when the end was noticed."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The item's metadata."""
        metadata: Mapping[str, Any] = self.request.get("metadata") or {}
        return metadata

    @property
    def outcome(self) -> BatchOutcome | None:
        """The item's outcome; None while it hasn't ended."""
        if self.status is None:
            return None
        outcome = BatchOutcome(**{each.name: getattr(self, each.name) for each in fields(BatchOutcome)})
        return evolve(outcome, error=self.error or explain_end(self.status, self.final_result))


@frozen(kw_only=True)
class JournalCounts:
    """How many items of a batch are in which state."""

    total: int
    """The items accepted so far. A run reads further items when it has room for them."""
    states: Mapping[str, int] = field(hash=False)
    """Items by state: `accepted`, `creating`, `running`, `ended`. States without items are left out."""
    statuses: Mapping[str, int] = field(hash=False)
    """Ended items by status."""
    first_started_at: datetime | None
    """When the first task was created."""
    last_ended_at: datetime | None
    """When the last item ended."""


@frozen(kw_only=True)
class JournalRun:
    """One run of a batch."""

    started_at: datetime
    """When it began, by the clock of its machine."""
    ended_at: datetime | None
    """When it ended in order; None while it is under way, and also if it was killed."""
    pid: int
    """The id of its process."""
    workers: int | None = None
    """How many workers have the batch open now; None for a journal in a file."""

    @property
    def is_under_way(self) -> bool | None:
        """Whether its process is alive, or any worker; None if that can't be found out.

        For a journal in a file, ask on the machine that the process runs on.
        """
        if self.workers is not None:
            return self.workers > 0
        if self.ended_at is not None:
            return False
        if sys.platform == "win32":  # where this would end the process
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it belongs to another user
            return True
        return True


def read_journal(path: str | os.PathLike[str] | PostgresJournal) -> JournalReader:
    """Open a journal for reading, also while its run is under way, or after the run was killed.

    Args:
        path: The file, or the batch in PostgreSQL. It is not changed.

    Returns:
        A reader, to be used as a context manager.

    Raises:
        JournalError: There is no such file, it can't be read, it is not a journal, another version wrote it, it is
            damaged, or it has lost commits. There is no such batch, or its database can't be read.
        ConfigurationError: The extra that the journal needs isn't installed.
    """
    if isinstance(path, PostgresJournal):
        source: _Source = open_source(path)
        return JournalReader(str(path), None, source)
    where = Path(path)
    with translate_errors(where):
        if not where.is_file():
            raise JournalError(f"there is no journal {where}" if not where.exists() else f"{where} is not a file")
        if where.stat().st_size == 0:  # SQLite would remove the log beside it
            raise JournalError(f"{where} is empty, and not a batch journal")
        note = read_note(where.resolve())
        connection = _connect(where)
        try:
            state = check_journal(where, connection)
            check_none_lost(where, note, state)
        except BaseException:
            connection.close()
            raise
    return JournalReader(str(where), where, _SqliteSource(where, connection, state.facts))


class _Source(Protocol):
    """What a reader reads from. Its queries are those of one kind of database."""

    @property
    def facts(self) -> Mapping[str, str]: ...
    def counts(self) -> list[Any]: ...
    def last_run(self) -> list[Any]: ...
    def page(self, after: int, statuses: tuple[str, ...] | None, limit: int) -> list[Any]: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


@frozen(eq=False, repr=False)
class _SqliteSource:
    path: Path
    connection: sqlite3.Connection
    facts: Mapping[str, str]

    def counts(self) -> list[Any]:
        return self._query(schema.SELECT_COUNTS)

    def last_run(self) -> list[Any]:
        return [(*row, None) for row in self._query(schema.SELECT_LAST_RUN)]

    def page(self, after: int, statuses: tuple[str, ...] | None, limit: int) -> list[Any]:
        query = schema.select_page(None if statuses is None else len(statuses), limit)
        return self._query(query, after, *(statuses or ()))

    def begin(self) -> None:
        self._query("BEGIN")

    def end(self) -> None:
        self.connection.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()

    def _query(self, statement: str, *values: object) -> list[Any]:
        with translate_errors(self.path):
            return self.connection.execute(statement, values).fetchall()


class JournalReader:
    """Reads a journal and never changes it. Made by `read_journal`.

    Its methods block while the disk works: in asyncio, call them in a thread, one at a time.
    """

    __slots__ = ("_source", "name", "path")

    def __init__(self, name: str, path: Path | None, source: _Source) -> None:
        self.name: str = name
        """What to call the journal: its path, or the batch."""
        self.path: Path | None = path
        """The file, if it is one."""
        self._source = source

    @property
    def batch_id(self) -> str:
        """The batch's id, made with the journal."""
        return self._source.facts.get("batch_id", "")

    @property
    def base_url(self) -> str:
        """The address of the API that the batch's tasks are on; empty if none was recorded."""
        return self._source.facts.get("base_url", "")

    @property
    def total(self) -> int | None:
        """How many items the batch has, with those that weren't accepted yet; None where that isn't known."""
        text = self._source.facts.get("total")
        return None if text is None else int(text)

    @property
    def created_at(self) -> datetime | None:
        """When the journal was created."""
        text = self._source.facts.get("created_at")
        return None if text is None else time_of(float(text))

    def counts(self) -> JournalCounts:
        """Count the items by state and status."""
        rows = self._source.counts()
        states, statuses = Counter[str](), Counter[str]()
        for state, status, count, _, _ in rows:
            states[state] += count
            if status is not None:
                statuses[status] += count
        starts = [start for *_, start, _ in rows if start is not None]
        ends = [end for *_, end in rows if end is not None]
        return JournalCounts(
            total=states.total(),
            states=dict(states),
            statuses=dict(statuses),
            first_started_at=time_of(min(starts, default=None)),
            last_ended_at=time_of(max(ends, default=None)),
        )

    def last_run(self) -> JournalRun | None:
        """Return the run that began last; None before the first one."""
        for start, end, pid, workers in self._source.last_run():
            began = datetime.fromtimestamp(start, UTC)
            return JournalRun(started_at=began, ended_at=time_of(end), pid=pid, workers=workers)
        return None

    def items(self, *, statuses: Iterable[str] | None = None) -> Iterator[JournalItem]:
        """Read the items in the order in which they were accepted, some hundreds in memory at a time.

        Args:
            statuses: Only items that ended with one of these; None for all, ended or not.
        """
        wanted = None if statuses is None else tuple(statuses)
        position = _BEFORE_ALL
        while rows := self._source.page(position, wanted, _PAGE):
            yield from (_item(row) for row in rows)
            position = rows[-1][0]

    def outcomes(self) -> Iterator[BatchOutcome]:
        """Read the outcomes of the items that have ended, in the order in which the items were accepted."""
        return (outcome for item in self.items() if (outcome := item.outcome) is not None)

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Let everything that is read in the block be of one moment, while the run continues."""
        self._source.begin()
        try:
            yield
        finally:
            self._source.end()

    def close(self) -> None:
        """Close the journal."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open a connection that can't write.

    SQLite needs the index of the write-ahead log even to read, as a file beside the journal. In a folder that can't be
    written the journal is opened without it, which is right only where there is no log either.
    """
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    connect = partial(sqlite3.connect, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    connection = connect(address)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError) or path.with_name(f"{path.name}-wal").exists():
            raise
        return connect(f"{address}&immutable=1")
    return connection


def _item(row: tuple[Any, ...]) -> JournalItem:
    fields = dict(zip(_COLUMNS, row, strict=True))
    for name in ("started_at", "ended_at"):
        fields[name] = time_of(fields[name])
    return JournalItem(**fields | {"request": json.loads(fields["request"])})
