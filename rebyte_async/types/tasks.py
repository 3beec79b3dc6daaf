"""Tasks, their prompts, what they hold and how they ended."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from rebyte_async.types._fields import moment
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.statuses import TERMINAL_STATUSES, PromptStatus, TaskStatus, prompt_status, task_status

__all__ = ["Prompt", "PromptContent", "Task", "TaskContent", "TaskResult", "Visibility", "VisibilitySetting"]


@frozen(kw_only=True)
class Prompt:
    """One turn of a task: what was asked, and how far it is.

    *Source*: contract §3, documented.
    """

    id: str
    """The prompt's id; the events of its turn carry it as `prompt_id`."""
    status: PromptStatus | str | None = field(default=None, converter=prompt_status)
    """How far the turn is; None in the answer to a submit, which doesn't say."""
    submitted_at: datetime | None = field(default=None, converter=moment)
    """When it was submitted."""
    completed_at: datetime | None = field(default=None, converter=moment)
    """When it ended. Don't infer the end from it: the service was seen to fill it in while the turn ran (observed)."""

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True)
class Task:
    """A task, as any endpoint gives it. What an endpoint leaves out is None.

    *Source*: contract §3; the fields documented except where their text says otherwise.
    """

    id: str
    """The task's id."""
    workspace_id: str | None = None
    """The agent computer it runs on. `create` gives it; the reads may leave it out (unknown)."""
    url: str | None = None
    """The task's page in Rebyte's application."""
    title: str | None = None
    """A short title, made by the service."""
    executor: str | None = None
    """The coding agent, such as `claude` (an open set); may be None in any answer (observed)."""
    model: str | None = None
    """The model it uses (an open set)."""
    status: TaskStatus | str | None = field(default=None, converter=task_status)
    """What the task is doing, or None where the endpoint doesn't say, as in a listing."""
    created_at: datetime | None = field(default=None, converter=moment)
    """When it was created."""
    completed_at: datetime | None = field(default=None, converter=moment)
    """When it was completed. Don't infer the end from it; use `is_terminal`."""
    prompts: tuple[Prompt, ...] | None = None
    """Its turns, oldest first; `get` gives them."""
    final_result: str | None = None
    """The answer of its latest turn, once there is one (observed)."""

    @property
    def is_terminal(self) -> bool:
        """Whether the status says that the task has ended. False when there is no status, or an unknown one."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True)
class PromptContent:
    """One turn with what was asked and answered.

    *Source*: contract §3, observed: used in production, not documented.
    """

    id: str
    """The prompt's id."""
    status: PromptStatus | str | None = field(default=None, converter=prompt_status)
    """How far the turn is."""
    user_prompt: str | None = None
    """The text that was submitted."""
    submitted_at: datetime | None = field(default=None, converter=moment)
    """When it was submitted."""
    completed_at: datetime | None = field(default=None, converter=moment)
    """When it ended; may be filled in while the turn runs."""
    response: str | None = None
    """The answer, or None while there is none."""
    events: tuple[TaskEvent, ...] | None = None
    """The turn's events, when they were asked for."""

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True)
class TaskContent:
    """A task with the content of its turns, oldest first.

    *Source*: contract §3, observed: used in production, not documented.
    """

    id: str
    """The task's id."""
    status: TaskStatus | str | None = field(default=None, converter=task_status)
    """What the task is doing."""
    prompts: tuple[PromptContent, ...] = ()
    """Its turns, oldest first."""


@frozen
class TaskResult:
    """The end of one turn of a task, or, on an error, what there was of it."""

    task_id: str
    """The task."""
    status: TaskStatus | str | None
    """How the turn ended (`completed`, `failed`, `canceled`); None when it was given up before its end."""
    final_result: str
    """The agent's answer: the server's, or the last text where the server gave none; empty if there was neither."""
    text: str
    """Everything the agent said in what was followed, blocks divided by a blank line, echoes left out."""
    events_seen: int
    """How many events were delivered."""


class Visibility(StrEnum):
    """Who may see a task; a new one is `SHARED`."""

    PRIVATE = "private"
    """The key's owner alone."""
    SHARED = "shared"
    """The whole organization."""
    PUBLIC = "public"
    """Everyone who has the link."""


@frozen(kw_only=True)
class VisibilitySetting:
    """A task's visibility as the server has set it.

    *Source*: contract §3, documented.
    """

    visibility: str
    """The visibility: one of `Visibility`, or a word that is newer than this package."""
    share_url: str | None = None
    """The public link; only where the visibility is public."""
