"""What is behind a `PostgresJournal`: modules that are imported, with the driver, only when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rebyte_async.batch.journal.postgres.journal import PostgresJournal
from rebyte_async.errors import ConfigurationError


def make_store(journal: PostgresJournal) -> Any:
    """Return the store of a run that has the whole batch, not opened yet."""
    return _import("store").PostgresStore(journal)


def make_worker_store(journal: PostgresJournal, session_timeout: float) -> Any:
    """Return the store of a worker, not opened yet. The server ends its session after some seconds of silence."""
    module = _import("store")
    return module.PostgresStore(journal, module.Access.WORKER, session_timeout=session_timeout)


def make_loader(journal: PostgresJournal) -> Any:
    """Begin to load items into the batch. It blocks."""
    return _import("loader").Loader(journal)


def open_source(journal: PostgresJournal) -> Any:
    """Open the batch for reading. It blocks."""
    return _import("source").Source(journal)


def has_password(journal: PostgresJournal) -> bool:
    """Return whether the DSN itself has a secret in it.

    Raises:
        JournalError: It can't be read.
    """
    return bool(_import("session").has_password(journal.dsn))


def check_driver() -> None:
    """Raise ConfigurationError where the extra `postgres` isn't installed, or finds no libpq."""
    _import("session")


def _import(name: str) -> Any:
    try:
        return import_module(f"rebyte_async.batch.journal.postgres.{name}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error}; a journal in PostgreSQL needs an extra: pip install 'rebyte-async[postgres]'"
        ) from error
    except ImportError as error:  # psycopg is installed, and not what it is built on
        raise ConfigurationError(
            f"psycopg finds no libpq: install PostgreSQL's client library (libpq5 in Debian), or run "
            f"pip install 'psycopg[binary]' ({' '.join(str(error).split())})"
        ) from error
