"""Tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from rebyte_async.emulator.clock import timestamp, timestamp_or_none
from rebyte_async.emulator.state.prompts import Prompt

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from rebyte_async.emulator.state.questions import Question
    from rebyte_async.emulator.state.workspaces import Workspace

__all__ = ["MadeTask"]

_TITLE_LENGTH = 80
_TASK_STATUS = {"succeeded": "completed"}


@frozen(kw_only=True)
class MadeTask:
    """A task as a test may want to see it."""

    id: str
    """The task's id."""
    status: str
    """Its status."""
    prompts: tuple[str, ...]
    """What was asked in it, oldest first."""


@define(eq=False, kw_only=True)
class Task:
    """One task: its prompts, the agent that works on them, and the question it may wait on."""

    number: int
    id: str
    workspace: Workspace
    url: str
    executor: str
    model: str | None
    created_at: datetime
    github_url: str | None = None
    branch_name: str | None = None
    visibility: str = "shared"
    prompts: list[Prompt] = field(factory=list[Prompt])
    delegated: dict[str, Prompt] = field(factory=dict[str, Prompt])
    question: Question | None = None
    announced: str = "created"
    """The status that webhooks have been told last."""
    worker: asyncio.Task[None] | None = None

    @property
    def workspace_id(self) -> str:
        """The id of the workspace that it runs on."""
        return self.workspace.id

    @property
    def latest(self) -> Prompt:
        """The newest prompt: the one that streams carry."""
        return self.prompts[-1]

    @property
    def open_prompts(self) -> list[Prompt]:
        """The prompts that are still to end, oldest first."""
        return [prompt for prompt in self.prompts if prompt.is_open]

    @property
    def status(self) -> str:
        """Running while any prompt is open, then how the latest one ended."""
        if any(prompt.is_open for prompt in self.prompts):
            return "running"
        return _TASK_STATUS.get(self.latest.status, self.latest.status)

    @property
    def completed_at(self) -> datetime | None:
        """When the latest prompt ended; None while any is open."""
        return None if self.status == "running" else self.latest.completed_at

    def turn(self, back: int) -> Prompt:
        """The prompt so many turns before the latest, or the oldest."""
        return self.prompts[max(0, len(self.prompts) - 1 - back)]

    def made(self) -> MadeTask:
        """The task as a test may want to see it."""
        return MadeTask(id=self.id, status=self.status, prompts=tuple(prompt.text for prompt in self.prompts))

    def created(self) -> dict[str, Any]:
        """The task as its creation answers."""
        return {
            "id": self.id,
            "workspaceId": self.workspace_id,
            "url": self.url,
            "status": self.status,
            "createdAt": timestamp(self.created_at),
        }

    def row(self) -> dict[str, Any]:
        """The task as a listing shows it."""
        return {
            "id": self.id,
            "url": self.url,
            "title": self.prompts[0].text.strip().partition("\n")[0][:_TITLE_LENGTH],
            "executor": self.executor,
            "model": self.model,
            "createdAt": timestamp(self.created_at),
            "completedAt": timestamp_or_none(self.completed_at),
        }

    def full(self) -> dict[str, Any]:
        """The task as its own read shows it."""
        return {
            **self.row(),
            "status": self.status,
            "workspaceId": self.workspace_id,
            "finalResult": None if self.status == "running" else self.latest.final_result,
            "prompts": [prompt.summary() for prompt in self.prompts],
        }

    def content(self, *, with_events: bool) -> dict[str, Any]:
        """The task's content: what was asked and answered."""
        prompts = [prompt.content(with_events=with_events) for prompt in self.prompts]
        return {"id": self.id, "status": self.status, "prompts": prompts}
