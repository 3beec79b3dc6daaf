"""The stores of journals that the conformance tests go through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rebyte_async.batch.journal import JournalStore
from rebyte_async.batch.journal.sqlite import SqliteStore

STORES: dict[str, Callable[[Path], JournalStore]] = {
    "sqlite": lambda folder: SqliteStore(folder / "run.sqlite3"),
}
"""For each kind of store, what makes one that isn't open. Two that are given one folder keep one journal."""
