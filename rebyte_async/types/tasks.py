"""Tasks and their prompts: status, content, final result and visibility."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from attrs import field, frozen

from rebyte_async._clock import to_datetime
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.statuses import TERMINAL_STATUSES, PromptStatus, TaskStatus, prompt_status, task_status
from rebyte_async.types.values import Value

Executor: TypeAlias = Literal["claude", "gemini", "codex", "opencode"] | str  # noqa: PYI051 - shown by editors
"""A coding agent: one that this package knows, or a newer one."""
VisibilityName: TypeAlias = Literal["private", "shared", "public"] | str  # noqa: PYI051 - likewise
"""A visibility by its name; a member of `Visibility` is one too."""


@frozen(kw_only=True, repr=False)
class Prompt(Value):
    """One prompt of a task, with the status of its turn.

    *Source*: contract §3, documented.
    """

    id: str
    """The prompt's id; the events of its turn have it as `prompt_id`."""
    status: PromptStatus | str | None = field(default=None, converter=prompt_status)
    """The status of the turn; None in the response to a submit, which doesn't say."""
    submitted_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was submitted."""
    completed_at: datetime | None = field(default=None, converter=to_datetime)
    """When the turn ended. Use `is_terminal` to learn whether it has: the service was seen to set this while the turn
    ran (observed)."""

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True, repr=False)
class Task(Value):
    """A task, from any endpoint. A field that the endpoint leaves out is None.

    *Source*: contract §3, documented except where a field says otherwise.
    """

    id: str
    """The task's id."""
    workspace_id: str | None = None
    """The agent computer that the task runs on. `create` returns it; reads may leave it out, GUESS(§3)."""
    url: str | None = None
    """The task's page in Rebyte's application."""
    title: str | None = None
    """A short title, made by the service."""
    executor: Executor | None = None
    """The coding agent, such as `claude` (an open set). It may be None in any response (observed)."""
    model: str | None = None
    """The model that the agent uses (an open set)."""
    status: TaskStatus | str | None = field(default=None, converter=task_status)
    """The task's status; None where the endpoint doesn't say, as in a listing."""
    created_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was created."""
    completed_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was completed. Use `is_terminal` to learn whether it has ended."""
    prompts: tuple[Prompt, ...] | None = None
    """Its prompts, oldest first; only `get` returns them."""
    final_result: str | None = None
    """The final result of its latest turn, once there is one (observed)."""

    @property
    def is_terminal(self) -> bool:
        """Whether the status says that the task has ended. False when the status is None or unknown."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True, repr=False)
class PromptContent(Value):
    """One turn with its prompt text and its response.

    *Source*: contract §3, observed: used in production, not documented.
    """

    id: str
    """The prompt's id."""
    status: PromptStatus | str | None = field(default=None, converter=prompt_status)
    """The status of the turn."""
    user_prompt: str | None = None
    """The text that was submitted."""
    submitted_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was submitted."""
    completed_at: datetime | None = field(default=None, converter=to_datetime)
    """When the turn ended; it may be set while the turn still runs."""
    response: str | None = None
    """What the agent said at the end of the turn; None before it has."""
    events: tuple[TaskEvent, ...] | None = None
    """The turn's events, when the read asked for them."""

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended."""
        return self.status in TERMINAL_STATUSES


@frozen(kw_only=True, repr=False)
class TaskContent(Value):
    """A task with the content of its turns, oldest first.

    *Source*: contract §3, observed: used in production, not documented.
    """

    id: str
    """The task's id."""
    status: TaskStatus | str | None = field(default=None, converter=task_status)
    """The task's status."""
    prompts: tuple[PromptContent, ...] = ()
    """Its turns, oldest first."""


@frozen(repr=False)
class TaskResult(Value):
    """The result of one turn of a task. On an error: what had been delivered of the turn."""

    task_id: str
    """The task."""
    status: TaskStatus | str | None
    """How the turn ended (`completed`, `failed`, `canceled`); None when it was given up before its end."""
    final_result: str
    """What the agent said at the end: from the server, else the last text. Empty when there was neither."""
    text: str
    """All text that the agent wrote in the turn, with a blank line between blocks and without repetitions."""
    events_seen: int
    """How many events were delivered."""
    workspace_id: str | None = None
    """The agent computer that the task runs on, where its artifacts are; None where it isn't known."""


class Visibility(StrEnum):
    """Who may see a task. A new task is `SHARED`."""

    PRIVATE = "private"
    """Only the owner of the API key."""
    SHARED = "shared"
    """The whole organization."""
    PUBLIC = "public"
    """Everyone who has the link."""


@frozen(kw_only=True, repr=False)
class VisibilitySetting(Value):
    """The visibility of a task, as the server has set it.

    *Source*: contract §3, documented.
    """

    visibility: VisibilityName
    """The visibility: a member of `Visibility`, or one that is newer than this package."""
    share_url: str | None = None
    """The public link; None unless the visibility is public."""
