"""Test an application of the SDK against the emulator: no key, no network, no cost.

    pytest examples/test_with_the_emulator.py

The fixtures `rebyte_emulator` and `rebyte_client` come with the package.
"""
# ruff: noqa: S101 - asserting is what tests do, and this one shall be short

from __future__ import annotations

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Cut, Drop, Emulator, Match, delta, fail, hold, text, tool_result, tool_use
from rebyte_async.errors import AmbiguousRequestError, TaskFailedError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The SDK is for asyncio."""
    return "asyncio"


async def review(client: AsyncRebyte, repository: str) -> str:
    """The application under test: ask an agent for a review."""
    try:
        result = await client.tasks.run("Review this repository", github_url=repository)
    except TaskFailedError as error:
        return f"no review: {error.result.final_result}"
    return result.final_result


async def test_a_review(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """The answer is the review, and the agent was asked for the right repository."""
    rebyte_emulator.script(tool_use("Bash", {"command": "git log"}), tool_result("…"), delta("All "), delta("good."))
    assert await review(rebyte_client, "owner/repo") == "All good."
    (request,) = rebyte_emulator.log.select("POST", "/tasks")
    assert request.json()["githubUrl"] == "owner/repo"


async def test_an_agent_that_fails(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """A failed task is reported as failed."""
    rebyte_emulator.script(text("Nothing here."), fail("the repository is empty"))
    assert await review(rebyte_client, "owner/repo") == "no review: the repository is empty"


async def test_a_bad_network(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """A stream that is cut after its first event loses nothing."""
    rebyte_emulator.script(text("First."), text("All good."))
    rebyte_emulator.faults.add(Cut(events=1))
    assert await review(rebyte_client, "owner/repo") == "All good."


async def test_a_lost_answer(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """A create whose answer is lost is not sent again."""
    rebyte_emulator.faults.add(Drop("after"), Match("POST", "/tasks"))
    with pytest.raises(AmbiguousRequestError):
        await review(rebyte_client, "owner/repo")
    assert len(rebyte_emulator.tasks) == 1


async def test_something_in_the_middle(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """A gate holds the agent where the test wants to look."""
    rebyte_emulator.script(text("Working."), hold("gate"), text("Done."))
    async with rebyte_client.tasks.run("Review this repository") as run:
        await anext(run)
        await rebyte_emulator.reached("gate")
        assert run.task_id is not None
        assert (await rebyte_client.tasks.get(run.task_id)).status == "running"
        rebyte_emulator.release("gate")
        assert (await run).final_result == "Done."
