"""An item as its journal has it, for the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import define, frozen

from rebyte_async.batch.outcomes import BatchOutcome
from rebyte_async.errors import JournalError

__all__ = ["COLUMNS", "DuplicateTaskError", "ItemRecord", "NewItem", "read_record", "time_of"]

COLUMNS = (
    "position, key, fingerprint, request, prompt_hash, run, state, workspace_id, task_id, attempts, intent_at, status, "
    "final_result, error, started_at, ended_at"
)
"""The columns that `read_record` takes, in its order."""


class DuplicateTaskError(JournalError):
    """A task was to be recorded for an item, and another item of the batch has it."""


@frozen
class NewItem:
    """What is written down of an item when it is accepted."""

    key: str
    fingerprint: bytes
    request: str
    """The item as JSON."""
    prompt_hash: bytes


@define(kw_only=True)
class ItemRecord:
    """A row of the journal. The engine keeps it in step with what it has written."""

    position: int
    key: str
    fingerprint: bytes
    request: str
    prompt_hash: bytes
    run: int
    state: str
    workspace_id: str | None
    task_id: str | None
    attempts: int
    intent_at: float | None
    status: str | None
    final_result: str | None
    error: str | None
    started_at: float | None
    ended_at: float | None

    def outcome(self) -> BatchOutcome:
        """What became of the item, as it is written down."""
        return BatchOutcome(
            key=self.key,
            status=self.status or "skipped",
            task_id=self.task_id,
            final_result=self.final_result,
            error=self.error,
            attempts=self.attempts,
            started_at=time_of(self.started_at),
            ended_at=time_of(self.ended_at),
        )


def read_record(row: tuple[Any, ...]) -> ItemRecord:
    """The entry of a row that was selected with `COLUMNS`."""
    return ItemRecord(**dict(zip(_NAMES, row, strict=True)))


def time_of(seconds: float | None) -> datetime | None:
    """Unix seconds as a time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


_NAMES = COLUMNS.split(", ")
