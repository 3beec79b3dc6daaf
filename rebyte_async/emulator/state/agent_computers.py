"""Agent computers, and how they are provisioned."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from rebyte_async.emulator.generators import timestamp

_VIEWS = ("chat", "files", "terminal")


@frozen(kw_only=True)
class Provisioning:
    """How an agent computer is provisioned."""

    seconds: float
    hold: str | None = None
    """The latch that it waits at."""
    error: str | None = None
    """Why it fails; None if it succeeds."""


@define(eq=False, kw_only=True)
class AgentComputer:
    """One agent computer; its id is also the id of its workspace.

    *Source*: contract §2, documented
    """

    id: str
    name: str
    icon: str | None
    url: str
    created_at: datetime
    updated_at: datetime
    status: str = "provisioning"
    sandbox_id: str | None = None
    sandbox_api_key: str | None = None
    provision_error: str | None = None
    agent_instructions: str | None = None
    views: dict[str, bool] = field(factory=lambda: dict.fromkeys(_VIEWS, True))

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "sandboxId": self.sandbox_id,
            "icon": self.icon,
            "url": self.url,
            "provisionError": self.provision_error,
            "createdAt": timestamp(self.created_at),
            "updatedAt": timestamp(self.updated_at),
            # The fields below aren't documented, but were observed.
            "sandboxBaseUrl": self.sandbox_id and f"{self.url}/sandbox",
            "sandboxApiKey": self.sandbox_api_key,
            "agentInstructions": self.agent_instructions,
            "views": [{"id": name, "enabled": enabled} for name, enabled in self.views.items()],
        }
