"""The event stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from emulator.raw_client import parse, read_frame, until
from rebyte_async.emulator import (
    StreamFormat,
    comment,
    delta,
    error,
    fail,
    hold,
    init,
    pause,
    raw,
    result,
    succeed,
    text,
    thinking,
    tool_result,
    tool_use,
)

if TYPE_CHECKING:
    from emulator.raw_client import RawClient
    from rebyte_async.emulator import Emulator


async def test_a_stream_has_the_documented_frames(emulator: Emulator, http: RawClient) -> None:
    """Event frames with all fields come first, then `done`, then the end of the response."""
    emulator.script(text("Hi"), succeed())
    task_id = await http.create()

    async with http.open(task_id) as response:
        event, done = parse(await response.read())

    prompt_id = (await http.task(task_id))["prompts"][0]["id"]
    assert response.headers["Content-Type"] == "text/event-stream"
    assert (event.name, done.name) == ("event", "done")
    assert event.data == {
        "seq": 1,
        "timestamp": event.data["timestamp"],
        "promptId": prompt_id,
        "eventKey": f"{prompt_id}:1",
        "eventType": "text",
        "payload": {"content": "Hi"},
    }
    assert done.data == {"status": "succeeded", "lastSeq": 1, "finalResult": "Hi"}


@pytest.mark.parametrize(
    ("steps", "types"),
    [
        ([text("Hi"), succeed("Bye")], ["text", "result"]),
        ([text("Bye"), tool_use("Bash"), succeed("Bye")], ["text", "tool_use", "result"]),
        ([tool_use("Bash"), text("Good B y e!"), succeed("Bye")], ["tool_use", "text"]),
        ([text("Hi"), fail("Bye")], ["text"]),
        ([text("Hi"), succeed("Bye"), pause(0)], ["text"]),
    ],
)
async def test_a_turn_that_succeeds_says_its_final_result(
    emulator: Emulator, http: RawClient, steps: list[Any], types: list[str]
) -> None:
    """A final result that no text after the last tool call has comes in a result event, unless more steps follow."""
    emulator.script(steps)
    *events, done = await http.frames(await http.create())
    assert [event.data["eventType"] for event in events] == types
    assert done.data["finalResult"] == "Bye"


async def test_what_was_said_before_a_tool_call_is_no_final_result(emulator: Emulator, http: RawClient) -> None:
    """A turn that ends on a tool call has an empty final result."""
    for steps in ([text("I look.")], [result("I look.")]):
        emulator.script(steps, tool_use("Bash"), tool_result("x"))
        assert (await http.frames(await http.create()))[-1].data["finalResult"] == ""


async def test_events_are_streamed_as_they_come(emulator: Emulator, http: RawClient) -> None:
    """Several clients can read the events while the agent continues."""
    emulator.script(text("one"), hold("first"), text("two"), hold("second"), text("three"))
    task_id = await http.create()

    async with http.open(task_id) as one, http.open(task_id) as other:
        assert (await read_frame(one)).data["payload"]["content"] == "one"
        emulator.release("first")
        assert (await read_frame(one)).data["payload"]["content"] == "two"
        emulator.release("second")
        rest, whole = parse(await one.read()), parse(await other.read())

    assert [frame.name for frame in rest] == ["event", "done"]
    assert len(whole) == 4


async def test_every_connect_replays_the_turn_from_its_start(emulator: Emulator, http: RawClient) -> None:
    """There is no resuming: a `Last-Event-ID` or a query changes nothing."""
    emulator.script(text("one"), text("two"))
    task_id = await http.create()

    first = await http.frames(task_id)
    headers = {"API_KEY": emulator.api_key, "Last-Event-ID": "1"}
    again = await http.call("GET", f"/tasks/{task_id}/events?after=1", headers=headers)

    assert parse(again.body) == first


async def test_the_stream_is_that_of_the_latest_prompt(emulator: Emulator, http: RawClient) -> None:
    """After a further prompt, a connection gets its turn alone, numbered from the start."""
    emulator.script(text("first turn"))
    emulator.script(text("second turn"))
    task_id = await http.create()
    await http.frames(task_id)

    response = await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "more"})
    event, done = await http.frames(task_id)

    assert response.status == 201
    assert event.data["promptId"] == response.json()["promptId"]
    assert (event.data["seq"], event.data["payload"]["content"]) == (1, "second turn")
    assert done.data["lastSeq"] == 1


async def test_a_prompt_waits_for_the_running_one(emulator: Emulator, http: RawClient) -> None:
    """A prompt is pending while another runs, and an earlier stream continues to its end."""
    emulator.script(text("first turn"), hold())
    task_id = await http.create()

    async with http.open(task_id) as response:
        await read_frame(response)
        await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "more"})
        waiting = await http.task(task_id)
        emulator.release()
        rest = parse(await response.read())
    await http.frames(task_id)

    assert [prompt["status"] for prompt in waiting["prompts"]] == ["running", "pending"]
    assert [frame.name for frame in rest] == ["done"]
    assert [prompt["status"] for prompt in (await http.task(task_id))["prompts"]] == ["succeeded", "succeeded"]


async def test_events_can_come_after_the_end(emulator: Emulator, http: RawClient) -> None:
    """Steps after the end of a turn are late: `done` and the end of the task can be read before their events."""
    emulator.script(text("early"), succeed("late"), hold(), text("late"))
    task_id = await http.create()

    early = await http.frames(task_id)
    status = (await http.task(task_id))["status"]
    await emulator.reached()
    emulator.release()

    async def came() -> bool:
        return len(await http.frames(task_id)) > len(early)

    await until(came)
    late = await http.frames(task_id)

    assert (status, len(early)) == ("completed", 2)
    assert [frame.data.get("seq") for frame in late] == [1, 2, None]
    assert late[-1].data["lastSeq"] == 2


async def test_every_kind_of_event_can_be_scripted(emulator: Emulator, http: RawClient) -> None:
    """The payloads have the contract's field names, and any other form is sent as given."""
    emulator.script(
        init("s1", model="claude", cwd="/code"),
        thinking("Hm"),
        text("Hello"),
        delta(" there"),
        tool_use("Bash", {"command": "ls"}, tool_id="t1"),
        tool_result("README.md", is_error=False),
        error("Careful"),
        result("Done", status="success", duration_ms=3, usage={"input_tokens": 1}),
        raw("tool_use", tool_id="t2", tool_name="Read", params={"path": "x"}),
        raw("telemetry", {"cpu": 0.5}),
    )
    frames = await http.frames(await http.create())

    assert [(frame.data["eventType"], frame.data["payload"]) for frame in frames[:-1]] == [
        ("init", {"session_id": "s1", "model": "claude", "cwd": "/code"}),
        ("thinking", {"content": "Hm"}),
        ("text", {"content": "Hello"}),
        ("text", {"content": " there", "is_delta": True}),
        ("tool_use", {"id": "t1", "name": "Bash", "input": {"command": "ls"}}),
        ("tool_result", {"id": "t1", "output": "README.md", "is_error": False}),
        ("error", {"message": "Careful"}),
        ("result", {"result": "Done", "status": "success", "duration_ms": 3, "usage": {"input_tokens": 1}}),
        ("tool_use", {"tool_id": "t2", "tool_name": "Read", "params": {"path": "x"}}),
        ("telemetry", {"cpu": 0.5}),
    ]
    assert frames[-1].data["finalResult"] == ""


