"""Delegations: what sub-prompts do, in the stream of the turn that delegated."""

from __future__ import annotations

from typing import Any

import pytest

from rebyte_async import RetryPolicy
from support.clients import SkippedTime, client_of
from support.raw_server import RawServer, http_response
from support.task_server import SILENCE, TASK_ID, TaskServer, done, text, tool_result, tool_use

RUNNING = {"status": "running", "prompts": [{"id": "p1", "status": "running"}]}
START = tool_use(1, subPromptId="s1")
RESULT = tool_result(2, subPromptId="s1")
TURN = [START, RESULT, text(3, "done"), done("succeeded", 3, "done")]


def sub(seq: int, *, prompt: str | None = "s1", key: str | None = None) -> dict[str, Any]:
    """Return an event of the sub-prompt."""
    document: dict[str, Any] = {"seq": seq, "eventType": "text", "payload": {"content": f"sub {seq}"}}
    if prompt is not None:
        document["promptId"] = prompt
    if key is not None:
        document["eventKey"] = key
    return document


async def follow(task: TaskServer, **options: Any) -> list[tuple[str | None, int | None]]:
    """Follow a turn and return its events by prompt and number."""
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        async with client.tasks.events(TASK_ID, follow_subprompts=True, **options) as stream:
            return [(event.prompt_id, event.seq) async for event in stream]


@pytest.mark.parametrize("marked", [True, False])
async def test_the_events_of_a_delegation_name_their_sub_prompt(*, marked: bool) -> None:
    """A delegation's events have its own prompt id, even where the server leaves it out."""
    events = [sub(seq, prompt="s1" if marked else None) for seq in (1, 2)]
    got = await follow(TaskServer([TURN], prompt_events=[events]))
    assert sorted(got, key=str) == [("p1", 1), ("p1", 2), ("p1", 3), ("s1", 1), ("s1", 2)]


async def test_the_events_of_a_delegation_come_while_it_runs() -> None:
    """A silent turn doesn't delay the events of its delegation."""
    task = TaskServer(
        [[START, SILENCE]], [RUNNING], prompt_events=[[sub(1)], [sub(1), sub(2)], [sub(1), sub(2), sub(3)]]
    )
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        async with client.tasks.events(TASK_ID, follow_subprompts=True) as stream:
            got = [(event.prompt_id, event.seq) for event in [await anext(stream) for _ in range(4)]]
    assert got == [("p1", 1), ("s1", 1), ("s1", 2), ("s1", 3)]


async def test_late_events_of_a_delegation_are_not_missed() -> None:
    """Events that appear after the delegation's result are read before the turn ends."""
    reads = [[], [sub(1)], [sub(1), sub(2)], [sub(1), sub(2), sub(3)]]
    got = await follow(TaskServer([TURN], prompt_events=reads))
    assert [place for place in got if place[0] == "s1"] == [("s1", 1), ("s1", 2), ("s1", 3)]


async def test_a_missing_sub_prompt_is_no_failure() -> None:
    """The endpoint may not have it yet, or ever."""
    assert await follow(TaskServer([TURN], prompt_events=[http_response(404)])) == [("p1", 1), ("p1", 2), ("p1", 3)]


async def test_keys_of_a_sub_prompt_are_its_own() -> None:
    """The same key in the turn and in a delegation names two events."""
    turn = [tool_use(1, key="k1", subPromptId="s1"), RESULT, text(3, "done"), done("succeeded", 3, "done")]
    got = await follow(TaskServer([turn], prompt_events=[[sub(1, key="k1")]]))
    assert ("s1", 1) in got
    assert ("p1", 1) in got


async def test_the_words_of_a_delegation_are_not_the_turns_words() -> None:
    """The result's text is what the turn itself said."""
    async with (
        RawServer(TaskServer([TURN], prompt_events=[[sub(1)]])) as server,
        client_of(server.url, _time=SkippedTime().time) as client,
    ):
        result = await client.tasks.events(TASK_ID, follow_subprompts=True).until_done()
    assert result.text == "done"
    assert result.events_seen == 4


@pytest.mark.parametrize("named", ["number", "key", "nothing"])
async def test_a_resume_after_the_call_still_follows_the_delegation(named: str) -> None:
    """The call that a cursor covers is not delivered again, but the events of its delegation are, each once."""
    events = [sub(seq, key=f"k{seq}" if named == "key" else None) for seq in (1, 2)]
    if named == "nothing":
        events = [{name: value for name, value in item.items() if name != "seq"} for item in events]
    async with (
        RawServer(TaskServer([TURN], prompt_events=[events])) as server,
        client_of(server.url, _time=SkippedTime().time) as client,
    ):
        async with client.tasks.events(TASK_ID, follow_subprompts=True) as stream:
            await anext(stream)
        for expected in (["p1", "p1", "s1", "s1"], []):
            async with client.tasks.events(TASK_ID, follow_subprompts=True, after=stream.cursor) as stream:
                assert sorted([str(event.prompt_id) async for event in stream]) == expected


async def test_failed_reads_of_a_delegation_at_the_end_are_repeated() -> None:
    """A failed read doesn't count as a quiet one, so that late events aren't missed."""
    policy = RetryPolicy(max_attempts=3, base_delay=0)
    page = http_response(200, b"<html>", Content_Type="text/html")
    task = TaskServer([TURN], prompt_events=[page, page, [sub(1)]])
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time, retry=policy) as client:
        result = await client.tasks.events(TASK_ID, follow_subprompts=True).until_done()
    assert result.events_seen == 4
