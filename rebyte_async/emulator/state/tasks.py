"""Tasks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from rebyte_async.emulator.generators import timestamp
from rebyte_async.emulator.state.files import Workspace
from rebyte_async.emulator.state.primitives import Collection
from rebyte_async.emulator.state.prompts import OpenQuestion, Prompt

_TITLE_LENGTH = 80
_TASK_STATUS = {"succeeded": "completed"}


@frozen(kw_only=True)
class MadeTask:
    """A snapshot of a task for tests."""

    id: str
    """The task's id."""
    status: str
    """Its status."""
    prompts: tuple[str, ...]
    """The texts of its prompts, oldest first."""
    workspace_id: str
    """The agent computer that it runs on."""


@define(eq=False, kw_only=True)
class Task:
    """One task: its prompts, the agent that works on them, and the question that the agent may be asking."""

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
    delegated: Collection[Prompt] = field(factory=lambda: Collection[Prompt]("Delegated prompt"))
    """The prompts of delegations by id; they are no turns of the task."""
    question: OpenQuestion | None = None
    announced_status: str = "created"
    """The status that webhooks were notified of last."""
    agent: asyncio.Task[None] | None = None
    """The agent at work; it ends when no prompt is open."""

    @property
    def latest(self) -> Prompt:
        """The latest prompt, whose turn is streamed."""
        return self.prompts[-1]

    @property
    def open_prompts(self) -> list[Prompt]:
        return [prompt for prompt in self.prompts if prompt.is_open]

    @property
    def status(self) -> str:
        """`running` while any prompt is open, then how the latest one ended."""
        return "running" if self.open_prompts else _TASK_STATUS.get(self.latest.status, self.latest.status)

    @property
    def completed_at(self) -> datetime | None:
        """When the latest prompt ended; None while any is open."""
        return None if self.status == "running" else self.latest.completed_at

    def snapshot(self) -> MadeTask:
        prompts = tuple(prompt.text for prompt in self.prompts)
        return MadeTask(id=self.id, status=self.status, prompts=prompts, workspace_id=self.workspace.id)

    def created_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "workspaceId": self.workspace.id,
            "url": self.url,
            "status": self.status,
            "createdAt": timestamp(self.created_at),
        }

    def row_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "url": self.url,
            "title": self.prompts[0].text.strip().partition("\n")[0][:_TITLE_LENGTH],
            "executor": self.executor,
            "model": self.model,
            "createdAt": timestamp(self.created_at),
            "completedAt": self.completed_at and timestamp(self.completed_at),
        }

    def full_json(self) -> dict[str, Any]:
        return {
            **self.row_json(),
            "status": self.status,
            "workspaceId": self.workspace.id,
            "finalResult": None if self.status == "running" else self.latest.final_result,
            "prompts": [prompt.summary() for prompt in self.prompts],
        }

    def content_json(self, *, with_events: bool) -> dict[str, Any]:
        prompts = [prompt.content(with_events=with_events) for prompt in self.prompts]
        return {"id": self.id, "status": self.status, "prompts": prompts}