@pytest.mark.parametrize(
    ("steps", "final"),
    [
        ([text("one"), text("two")], "two"),
        ([text("Hel"), delta("lo")], "Hello"),
        ([delta("a"), tool_use("Bash"), delta("b"), delta("c")], "bc"),
        ([raw("assistant", text="alias")], "alias"),
        ([text("said"), result("summed up")], "summed up"),
        ([text("said"), result(status="success")], "said"),
        ([], ""),
    ],
)
async def test_the_final_result_is_the_last_text(
    emulator: Emulator, http: RawClient, steps: list[object], final: str
) -> None:
    """Unless a script gives one, the final result is the text of the result event or of the last block."""
    emulator.script(steps)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    assert (await http.frames(await http.create()))[-1].data["finalResult"] == final


async def test_the_format_can_be_set_where_the_contract_leaves_it_open(emulator: Emulator, http: RawClient) -> None:
    """Event keys, the first number, ids and retry can be set."""
    emulator.stream = StreamFormat(event_keys=False, first_seq=0, ids=True, retry=250)
    emulator.script(text("a"), text("b"))

    retry, first, second, done = await http.frames(await http.create())

    assert retry.fields == {"retry": "250"}
    assert [first.fields["id"], second.fields["id"]] == ["0", "1"]
    assert "eventKey" not in first.data
    assert done.data["lastSeq"] == 1
    assert "id" not in done.fields


async def test_comments_are_no_events(emulator: Emulator, http: RawClient) -> None:
    """A comment line comes where the script has it, and takes no number."""
    emulator.script(text("a"), comment("still here"), text("b"))

    frames = await http.frames(await http.create())

    assert frames[1].comments == ("still here",)
    assert [frame.data["seq"] for frame in (frames[0], frames[2])] == [1, 2]


async def test_heartbeats_can_be_sent(emulator: Emulator, http: RawClient) -> None:
    """A stream without events sends comments."""
    emulator.stream = StreamFormat(heartbeat=0.005)
    emulator.script(hold())

    async with http.open(await http.create()) as response:
        frames = [await read_frame(response) for _ in range(3)]

    assert [frame.comments for frame in frames] == [("heartbeat",)] * 3


async def test_many_streams_wait_side_by_side(emulator: Emulator, http: RawClient) -> None:
    """All streams of a turn wake at once."""
    emulator.script(hold(), text("now"))
    task_id = await http.create()

    readers = [asyncio.create_task(http.frames(task_id)) for _ in range(90)]
    await emulator.reached()
    emulator.release()

    assert {len(frames) for frames in await asyncio.gather(*readers)} == {2}


async def test_a_stream_ends_when_its_client_disconnects(emulator: Emulator, http: RawClient) -> None:
    """The handler is stopped."""
    emulator.script(text("a"), hold())
    async with http.open(await http.create()) as response:
        await read_frame(response)
        assert not emulator.log[-1].ended
        response.close()

    async def ended() -> bool:
        return emulator.log[-1].ended

    await until(ended)
