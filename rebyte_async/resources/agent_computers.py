"""Agent computers: create, read, change, delete, and wait until they are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import anyio
from attrs import evolve, field, frozen

from rebyte_async._clock import intervals
from rebyte_async._transport import Transport
from rebyte_async._validate import optional_seconds, optional_text
from rebyte_async._wire import endpoints
from rebyte_async.errors import InvalidRequestError, NotFoundError, ProvisionError
from rebyte_async.resources.listing import Listing, list_by_pages
from rebyte_async.resources.options import to_body
from rebyte_async.resources.reading import Resource, decode_created, fetch
from rebyte_async.resources.waiting import CreationGrace, StatusPatience, describe_unknown, wait_timeout_error
from rebyte_async.types.agent_computers import AgentComputer, AgentComputerStatus


@frozen(eq=False, repr=False)
class AgentComputers(Resource):
    """`client.agent_computers`. `Tasks` lists what every call can raise."""

    _transport: Transport
    _grace: CreationGrace = field(factory=CreationGrace)

    async def create(self, name: str | None = None, *, icon: str | None = None) -> AgentComputer:
        """Create an agent computer. This costs money, so it is never repeated when the response is lost.

        Args:
            name: The name, at most 200 characters. None takes the server's default, "Agent Computer".
            icon: The icon, at most 50 characters.

        Returns:
            The agent computer, at once and still `provisioning`: see `wait_ready`.

        Raises:
            AmbiguousRequestError: The response was lost. An agent computer may have been created: look through
                `list()` before you try again.

        *Source*: contract §2, documented.
        """
        fields = {"name": optional_text("name", name, longest=200), "icon": optional_text("icon", icon, longest=50)}
        body = to_body(fields)
        response = await self._transport.call(endpoints.CREATE_AGENT_COMPUTER, json=body)
        computer = decode_created(AgentComputer, response)
        self._grace.start(computer.id)
        return computer

    def list(self, *, limit: int = 50, offset: int = 0) -> Listing[AgentComputer]:
        """List the organization's agent computers, newest first.

        Args:
            limit: Items on a page, 1 to 100.
            offset: How many items to skip.

        Returns:
            A listing: `await` it for one page, `async for` over it for every agent computer.

        *Source*: contract §2, documented; its paging a guess.
        """
        return list_by_pages(self._transport, endpoints.LIST_AGENT_COMPUTERS, AgentComputer, limit, offset)

    async def get(self, computer_id: str) -> AgentComputer:
        """Read an agent computer.

        *Source*: contract §2, documented.
        """
        ids = {"computer_id": computer_id}
        return await fetch(self._transport, AgentComputer, endpoints.GET_AGENT_COMPUTER, ids=ids)

    async def update(
        self,
        computer_id: str,
        *,
        agent_instructions: str | None = None,
        views: Mapping[str, bool] | None = None,
    ) -> None:
        """Change an agent computer. Undocumented, but used in production; it may change.

        Args:
            computer_id: The agent computer.
            agent_instructions: Standing instructions for its agents; None leaves them as they are.
            views: Which views are on, by their ids; None leaves them as they are.

        *Source*: contract §2, observed; the fields are in snake case on the wire.
        """
        if not isinstance(agent_instructions, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"agent_instructions must be a string, or None, not {agent_instructions!r:.80}")
        body = to_body({"agent_instructions": agent_instructions, "views": _check_views(views)})
        if not body:
            raise InvalidRequestError("update needs agent_instructions, views, or both")
        await self._transport.call(endpoints.UPDATE_AGENT_COMPUTER, ids={"computer_id": computer_id}, json=body)

    async def delete(self, computer_id: str) -> None:
        """Delete an agent computer. Undocumented, but used in production; it may change.

        *Source*: contract §2, observed.
        """
        await self._transport.call(endpoints.DELETE_AGENT_COMPUTER, ids={"computer_id": computer_id})

    async def wait_ready(self, computer_id: str, *, timeout: float | None = 300) -> AgentComputer:
        """Wait until an agent computer is ready. It is read at growing intervals from 1 to 5 seconds.

        Cancelling the wait does nothing to the agent computer.

        Args:
            computer_id: The agent computer.
            timeout: Seconds for everything together; None waits as long as it takes. Provisioning mostly takes 60 to
                80 seconds (observed).

        Returns:
            The agent computer, ready.

        Raises:
            ProvisionError: It couldn't be provisioned, or stays in a status that this package doesn't know. The error
                has the agent computer with the server's reason.
            WaitTimeoutError: It wasn't ready in time.

        *Source*: contract §2, documented.
        """
        optional_seconds("timeout", timeout)
        computer: AgentComputer | None = None
        patience = StatusPatience({AgentComputerStatus.PROVISIONING}, self._transport.time.clock)
        with anyio.move_on_after(timeout):
            for seconds in intervals(1.0, factor=1.3, longest=5.0):  # pragma: no branch - endless
                try:
                    computer = await self.get(computer_id)
                except NotFoundError:
                    if not self._grace.covers(computer_id):
                        raise
                else:
                    if _is_ready(computer, patience):
                        return computer
                await self._transport.time.sleep(seconds)
        raise wait_timeout_error(f"agent computer {computer_id} was not ready after {timeout} s", computer_id, computer)


def _check_views(views: object) -> dict[str, bool] | None:
    if views is None:
        return None
    given = cast("Mapping[object, object]", views) if isinstance(views, Mapping) else {"": views}
    if not all(isinstance(name, str) and name and isinstance(value, bool) for name, value in given.items()):
        raise InvalidRequestError(
            f"views must be a mapping of ids to bools, such as {{'files': True}}, not {views!r:.80}"
        )
    return {str(name): bool(value) for name, value in given.items()}


def _is_ready(computer: AgentComputer, patience: StatusPatience) -> bool:
    """Whether the wait is over; raises when the agent computer will never be ready."""
    if computer.is_ready:
        return True
    reason = computer.provision_error
    if computer.status == AgentComputerStatus.ERROR:
        message = f"could not be provisioned: {reason or 'the server gave no reason'}"
    elif patience.has_run_out(computer.status):
        message = f"did not become ready: {describe_unknown(computer.status)}" + (f"; {reason}" if reason else "")
    else:
        return False
    computer = evolve(computer, sandbox_api_key=None)
    raise ProvisionError(f"agent computer {computer.id} {message}", computer=computer)
