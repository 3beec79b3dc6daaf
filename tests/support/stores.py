"""The stores of journals that the conformance tests go through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rebyte_async.batch.journal import JournalStore, store_at
from rebyte_async.batch.journal.sqlite import SqliteStore

if TYPE_CHECKING:
    from support.postgres import Postgres

STORES: dict[str, Callable[[Path, Callable[[], Postgres]], Callable[[], JournalStore]]] = {
    "sqlite": lambda folder, _: lambda: SqliteStore(folder / "run.sqlite3"),
    "postgres": lambda _, server: _in_database(server()),
}
"""For each kind of store, what makes a maker of stores that aren't open. Those of one maker keep one journal."""


def _in_database(server: Postgres) -> Callable[[], JournalStore]:
    journal = server.make_journal()
    return lambda: store_at(journal)
