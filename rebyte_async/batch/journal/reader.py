"""A journal as others may read it: while its run writes it, after it was killed, and without changing it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from attrs import frozen

from rebyte_async.batch.journal.records import time_of
from rebyte_async.batch.journal.schema import APPLICATION_ID, VERSION
from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from types import TracebackType

__all__ = ["JournalCounts", "JournalItem", "JournalReader", "JournalRun", "read_journal"]

_PATIENCE = 10.0
"""Seconds to wait for a writer who holds the file for a moment."""
_AT_ONCE = 500
"""Items that are read together. A read that lasted would keep the run from shortening its write-ahead log."""
_BEFORE_ALL = -(1 << 63)
_COLUMNS = (
    "position, key, request, state, status, task_id, workspace_id, attempts, final_result, error, started_at, ended_at"
)


@frozen(kw_only=True)
class JournalItem:
    """An item as the journal has it."""

    position: int
    """Its place in the order in which items were taken."""
    key: str
    """Its key."""
    request: Mapping[str, Any]
    """What was asked for, as `BatchItem.from_json` takes it: the key, the prompt, the executor, and so on."""
    state: str
    """How far it is: `accepted`, `creating` (the create is sent, and its answer isn't known), `running` or `ended`."""
    status: str | None
    """What it ended as; None while it hasn't."""
    task_id: str | None
    """Its task, where one is known."""
    workspace_id: str | None
    """The agent computer that it runs on, where that is known."""
    attempts: int
    """How many creates were sent for it."""
    final_result: str | None
    """The agent's answer."""
    error: str | None
    """What went wrong, on one line."""
    started_at: datetime | None
    """When its task was started."""
    ended_at: datetime | None
    """When it ended."""

    @property
    def outcome(self) -> BatchOutcome | None:
        """Its outcome; None while it hasn't ended."""
        if self.status is None:
            return None
        return BatchOutcome(
            key=self.key,
            task_id=self.task_id,
            status=self.status,
            final_result=self.final_result,
            error=self.error,
            attempts=self.attempts,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )


@frozen(kw_only=True)
class JournalCounts:
    """How many items are how far."""

    total: int
    """All that were taken so far: items are read when there is room for them."""
    states: Mapping[str, int]
    """By state: `accepted`, `creating`, `running`, `ended`."""
    statuses: Mapping[str, int]
    """Those that ended, by status."""
    first_started_at: datetime | None
    """When the first task was started."""
    last_ended_at: datetime | None
    """When the last item ended."""


@frozen(kw_only=True)
class JournalRun:
    """One run of a batch."""

    started_at: datetime
    """When it began, by its machine's clock."""
    ended_at: datetime | None
    """When it ended in order; None while it goes on, and for ever when it was killed."""
    pid: int
    """Its process."""

    @property
    def is_under_way(self) -> bool | None:
        """Whether its process is alive; None where that can't be told. Ask on the machine that it runs on."""
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


def read_journal(path: str | os.PathLike[str]) -> JournalReader:
    """Open a journal to read it, also while its run goes on, or after it was killed.

    Args:
        path: The file. It is not changed.

    Returns:
        A reader, to be used as a context manager.

    Raises:
        JournalError: There is no such file, it can't be read, it is no journal, or a newer version wrote it.
    """
    where = Path(path)
    if not where.is_file():
        raise JournalError(f"there is no journal {where}" if not where.exists() else f"{where} is no file")
    with _explained(where):
        connection = _connect(where)
        try:
            _check(where, connection)
            meta = dict(connection.execute("SELECT name, value FROM meta"))
        except BaseException:
            connection.close()
            raise
    return JournalReader(where, connection, meta)


class JournalReader:
    """What a journal holds, read only. Made by `read_journal`.

    Its methods block for as long as a disk takes: in asyncio, call them in a thread, one at a time.
    """

    __slots__ = ("_connection", "_meta", "path")

    def __init__(self, path: Path, connection: sqlite3.Connection, meta: Mapping[str, str]) -> None:
        self.path: Path = path
        """The file."""
        self._connection = connection
        self._meta = meta

    @property
    def batch_id(self) -> str:
        """The batch's id, made with the journal."""
        return self._meta.get("batch_id", "")

    @property
    def base_url(self) -> str:
        """The address of the API that its tasks are on."""
        return self._meta.get("base_url", "")

    @property
    def created_at(self) -> datetime | None:
        """When the journal was made."""
        text = self._meta.get("created_at")
        return None if text is None else time_of(float(text))

    def counts(self) -> JournalCounts:
        """How many items are how far, now."""
        with _explained(self.path):
            rows = self._connection.execute(
                "SELECT state, status, count(*), min(started_at), max(ended_at) FROM items GROUP BY state, status"
            ).fetchall()
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
        """The run that began last; None before the first one."""
        with _explained(self.path):
            row = self._connection.execute(
                "SELECT started_at, ended_at, pid FROM runs ORDER BY run DESC LIMIT 1"
            ).fetchone()
        if row is None:
            return None
        start, end, pid = row
        return JournalRun(started_at=datetime.fromtimestamp(start, UTC), ended_at=time_of(end), pid=pid)

    def items(self, *, statuses: Iterable[str] | None = None) -> Iterator[JournalItem]:
        """The items, in the order in which they were taken, a few of them in memory at a time.

        Args:
            statuses: Those that ended so; None for all, ended or not.
        """
        wanted = None if statuses is None else tuple(statuses)
        chosen = "" if wanted is None else f" AND status IN ({','.join('?' * len(wanted))})"
        query = f"SELECT {_COLUMNS} FROM items WHERE position > ?{chosen} ORDER BY position LIMIT {_AT_ONCE}"  # noqa: S608 - no value stands in it
        position = _BEFORE_ALL
        while True:
            with _explained(self.path):
                rows = self._connection.execute(query, (position, *(wanted or ()))).fetchall()
            if not rows:
                return
            yield from (_item(row) for row in rows)
            position = rows[-1][0]

    def outcomes(self) -> Iterator[BatchOutcome]:
        """What ended, in the order in which it was taken."""
        for item in self.items():
            if (outcome := item.outcome) is not None:
                yield outcome

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Have everything that is read in the block be of one moment, though the run goes on."""
        with _explained(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that can't write; where even the file of the write-ahead log's index can't be made, without it."""
    address = f"file:{quote(str(path.resolve()))}"
    connection = sqlite3.connect(
        f"{address}?mode=ro", uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        connection = sqlite3.connect(
            f"{address}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is no journal of a batch")
    if version > VERSION:
        raise JournalError(f"{path} was written by a newer version of rebyte-async: its format is {version}")


@contextmanager
def _explained(path: Path) -> Generator[None]:
    """Say of what goes wrong in SQLite which file it is about."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise JournalError(f"can't read {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalError(f"{path} is no journal, or it is damaged: {error}") from error


def _item(row: tuple[Any, ...]) -> JournalItem:
    position, key, request, state, status, task_id, workspace_id, attempts, final_result, error, start, end = row
    return JournalItem(
        position=position,
        key=key,
        request=json.loads(request),
        state=state,
        status=status,
        task_id=task_id,
        workspace_id=workspace_id,
        attempts=attempts,
        final_result=final_result,
        error=error,
        started_at=time_of(start),
        ended_at=time_of(end),
    )
