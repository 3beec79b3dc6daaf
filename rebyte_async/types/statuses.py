"""The statuses of tasks and prompts: open sets of which the known members have names.

A status field holds a member of the enum, or a plain string where the service has learnt a new word. Members are
strings themselves, so `task.status == "completed"` always works.

Source: contract §3 (documented; the alternative spellings observed).
"""

from __future__ import annotations

from enum import StrEnum

from rebyte_async.types._fields import text

__all__ = ["TERMINAL_STATUSES", "PromptStatus", "TaskStatus", "prompt_status", "task_status"]


class TaskStatus(StrEnum):
    """What a task is doing: `RUNNING` while any of its prompts is pending or running, else its latest prompt's end."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class PromptStatus(StrEnum):
    """What one prompt (one turn of a task) is doing. A prompt's `SUCCEEDED` is a task's `COMPLETED`."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL_STATUSES = frozenset({"completed", "succeeded", "failed", "canceled"})
"""The statuses, of tasks and of prompts, after which nothing more happens by itself."""

_TASK = {member.value: member for member in TaskStatus} | {
    "succeeded": TaskStatus.COMPLETED,
    "cancelled": TaskStatus.CANCELED,
}
_PROMPT = {member.value: member for member in PromptStatus} | {
    "completed": PromptStatus.SUCCEEDED,
    "cancelled": PromptStatus.CANCELED,
}


def task_status(value: str | None) -> TaskStatus | str | None:
    """A task's status in the task's vocabulary, also from a prompt's or a stream's; unknown words stay as they are."""
    word = text(value)
    return None if word is None else _TASK.get(word, word)


def prompt_status(value: str | None) -> PromptStatus | str | None:
    """A prompt's status in the prompt's vocabulary; unknown words stay as they are."""
    word = text(value)
    return None if word is None else _PROMPT.get(word, word)
