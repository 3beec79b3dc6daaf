"""The statuses of tasks and prompts.

A field of a status has a member of the enum, or a plain string for a status that this package doesn't know. Members
are strings, so `task.status == "completed"` always works. A known status is recognised in upper and lower case.

*Source*: contract §3, documented; the alternative spellings observed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class TaskStatus(StrEnum):
    """The status of a task: `RUNNING` while a prompt of it is pending or running, else how its latest prompt ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class PromptStatus(StrEnum):
    """The status of one prompt. A prompt's `SUCCEEDED` is a task's `COMPLETED`."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL_STATUSES = frozenset({"completed", "succeeded", "failed", "canceled"})
"""The statuses of tasks and prompts that have ended."""
RUNNING_STATUSES = frozenset({"running", "pending", "queued", "processing", "blocked_user_answer_required"})
"""The statuses of tasks and prompts that have not ended: the documented ones, and others that were seen."""
UNKNOWN_STATUS_PATIENCE = 15.0
"""Seconds for which waits tolerate a status that is unknown and stays: it may pass, or be a newer word for an end."""

_RUNNING = {status: status for status in RUNNING_STATUSES}
_TASK: dict[str, TaskStatus | str] = {
    **_RUNNING,
    **{member.value: member for member in TaskStatus},
    "succeeded": TaskStatus.COMPLETED,
    "cancelled": TaskStatus.CANCELED,
}
_PROMPT: dict[str, PromptStatus | str] = {
    **_RUNNING,
    **{member.value: member for member in PromptStatus},
    "completed": PromptStatus.SUCCEEDED,
    "cancelled": PromptStatus.CANCELED,
}


def task_status(value: str | None) -> TaskStatus | str | None:
    """Convert a status in any spelling, also a prompt's, to a `TaskStatus`; an unknown one stays a string."""
    return find_member(_TASK, value)


def prompt_status(value: str | None) -> PromptStatus | str | None:
    """Convert a status in any spelling, also a task's, to a `PromptStatus`; an unknown one stays a string."""
    return find_member(_PROMPT, value)


def find_member(members: Mapping[str, T], value: object) -> T | str | None:
    """Convert a status to its member of an enum; an unknown one stays a string, and None stays None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r:.80}")
    return members.get(value.casefold(), value)
