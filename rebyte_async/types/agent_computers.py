"""Agent computers: the virtual machines on which tasks run."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from rebyte_async._clock import to_datetime
from rebyte_async.types.statuses import find_member
from rebyte_async.types.values import Value


class AgentComputerStatus(StrEnum):
    """The known statuses of an agent computer; the service may use others."""

    PROVISIONING = "provisioning"
    READY = "ready"
    ERROR = "error"


_KNOWN = {member.value: member for member in AgentComputerStatus}


def agent_computer_status(value: str | None) -> AgentComputerStatus | str | None:
    return find_member(_KNOWN, value)


@frozen(kw_only=True, repr=False)
class AgentComputer(Value):
    """A long-lived virtual machine that many tasks can share. Its `id` is the `workspace_id` of its tasks.

    *Source*: contract §2; documented except where a field says otherwise.
    """

    id: str
    """The agent computer's id, and the workspace id of its tasks (observed)."""
    name: str | None = None
    """Its name, at most 200 characters."""
    status: AgentComputerStatus | str | None = field(default=None, converter=agent_computer_status)
    """`provisioning`, then `ready` or `error`."""
    sandbox_id: str | None = None
    """The id of the sandbox that it runs in, once there is one."""
    icon: str | None = None
    """Its icon, at most 50 characters."""
    url: str | None = None
    """Its page in Rebyte's application."""
    provision_error: str | None = None
    """Why it could not be provisioned, when the status is `error`."""
    created_at: datetime | None = field(default=None, converter=to_datetime)
    """When it was created."""
    updated_at: datetime | None = field(default=None, converter=to_datetime)
    """When it last changed."""
    sandbox_base_url: str | None = None
    """The URL of the sandbox itself (observed)."""
    sandbox_api_key: str | None = field(default=None, repr=False)
    """The key of the sandbox itself (observed): a secret, left out of the repr."""
    agent_instructions: str | None = None
    """Instructions for every agent that runs on it (observed)."""
    views: Any = field(default=None, hash=False)
    """Its views, in the server's own form (observed)."""

    @property
    def is_ready(self) -> bool:
        """Whether tasks can run on it now."""
        return self.status == AgentComputerStatus.READY
