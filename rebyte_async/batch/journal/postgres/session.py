"""A session of PostgreSQL that owns shards: all that is written to them goes through it, and it dies with its locks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, cast

import psycopg
from attrs import define, evolve, field, frozen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rebyte_async.batch.journal.postgres import schema
from rebyte_async.batch.journal.records import ItemChange, ItemRecord
from rebyte_async.batch.journal.store import BatchBudgetError, BatchFullError, DuplicateTaskError, JournalLostError
from rebyte_async.errors import JournalError

_OLDEST_SERVER = 14
"""The first version with `idle_session_timeout`."""
_CONNECT_TIMEOUT = 10
KEEP_ALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
_TCP_TIMEOUT_MS = 15_000
"""How long sent data may stay without acknowledgement."""
SESSION_TIMEOUT = 30.0
"""Seconds after which the server ends a session that is silent, and with it its locks."""
_UNREADABLE_DSN = "the dsn of the journal can't be read: it must be like postgresql://user@host:5432/database"
_SETTINGS = {
    "synchronous_commit": "on",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": str(_TCP_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": "10s",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "search_path": "pg_catalog",
}


@frozen
class Facts:
    """What a batch's row says of it."""

    batch: int
    name: str
    batch_id: str
    created_at: float
    base_url: str | None
    sdk_version: str
    shards: int
    total: int | None
    max_new_tasks: int | None
    max_open: int | None


