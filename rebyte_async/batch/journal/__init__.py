"""The journal of a batch: every step of every item is on disk before the next step starts."""

from __future__ import annotations

from rebyte_async.batch.journal.file import journal_files
from rebyte_async.batch.journal.journal import Journal, JournalAt, RunJournal, store_at
from rebyte_async.batch.journal.reader import JournalCounts, JournalItem, JournalReader, JournalRun, read_journal
from rebyte_async.batch.journal.records import AgentComputerRecord, ItemRecord, NewItem
from rebyte_async.batch.journal.store import DuplicateTaskError, JournalStore

__all__ = [
    "AgentComputerRecord",
    "DuplicateTaskError",
    "ItemRecord",
    "Journal",
    "JournalAt",
    "JournalCounts",
    "JournalItem",
    "JournalReader",
    "JournalRun",
    "JournalStore",
    "NewItem",
    "RunJournal",
    "journal_files",
    "read_journal",
    "store_at",
]
