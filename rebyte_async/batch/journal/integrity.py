"""The check sums of a journal, and the check that all of it is as it was written."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

from rebyte_async.batch.journal import schema
from rebyte_async.errors import JournalError


@frozen
class JournalState:
    """What a journal says of itself."""

    facts: dict[str, str]
    """The table `meta`."""
    is_open: bool
    """Whether it wasn't closed in order: a run has it, was killed, or it was copied meanwhile."""
    commits: int
    """How many commits have been made to it."""

    @property
    def batch_id(self) -> str:
        return self.facts.get("batch_id", "")


def row_sum(*values: object) -> int:
    """Return the check sum of a row's values: the same for a value that is given and as SQLite returns it."""
    as_stored = (int(value) if isinstance(value, float) and value.is_integer() else value for value in values)
    return zlib.crc32(ascii(tuple(as_stored)).encode())


def create_tables(connection: sqlite3.Connection, facts: dict[str, str]) -> None:
    """Create the tables of a new journal, with what stays true of it in `meta`."""
    add_row_sum(connection)
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {schema.VERSION}")
    for statement in schema.CREATE:
        connection.execute(statement)
    connection.executemany(schema.save("meta"), [{"name": name, "value": value} for name, value in facts.items()])
    connection.execute(schema.COUNT_COMMIT, {"is_open": False, "commits": 1})
    connection.execute("COMMIT")


def add_row_sum(connection: sqlite3.Connection) -> None:
    """Give a connection the function that every statement that writes uses."""
    connection.create_function("row_sum", -1, row_sum)


def check_journal(path: Path, connection: sqlite3.Connection) -> JournalState:
    """Check the kind of a file, and every page, index and row of a journal, and return what it says of itself.

    Raises:
        JournalError: It is damaged, no journal, or of another version.
    """
    with translate_errors(path):
        _check_kind(path, connection)
        connection.execute("BEGIN")  # all of one moment: a run may be writing
        try:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise _damaged(path, found)
            if not _make_schema() <= set(connection.execute(schema.SELECT_SCHEMA)):
                raise _damaged(path, "its tables have changed")
            sums = sum(_check_rows(path, connection, table) for table in schema.COLUMNS)
            return _read_state(path, connection, sums)
        finally:
            connection.execute("ROLLBACK")


def _check_kind(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID:
        raise JournalError(f"{path} is not a batch journal. The file was not changed: give another path")
    if version != schema.VERSION:
        age = "a newer" if version > schema.VERSION else "an older"
        raise JournalError(
            f"the journal {path} has the format {version}, and this version of rebyte-async knows {schema.VERSION}: "
            f"use {age} one. The file was not changed"
        )


@cache
def _make_schema() -> frozenset[Any]:
    """Return the schema as SQLite stores it."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create_tables(connection, {})
        return frozenset(connection.execute(schema.SELECT_SCHEMA))


def _check_rows(path: Path, connection: sqlite3.Connection, table: str) -> int:
    """Check the rows of a table, and return the total of their check sums."""
    total = 0
    for found, *values in connection.execute(schema.select_sums(table)):
        if found != row_sum(*values):
            raise _damaged(path, f"a row of {table} has changed since it was written")
        total += found
    return total


def _read_state(path: Path, connection: sqlite3.Connection, sums: int) -> JournalState:
    row = connection.execute(schema.SELECT_STATE).fetchone()
    if row is None or row[-1] != row_sum(*row[:-1]):
        raise _damaged(path, "the row of state has changed since it was written")
    is_open, commits, total, _ = row
    if total != sums:
        raise _damaged(path, "rows are missing, or older than the others")
    return JournalState(dict(connection.execute(schema.SELECT_META)), bool(is_open), commits)


def _damaged(path: Path, what: str) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged: {what}. The file was not changed: put a good copy in its place, with "
        f"the files beside it whose names begin with {path.name}-. If there is none, the sqlite3 shell shows what it "
        "still has"
    )


@contextmanager
def translate_errors(path: Path) -> Generator[None]:
    """Turn what SQLite raises into errors that name the file, also what a damaged file has Python's module raise."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if "UTF-8" in str(error):
            raise _damaged(path, "a text isn't UTF-8") from error
        raise JournalError(f"can't open the journal {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise JournalError(
                f"{path} is not a batch journal, or its beginning is damaged. The file was not changed"
            ) from error
        raise _damaged(path, str(error)) from error
    except (sqlite3.Error, ValueError, TypeError, OverflowError, SystemError) as error:
        raise _damaged(path, str(error)) from error
