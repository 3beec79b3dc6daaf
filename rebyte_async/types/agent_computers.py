"""Agent computers: long-lived machines on which tasks run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import field, frozen

from rebyte_async.types._fields import moment

__all__ = ["AgentComputer"]


@frozen(kw_only=True)
class AgentComputer:
    """A long-lived virtual machine that many tasks can share; its `id` is the `workspace_id` to give a task.

    *Source*: contract §2; documented except where a field says otherwise.
    """

    id: str
    """The computer's id, and the workspace id of its tasks (observed)."""
    name: str | None = None
    """Its name, at most 200 characters."""
    status: str | None = None
    """`provisioning`, then `ready` or `error`; an open set."""
    sandbox_id: str | None = None
    """The id of the machine behind it, once there is one."""
    icon: str | None = None
    """Its icon, at most 50 characters."""
    url: str | None = None
    """Its page in Rebyte's application."""
    provision_error: str | None = None
    """Why it couldn't be provisioned, when the status is `error`."""
    created_at: datetime | None = field(default=None, converter=moment)
    """When it was created."""
    updated_at: datetime | None = field(default=None, converter=moment)
    """When it last changed."""
    sandbox_base_url: str | None = None
    """Where the machine itself answers (observed)."""
    sandbox_api_key: str | None = field(default=None, repr=False)
    """The key of the machine itself (observed): a secret, left out of the repr."""
    agent_instructions: str | None = None
    """Standing instructions for its agents (observed)."""
    views: tuple[Any, ...] | None = None
    """The views that are switched on, in the server's form (observed)."""