def connect(dsn: str, *, session_timeout: float | None = None, name: str = "") -> psycopg.Connection[Any]:
    """Open a session, with the settings on which the promises of the journal rest.

    Args:
        dsn: The database.
        session_timeout: Seconds of silence after which the server ends the session; None for its own setting.
        name: What the session is for, as `pg_stat_activity` shows it.

    Raises:
        JournalLostError: The database can't be reached.
        JournalError: It is too old, or behind a pooler.
    """
    settings = dict(_SETTINGS)
    if session_timeout is not None:
        settings["idle_session_timeout"] = f"{round(session_timeout * 1000)}ms"
    try:
        conninfo = make_conninfo(
            dsn,
            **KEEP_ALIVE,
            tcp_user_timeout=_TCP_TIMEOUT_MS,
            connect_timeout=_CONNECT_TIMEOUT,
            application_name=f"rebyte-async {name}".strip()[:60],
        )
    except psycopg.Error:
        raise JournalError(_UNREADABLE_DSN) from None  # whose error may show a password
    try:
        connection = psycopg.connect(conninfo, autocommit=True, client_encoding="utf8")
    except psycopg.Error as error:
        raise JournalLostError(f"can't connect to the database of the journal: {describe(error)}") from error
    try:
        _check_server(connection)
        for setting, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
    except psycopg.Error as error:
        connection.close()
        raise JournalLostError(f"can't use the database of the journal: {describe(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def has_password(dsn: str) -> bool:
    """Return whether a DSN has a password in it; raise JournalError if it can't be read."""
    try:
        return not conninfo_to_dict(dsn).keys().isdisjoint({"password", "sslpassword"})
    except psycopg.Error:
        raise JournalError(_UNREADABLE_DSN) from None  # whose error may show it


def _check_server(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version // 10_000
    if version < _OLDEST_SERVER:
        raise JournalError(f"the database has PostgreSQL {version}, and a journal needs {_OLDEST_SERVER} or newer")
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        raise JournalError(
            "the database is behind a pooler such as PgBouncer, which may give each statement another session, and a "
            "journal's locks are those of one session: connect to the server itself"
        )


def describe(error: psycopg.Error) -> str:
    """Describe an error of the database on one line, without what it was given."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.split()) or type(error).__name__


@define(eq=False)
class ItemUpdate:
    """A change of some items. Several of them are written by few statements."""

    records: Sequence[ItemRecord]
    change: ItemChange

    def __call__(self, session: PostgresSession) -> None:
        session.update([self])

    def count_creates(self) -> tuple[int, int]:
        """Return by how much the change moves the number of tasks made, and of tasks open."""
        made = opened = 0
        for record in self.records:
            after = evolve(record, **self.change)
            made += _may_have_task(after) - _may_have_task(record)
            opened += (after.state in _OPEN) - (record.state in _OPEN)
        return made, opened


def _may_have_task(record: ItemRecord) -> bool:
    return record.state in _OPEN or record.task_id is not None or record.status == "ambiguous"


_OPEN = ("creating", "running")


@define(eq=False)
class PostgresSession:
    """The open session of a store. All of it runs in one thread."""

    connection: psycopg.Connection[Any]
    facts: Facts
    run_number: int | None = None
    """The run that this session writes for: it owns shards under this number. None between runs."""
    limits: tuple[int | None, int | None] = (None, None)
    """The tasks that the batch may make, and have open at once."""
    _lost: JournalError | None = field(default=None, init=False)

    def execute(self, statement: str, *values: object) -> list[Any]:
        """Run a statement, and return its rows, if it has some."""
        cursor = self.connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description is not None else []

    def run(self, jobs: Sequence[Callable[[PostgresSession], Any]]) -> list[Any]:
        """Run jobs in one transaction, and return their values. If one raises, nothing is written."""
        self.connection.execute("BEGIN")
        try:
            values: list[Any] = []
            updates: list[ItemUpdate] = []
            for job in jobs:
                if isinstance(job, ItemUpdate):
                    updates.append(job)
                    values.append(None)
                    continue
                self._flush(updates)
                values.append(job(self))
            self._flush(updates)
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):
                self.connection.execute("ROLLBACK")
            raise
        return values

    def _flush(self, updates: list[ItemUpdate]) -> None:
        if updates:
            self.update(updates)
            updates.clear()

    def update(self, updates: Sequence[ItemUpdate]) -> None:
        """Write changes of items; of several to one item, the later ones count."""
        changes: dict[int, dict[str, Any]] = {}
        for update in updates:
            for record in update.records:
                changes.setdefault(record.position, {}).update(update.change)
        if self.run_number is not None:
            self._count_creates(updates)
            for change in changes.values():
                if change.get("state") == "creating":
                    change["intent_run"] = self.run_number
        groups: dict[tuple[str, ...], list[int]] = {}
        for position, change in changes.items():
            groups.setdefault(tuple(sorted(change)), []).append(position)
        for columns, positions in groups.items():
            self._write_columns(columns, positions, [changes[position] for position in positions])

    def change(self, positions: list[int], change: ItemChange) -> None:
        """Write the same change of several items."""
        self._write_columns(tuple(sorted(change)), positions, [cast("dict[str, Any]", change)] * len(positions))

    def change_requests(self, requests: dict[int, str]) -> None:
        """Write new requests of items, by their positions."""
        self._write_columns(("request",), list(requests), [{"request": request} for request in requests.values()])

    def _write_columns(self, columns: tuple[str, ...], positions: list[int], changes: Sequence[dict[str, Any]]) -> None:
        is_fenced = self.run_number is not None
        arrays = [[_storable(change[column]) for change in changes] for column in columns]
        values = [positions, *arrays, *([self.run_number] if is_fenced else [])]
        statement = schema.update_items(columns, is_fenced=is_fenced)
        try:
            cursor = self.connection.execute(statement.encode(), values)
        except psycopg.errors.UniqueViolation as error:  # the one column that is unique is `task_id`
            raise DuplicateTaskError("the task belongs to another item") from error
        if cursor.rowcount != len(positions):
            raise JournalLostError("another worker has taken over the shards of this one")

    def _count_creates(self, updates: Collection[ItemUpdate]) -> None:
        counts = [update.count_creates() for update in updates]
        made, opened = sum(count[0] for count in counts), sum(count[1] for count in counts)
        if any(limit is not None for limit in self.limits) and any(count[0] > 0 for count in counts):
            self._check_limits(made, opened)
        if made or opened:
            self.execute(schema.COUNT_CREATES, made, opened, self.facts.batch, self.run_number)

    def _check_limits(self, made: int, opened: int) -> None:
        """Take the batch's own lock until the commit, and raise where its limits have no room."""
        self.execute("SELECT pg_advisory_xact_lock(%s)", schema.lock_key(self.facts.batch, schema.PRESENCE - 1))
        most_made, most_open = self.limits
        ((all_made, all_open),) = self.execute(schema.SELECT_TOTALS, self.facts.batch)
        if most_made is not None and all_made + made > most_made:
            raise BatchBudgetError(f"the batch may make {most_made:,} tasks, and has made them")
        if most_open is not None and all_open + opened > most_open:
            raise BatchFullError(f"the batch may have {most_open:,} tasks open")

    def limit_silence(self, seconds: float) -> None:
        """Have the server end the session after some seconds of silence, and free what it has locked."""
        self.execute("SELECT set_config('idle_session_timeout', %s, false)", f"{round(seconds * 1000)}ms")

    def note_positions(self, positions: Collection[int]) -> None:
        """Record between which positions the batch's items are, of which these are new."""
        if positions:
            first = min(positions)
            self.execute(schema.NOTE_POSITIONS, max(positions), first, first, self.facts.batch)

    def listen(self, receive: Callable[[str], None]) -> None:
        """Call, in the thread of the session, with the messages of the batch's other sessions."""

        def pass_on(message: psycopg.Notify) -> None:
            if message.pid != self.connection.info.backend_pid:
                receive(message.payload)

        self.connection.add_notify_handler(pass_on)
        self.connection.execute(f"LISTEN {self._channel}".encode())

    def notify(self, message: str) -> None:
        """Send a message to the batch's other sessions."""
        self.execute("SELECT pg_notify(%s, %s)", self._channel, message)

    @property
    def _channel(self) -> str:
        return f"rebyte_async_{self.facts.batch}"

    def explain(self, error: BaseException) -> JournalError | None:
        """Return the error of this and all later writes, if the session is lost or can't be used any more."""
        if isinstance(error, JournalLostError):
            return error
        if isinstance(error, psycopg.DataError):
            return None
        if isinstance(error, psycopg.Error):
            return JournalLostError(
                f"can't write the batch {self.facts.name!r} to its database: {describe(error)}. What was written "
                "before is safe: run the batch again, and it continues where it stopped"
            )
        return None

    def close(self) -> None:
        """End the session, and with it its locks."""
        with suppress(psycopg.Error):  # the server ends a session, and so its locks, some time after it is closed
            self.connection.execute("SELECT pg_advisory_unlock_all()")
        self.connection.close()


def _storable(value: Any) -> Any:
    """Return a value as PostgreSQL can keep it: its texts have no NUL characters, and no halves of surrogate pairs."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
