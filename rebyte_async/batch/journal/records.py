"""The records of a journal, and the rules about them, which all stores share. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypedDict

from attrs import define, field, frozen

from rebyte_async.batch.outcomes import BatchOutcome, explain_end
from rebyte_async.errors import BatchError, ConfigurationError

END_STATUSES = ("completed", "failed", "canceled", "error", "ambiguous")
_SHOWN = 60
"""Characters of an old value that an error shows."""


@frozen
class NewItem:
    """A batch item as it is given to the journal."""

    key: str
    fingerprint: bytes
    """The hash of everything that the item asks for: all but its key and its metadata."""
    request: str
    """The item as JSON."""
    prompt_hash: bytes


class ItemChange(TypedDict, total=False):
    """The fields of an `ItemRecord` that one step of an item changes, with their new values."""

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


@define(kw_only=True)
class ItemRecord:
    """An item as the journal has it. Times are Unix seconds."""

    position: int
    """Its place in the order in which items were accepted."""
    key: str
    fingerprint: bytes
    request: str
    """The item as JSON; empty where it isn't needed any more, to save memory."""
    prompt_hash: bytes
    run: int
    """The run that accepted it last: the one that may change it."""
    state: str = "accepted"
    """`accepted`, `creating` (an intent is recorded), `running` (its task is known) or `ended`."""
    workspace_id: str | None = None
    task_id: str | None = None
    attempts: int = 0
    """How many creates were sent that the server may have read."""
    intent_at: float | None = None
    """When its last create was about to be sent."""
    status: str | None = None
    final_result: str | None = None
    error: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    intent_run: int | None = field(default=None, eq=False)
    """The run that recorded the intent, if the store is shared: each of its runs has its own clock and watermark."""

    def apply(self, change: ItemChange) -> None:
        for name, value in change.items():
            setattr(self, name, value)

    def outcome(self) -> BatchOutcome:
        """Return the item's outcome, without its metadata, which is in the request."""
        status = self.status or "skipped"
        return BatchOutcome(
            key=self.key,
            status=status,
            task_id=self.task_id,
            final_result=self.final_result,
            error=self.error or explain_end(status, self.final_result),
            attempts=self.attempts,
            started_at=time_of(self.started_at),
            ended_at=time_of(self.ended_at),
            workspace_id=self.workspace_id,
        )


@frozen
class AgentComputerRecord:
    """An agent computer that was made, or is being made, for the batch."""

    slot: int
    """Its number among the agent computers of the batch, from 0."""
    name: str
    workspace_id: str | None
    """None while its create is under way or ambiguous."""
    intent_at: float | None
    """When its create was about to be sent."""


def new_record(item: NewItem, position: int, run: int) -> ItemRecord:
    return ItemRecord(
        position=position,
        key=item.key,
        fingerprint=item.fingerprint,
        request=item.request,
        prompt_hash=item.prompt_hash,
        run=run,
    )


def find_conflict(record: ItemRecord, item: NewItem, run: int) -> BatchError | None:
    """Return why a run can't accept an item whose key has a record already; None if it is the same item."""
    if record.run == run:
        return BatchError(f"the key {item.key!r:.80} comes twice: each item of a batch needs a key of its own")
    if record.fingerprint == item.fingerprint:
        return None
    return BatchError(
        f"the key {item.key!r:.80} is in the journal with {_difference(record.request, item.request)}: give the item "
        "as it was, or use another key"
    )


def _difference(old: str, new: str) -> str:
    before, after = json.loads(old), json.loads(new)
    names = [name for name in (before | after) if name != "metadata" and before.get(name) != after.get(name)]
    return "another " + " and ".join(f"{name} ({_shorten(before.get(name))})" for name in names)


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def reopen_change(status: str | None, intent_at: float | None) -> ItemChange:
    """Return the change that lets an ended item run again.

    An item that ended `ambiguous` may have a task that was never found: as `creating`, it is reconciled again before a
    new create is sent. The intent is kept for that. The store keeps the old task as a former one of the item.
    """
    return {
        "state": "creating" if status == "ambiguous" and intent_at is not None else "accepted",
        "status": None,
        "final_result": None,
        "error": None,
        "task_id": None,
        "started_at": None,
        "ended_at": None,
    }


def check_statuses(statuses: tuple[str, ...]) -> None:
    """Raise ConfigurationError where no item ends with a status."""
    if unknown := sorted(set(statuses) - set(END_STATUSES)):
        raise ConfigurationError(
            f"statuses has {', '.join(map(repr, unknown))}; items end as {', '.join(END_STATUSES)}"
        )


def check_address(known: str | None, given: str, journal: object) -> None:
    """Raise BatchError where a journal's tasks are on another service: resuming it would create them again."""
    if known not in (None, given):
        raise BatchError(
            f"the journal {journal} is of a batch on {known}, and this client talks to {given}: give another journal, "
            "or the client that the batch was started with"
        )


def time_of(seconds: float | None) -> datetime | None:
    """Convert Unix seconds to an aware time; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
