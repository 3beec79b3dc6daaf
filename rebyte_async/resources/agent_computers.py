"""Agent computers: create, read, and wait until they are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from anyio import move_on_after
from attrs import evolve, field, frozen

from rebyte_async._clock import intervals
from rebyte_async._validate import optional_seconds, optional_text
from rebyte_async._wire import endpoints, models
from rebyte_async.errors import InvalidRequestError, NotFoundError, ProvisionError, WaitTimeoutError
from rebyte_async.resources.pages import Listing
from rebyte_async.resources.started import decode_started
from rebyte_async.resources.waiting import CreationGrace
from rebyte_async.types.agent_computers import AgentComputer, AgentComputerStatus

if TYPE_CHECKING:
    from rebyte_async._transport import Transport
    from rebyte_async.types.pages import Page

__all__ = ["AgentComputers"]

_MAX_NAME = 200
_MAX_ICON = 50


@frozen(eq=False)
class AgentComputers:
    """`client.agent_computers`. What every call can raise is told at `Tasks`."""

    _transport: Transport
    _grace: CreationGrace = field(factory=CreationGrace)

    async def create(self, name: str | None = None, *, icon: str | None = None) -> AgentComputer:
        """Make a machine. This costs money, so it is never repeated when its answer is lost.

        Args:
            name: Its name, at most 200 characters; None for the server's default, "Agent Computer".
            icon: Its icon, at most 50 characters.

        Returns:
            The computer, at once and still `provisioning`: see `wait_ready`.

        Raises:
            AmbiguousRequestError: The answer was lost. A machine may have been made: look through `list()` before
                trying again.

        *Source*: contract §2, documented.
        """
        body = {
            "name": optional_text("name", name, longest=_MAX_NAME),
            "icon": optional_text("icon", icon, longest=_MAX_ICON),
        }
        lean = {key: value for key, value in body.items() if value is not None}
        answer = await self._transport.call(endpoints.CREATE_AGENT_COMPUTER, json=lean)
        computer = decode_started(AgentComputer, answer)
        self._grace.start(computer.id)
        return computer

    def list(self, *, limit: int = 50, offset: int = 0) -> Listing[AgentComputer]:
        """List the organization's machines, newest first.

        Args:
            limit: Items on a page, 1 to 100.
            offset: Items to pass over.

        Returns:
            A listing: `await` it for one page, `async for` over it for every computer.

        *Source*: contract §2, documented; its paging a guess.
        """

        async def fetch(limit: int, offset: int) -> Page[AgentComputer]:
            query = {"limit": limit, "offset": offset}
            answer = await self._transport.call(endpoints.LIST_AGENT_COMPUTERS, query=query)
            return models.decode_page(AgentComputer, answer.json(), limit=limit, offset=offset)

        return Listing(fetch, _computer_id, limit, offset)

    async def get(self, computer_id: str) -> AgentComputer:
        """Read a machine.

        Args:
            computer_id: The computer.

        *Source*: contract §2, documented.
        """
        answer = await self._transport.call(endpoints.GET_AGENT_COMPUTER, ids={"computer_id": computer_id})
        return models.decode(AgentComputer, answer.json())

    async def update(
        self,
        computer_id: str,
        *,
        agent_instructions: str | None = None,
        views: Mapping[str, bool] | None = None,
    ) -> None:
        """Change a machine. Beyond the documented API: used in production, may change.

        Args:
            computer_id: The computer.
            agent_instructions: Standing instructions for its agents; None leaves them.
            views: Which views are on, by id; None leaves them.

        *Source*: contract §2, observed; the fields are in snake case on the wire.
        """
        body = {"agent_instructions": _instructions(agent_instructions), "views": _switches(views)}
        lean = {key: value for key, value in body.items() if value is not None}
        if not lean:
            raise InvalidRequestError("update needs agent_instructions, views, or both")
        await self._transport.call(endpoints.UPDATE_AGENT_COMPUTER, ids={"computer_id": computer_id}, json=lean)

    async def delete(self, computer_id: str) -> None:
        """Delete a machine. Beyond the documented API: used in production, may change.

        Args:
            computer_id: The computer.

        *Source*: contract §2, observed.
        """
        await self._transport.call(endpoints.DELETE_AGENT_COMPUTER, ids={"computer_id": computer_id})

    async def wait_ready(self, computer_id: str, *, timeout: float | None = 300) -> AgentComputer:
        """Wait until a machine is ready, by reading it at growing intervals from 1 to 5 seconds.

        Cancelling the wait does nothing to the machine.

        Args:
            computer_id: The computer.
            timeout: Seconds for everything together; None waits as long as it takes. It mostly takes 60 to 80
                (observed).

        Returns:
            The computer, ready.

        Raises:
            ProvisionError: It couldn't be provisioned; the error has the computer with the server's reason.
            WaitTimeoutError: It wasn't ready in time.

        *Source*: contract §2, documented.
        """
        optional_seconds("timeout", timeout)
        computer: AgentComputer | None = None
        with move_on_after(timeout):
            for seconds in intervals(1.0, factor=1.3, longest=5.0):
                computer = await self._read(computer_id) or computer
                if computer is not None and _settled(computer):
                    return computer
                await self._transport.gate.sleep(seconds)
        status = None if computer is None else computer.status
        raise WaitTimeoutError(
            f"agent computer {computer_id} was not ready after {timeout} s" + (f"; it was {status}" if status else ""),
            resource_id=computer_id,
            last_status=status,
        )

    async def _read(self, computer_id: str) -> AgentComputer | None:
        try:
            return await self.get(computer_id)
        except NotFoundError:
            if not self._grace.covers(computer_id):
                raise
            return None


def _instructions(given: object) -> str | None:
    if given is None or isinstance(given, str):
        return given
    raise InvalidRequestError(f"agent_instructions must be a string, or None, not {given!r:.80}")


def _switches(views: object) -> dict[str, bool] | None:
    if views is None:
        return None
    given = cast("Mapping[object, object]", views) if isinstance(views, Mapping) else {"": views}
    if not all(isinstance(name, str) and name and isinstance(value, bool) for name, value in given.items()):
        raise InvalidRequestError(
            f"views must be a mapping of ids to bools, such as {{'files': True}}, not {views!r:.80}"
        )
    return {str(name): bool(value) for name, value in given.items()}


def _settled(computer: AgentComputer) -> bool:
    if computer.status == AgentComputerStatus.ERROR:
        reason = computer.provision_error or "the server gave no reason"
        raise ProvisionError(
            f"agent computer {computer.id} could not be provisioned: {reason}",
            computer=evolve(computer, sandbox_api_key=None),
        )
    return computer.is_ready


def _computer_id(computer: AgentComputer) -> str:
    return computer.id
