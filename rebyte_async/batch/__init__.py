"""Batches: thousands of tasks, with none lost and none paid for twice."""

from __future__ import annotations

from rebyte_async.batch.exports import write_outcomes
from rebyte_async.batch.items import BatchItem, parse_jsonl, read_jsonl
from rebyte_async.batch.journal import Journal
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.reader import JournalCounts, JournalItem, JournalReader, JournalRun, read_journal
from rebyte_async.batch.loading import load_items
from rebyte_async.batch.outcomes import BatchOutcome, BatchStatus
from rebyte_async.batch.progress import BatchProgress, RunningItem
from rebyte_async.batch.progress_view import show_progress
from rebyte_async.batch.report import write_report
from rebyte_async.batch.rows import items_from_rows
from rebyte_async.batch.runner import BatchRun, BatchRunner
from rebyte_async.batch.worker import BatchWorker

__all__ = [
    "BatchItem",
    "BatchOutcome",
    "BatchProgress",
    "BatchRun",
    "BatchRunner",
    "BatchStatus",
    "BatchWorker",
    "Journal",
    "JournalCounts",
    "JournalItem",
    "JournalReader",
    "JournalRun",
    "PostgresJournal",
    "RunningItem",
    "items_from_rows",
    "load_items",
    "parse_jsonl",
    "read_journal",
    "read_jsonl",
    "show_progress",
    "write_outcomes",
    "write_report",
]
