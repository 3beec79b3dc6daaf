"""The journal of a batch: the state of every item, on disk before the step that depends on it."""

from __future__ import annotations

from rebyte_async.batch.journal.journal import Journal
from rebyte_async.batch.journal.reader import JournalCounts, JournalItem, JournalReader, JournalRun, read_journal
from rebyte_async.batch.journal.records import DuplicateTaskError

__all__ = [
    "DuplicateTaskError",
    "Journal",
    "JournalCounts",
    "JournalItem",
    "JournalReader",
    "JournalRun",
    "read_journal",
]
