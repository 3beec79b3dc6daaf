"""Opening a batch in PostgreSQL: the schema is created on first use, the batch found or made, and its use locked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

import psycopg

from rebyte_async._version import __version__
from rebyte_async.batch.journal.postgres import schema
from rebyte_async.batch.journal.postgres.journal import DEFAULT_SHARDS, PostgresJournal
from rebyte_async.batch.journal.postgres.session import Facts, PostgresSession, connect, describe
from rebyte_async.batch.journal.store import JournalLostError
from rebyte_async.errors import BatchError, JournalBusyError, JournalError

_TRIES = 20
_PAUSE = 0.05


class Access(Enum):
    """As what a batch is opened."""

    WHOLE = auto()
    """By one user, who has all shards; others are refused. The batch is made if there is none."""
    LOADER = auto()
    """By one who adds items, beside others. The batch is made if there is none."""
    WORKER = auto()
    """By one who claims shards, beside others."""
    READER = auto()
    """By one who writes nothing, beside any others."""


def open_session(journal: PostgresJournal, access: Access, session_timeout: float | None) -> PostgresSession:
    """Connect, and open a batch.

    Raises:
        JournalLostError: The database can't be reached.
        JournalBusyError: Others have the batch open in a way that excludes this one.
        JournalError: The schema is of another version or can't be created, there is no such batch, or others run it
            with another version of this package.
        BatchError: The batch has another number of shards.
    """
    connection = connect(journal.dsn, session_timeout=session_timeout, name=journal.batch)
    may_create = access is Access.LOADER or access is Access.WHOLE
    try:
        with explaining():
            if may_create:
                _ensure_schema(connection)
            else:
                check_schema(connection)
            facts = _find_batch(connection, journal, may_create=may_create)
            if access is not Access.READER:
                _enter(connection, facts, access)
            return PostgresSession(connection, facts, limits=(facts.max_new_tasks, facts.max_open))
    except BaseException:
        connection.close()
        raise


@contextmanager
def explaining() -> Generator[None]:
    """Have an error of the database say what it means for a journal that is being opened, loaded or read."""
    try:
        yield
    except psycopg.Error as error:
        raise _explain(error) from error


def _explain(error: psycopg.Error) -> JournalError:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return JournalError(
            f"the database doesn't allow what a journal needs: {describe(error)}. A role that may create a schema in "
            "the database has to open a batch once; what others need then is in the documentation of batches"
        )
    if isinstance(error, psycopg.OperationalError):
        return JournalLostError(f"can't use the database of the journal: {describe(error)}")
    return JournalError(f"the database has no journal that this package can use: {describe(error)}")


def _ensure_schema(connection: psycopg.Connection[Any]) -> None:
    """Create the schema unless it is there. Of several that do so at once, one creates it."""
    if _has_schema(connection):
        check_schema(connection)
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (schema.SCHEMA_LOCK,))
        if not _has_schema(connection):
            connection.execute(schema.CREATE)
            connection.execute(schema.INSERT_VERSION, (schema.VERSION,))
    check_schema(connection)


def _has_schema(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(schema.SELECT_SCHEMA_EXISTS).fetchone()
    return row is not None and bool(row[0])


def check_schema(connection: psycopg.Connection[Any]) -> None:
    """Raise JournalError where there is no schema, or one of another version."""
    if not _has_schema(connection):
        raise JournalError("the database has no journals: load the items of a batch first")
    row = connection.execute(schema.SELECT_VERSION).fetchone()
    version = 0 if row is None else row[0]
    if version != schema.VERSION:
        newer = "a newer" if version > schema.VERSION else "an older"
        raise JournalError(
            f"the journals of the database have the format {version}, and this version of rebyte-async knows "
            f"{schema.VERSION}: use {newer} one"
        )


def _find_batch(connection: psycopg.Connection[Any], journal: PostgresJournal, *, may_create: bool) -> Facts:
    row = connection.execute(schema.SELECT_BATCH, (journal.batch,)).fetchone()
    if row is None and may_create:
        with connection.transaction():
            shards = journal.shards or DEFAULT_SHARDS
            values = (journal.batch, uuid.uuid4().hex, time.time(), __version__, shards)
            if (made := connection.execute(schema.INSERT_BATCH, values).fetchone()) is not None:
                connection.execute(schema.INSERT_SHARDS, (made[0], shards))
        row = connection.execute(schema.SELECT_BATCH, (journal.batch,)).fetchone()
    if row is None:
        names = [name for (name,) in connection.execute(schema.SELECT_BATCH_NAMES)]
        known = f"; it has {', '.join(map(repr, names))}" if names else ""
        raise JournalError(f"the database has no batch {journal.batch!r:.80}: load its items first{known}")
    facts = Facts(*row)
    if journal.shards not in (None, facts.shards):
        raise BatchError(
            f"the batch {journal.batch!r:.80} has {facts.shards} shards, and not {journal.shards}: their number is "
            "fixed when the batch is made"
        )
    return facts


def _enter(connection: psycopg.Connection[Any], facts: Facts, access: Access) -> None:
    """Take the lock that all who write to a batch share, or that one has alone.

    All who write at one time have one version of this package. A new version is recorded by the first who has the lock
    alone.
    """
    key = schema.lock_key(facts.batch, schema.PRESENCE)
    is_first = _try(connection, schema.TRY_LOCK, key, tries=_TRIES if access is Access.WHOLE else 1)
    if not is_first and access is Access.WHOLE:
        raise JournalBusyError(f"the batch {facts.name!r} is in use by other sessions of its database")
    if is_first and facts.sdk_version != __version__:
        connection.execute(schema.SET_SDK_VERSION, (__version__, facts.batch))
    if access is Access.WHOLE:
        return
    if is_first:
        is_shared = _try(connection, schema.TRY_SHARED_LOCK, key)
        connection.execute(schema.UNLOCK, (key,))
    else:  # another that enters has the lock alone for a moment
        is_shared = _try(connection, schema.TRY_SHARED_LOCK, key, tries=_TRIES)
    if not is_shared:
        raise JournalBusyError(f"the batch {facts.name!r} is in use by a run that has it alone")
    row = connection.execute(schema.SELECT_BATCH, (facts.name,)).fetchone()
    version = __version__ if row is None else Facts(*row).sdk_version
    if version != __version__:
        raise JournalError(
            f"the batch {facts.name!r} is run by rebyte-async {version}, and this is {__version__}: use one version, "
            "or wait until those runs have ended"
        )


def _try(connection: psycopg.Connection[Any], statement: str, key: int, *, tries: int = 1) -> bool:
    """Try to take a lock, several times where that which has it may be ending."""
    for number in range(tries):
        if number:
            time.sleep(_PAUSE)
        row = connection.execute(statement.encode(), (key,)).fetchone()
        if row is not None and row[0]:
            return True
    return False
