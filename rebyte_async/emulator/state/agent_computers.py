"""Agent computers, and how they are provisioned."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import define, frozen

from rebyte_async.emulator.generators import timestamp

_VIEWS = ("web_search_&_browse", "sandbox", "coding_agent", "skills", "ask_user_question", "interactive_content")
_SANDBOX_BASE_URL = "https://sandbox.localhost"
"""Leads nowhere, but a client can build the addresses of a sandbox's ports from it."""


@frozen(kw_only=True)
class Provisioning:
    """How an agent computer is provisioned."""

    seconds: float
    hold: str | None = None
    """The latch that it waits at."""
    error: str | None = None
    """Why it fails; None if it succeeds."""


@define(eq=False, kw_only=True)
class View:
    """A server of tools for the agent, by an opaque id. GUESS(§2): which of them there are, and their `type`.

    *Source*: contract §2, observed
    """

    id: str
    internal_name: str
    is_enabled: bool = True

    def to_json(self) -> dict[str, Any]:
        server = {"type": "internal", "internalName": self.internal_name, "remoteId": None}
        return {"id": self.id, "name": None, "enabled": self.is_enabled, "server": server}


def make_views(make_id: Callable[[str], str]) -> dict[str, View]:
    """Make the views of a new agent computer, by their ids."""
    views = [View(id=make_id("msv_"), internal_name=name) for name in _VIEWS]
    return {view.id: view for view in views}


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
    views: dict[str, View]
    """By their ids."""
    status: str = "provisioning"
    sandbox_id: str | None = None
    sandbox_api_key: str | None = None
    provision_error: str | None = None
    agent_instructions: str | None = None

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
            "sandboxBaseUrl": self.sandbox_id and _SANDBOX_BASE_URL,
            "sandboxApiKey": self.sandbox_api_key,
            "agentInstructions": self.agent_instructions,
            "views": [view.to_json() for view in self.views.values()],
        }
