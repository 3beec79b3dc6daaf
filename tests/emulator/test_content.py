"""The content of tasks, and the events of delegated prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.raw_client import until
from rebyte_async.emulator import delegate, hold, succeed, text

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator


async def test_content_has_prompts_and_responses(emulator: Emulator, http: RawClient) -> None:
    """Every prompt's text and response come in order, with the events only on request."""
    emulator.script(text("Hello"), succeed())
    task_id = await http.create("Say hello")
    frames = await http.frames(task_id)

    plain = (await http.call("GET", f"/tasks/{task_id}/content")).json()
    full = (await http.call("GET", f"/tasks/{task_id}/content?include=events")).json()

    prompt = plain["prompts"][0]
    assert (plain["id"], plain["status"]) == (task_id, "completed")
    assert (prompt["userPrompt"], prompt["response"], prompt["status"]) == ("Say hello", "Hello", "succeeded")
    assert "events" not in prompt
    assert full["prompts"][0]["events"] == [frames[0].data]


async def test_content_has_no_response_while_the_agent_works(emulator: Emulator, http: RawClient) -> None:
    """The response is null until the prompt has ended."""
    emulator.script(hold())
    task_id = await http.create()

    content = (await http.call("GET", f"/tasks/{task_id}/content")).json()

    assert (content["status"], content["prompts"][0]["response"]) == ("running", None)


async def test_a_delegated_prompt_has_its_own_events(emulator: Emulator, http: RawClient) -> None:
    """The task's events name the sub-prompt, whose own events, also the late ones, are read separately."""
    emulator.script(delegate("Look it up", text("Found it"), late=[hold(), text("One more")]), text("All done"))
    task_id = await http.create()
    use, tool_result, last, _ = await http.frames(task_id)
    path = f"/tasks/{task_id}/prompts/{use.data['payload']['subPromptId']}/events"

    early = (await http.call("GET", path)).json()
    emulator.release()

    async def came() -> bool:
        return len((await http.call("GET", path)).json()["events"]) > 1

    await until(came)
    late = (await http.call("GET", path)).json()

    assert [frame.data["eventType"] for frame in (use, tool_result, last)] == ["tool_use", "tool_result", "text"]
    assert use.data["payload"]["id"] == tool_result.data["payload"]["id"]
    assert tool_result.data["payload"]["subPromptId"] == early["promptId"] == use.data["payload"]["subPromptId"]
    assert tool_result.data["payload"]["output"] == "Found it"
    assert [event["payload"]["content"] for event in early["events"]] == ["Found it"]
    assert [event["seq"] for event in late["events"]] == [1, 2]
    assert {event["promptId"] for event in late["events"]} == {early["promptId"]}


async def test_a_turn_is_no_delegated_prompt(emulator: Emulator, http: RawClient) -> None:
    """The events of a task's own prompts are only in the stream, and delegated prompts are no turns."""
    emulator.script(delegate("Look it up"))
    task_id = await http.create()
    await http.frames(task_id)
    prompts = (await http.task(task_id))["prompts"]

    response = await http.call("GET", f"/tasks/{task_id}/prompts/{prompts[0]['id']}/events")

    assert (response.status, response.code, len(prompts)) == (404, "not_found", 1)
