"""Runs, and waiting for the end of a task, against the emulator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from rebyte_async import AsyncRebyte, RetryPolicy, errors
from rebyte_async.emulator import Drop, Emulator, Match, Status, artifact, fail, hold, pause, succeed
from rebyte_async.emulator import text as says
from rebyte_async.types import TaskResult, TextEvent
from support.clients import SkippedTime, client_of
from support.raw_server import DROP, RawRequest, RawServer, http_response, json_response
from support.task_server import SILENCE, TASK_ID, TaskServer, done, text


def creates(emulator: Emulator) -> int:
    """Count the creates that the emulator received."""
    return len([record for record in emulator.log if (record.method, record.path) == ("POST", "/tasks")])


async def test_awaiting_a_run_gives_its_result(emulator: Emulator, client: AsyncRebyte) -> None:
    """One call leads from a prompt to its final result."""
    emulator.script(says("The answer "), says("is 42."), succeed("42"))
    result = await client.tasks.run("What is the answer?")
    assert (result.status, result.final_result, result.text) == ("completed", "42", "The answer \n\nis 42.")
    assert client.stats().open_streams == 0


async def test_a_failed_run_leaves_no_connection() -> None:
    """A failed run closes its stream, because nothing else can; here a frame is no event."""
    task = TaskServer([[b'event: event\ndata: {"seq": 1}\n\n', SILENCE]])

    async def handler(request: RawRequest) -> Any:
        return json_response({"id": TASK_ID}, 201) if request.method == "POST" else await task(request)

    async with RawServer(handler) as server, client_of(server.url) as client:
        with pytest.raises(errors.DecodeError):
            await client.tasks.run("Do it")
        assert client.stats().open_streams == 0


async def test_a_run_starts_once(emulator: Emulator, client: AsyncRebyte) -> None:
    """Awaiting and iterating a run, again and at the same time, starts one task."""
    run = client.tasks.run("Do it")

    async def wait() -> TaskResult:
        return await run

    assert run.task_id is None
    events = [event async for event in run]
    assert run.stream is not None
    assert run.stream.done is not None
    first, second = await asyncio.gather(wait(), wait())
    assert first == second == await run
    assert first.events_seen == len(events)
    assert [event async for event in run] == []
    assert creates(emulator) == 1
    assert run.task_id == first.task_id


async def test_a_run_sends_nothing_before_it_is_used(emulator: Emulator, client: AsyncRebyte) -> None:
    """Making a run sends nothing."""
    async with client.tasks.run("Do it") as run:
        assert run.stream is None
    await anyio.sleep(0.02)
    assert creates(emulator) == 0


async def test_a_failed_run_raises_with_its_result(emulator: Emulator, client: AsyncRebyte) -> None:
    """`check` raises an error with the result of a failed turn; without it, the result is returned."""
    emulator.script(says("I tried"), fail("out of luck"), times=2)
    with pytest.raises(errors.TaskFailedError) as caught:
        await client.tasks.run("Do it")
    assert caught.value.result.text == "I tried"
    assert (await client.tasks.run("Do it", check=False)).status == "failed"


async def test_a_run_canceled_elsewhere_raises(emulator: Emulator, client: AsyncRebyte) -> None:
    """A cancel from elsewhere raises TaskCanceledError."""
    emulator.script(says("working"), hold())
    run = client.tasks.run("Do it")
    async for _ in run:
        assert run.task_id is not None
        await client.tasks.cancel(run.task_id)
    with pytest.raises(errors.TaskCanceledError):
        await run


async def test_a_run_of_a_task_follows_its_own_turn_alone(emulator: Emulator, client: AsyncRebyte) -> None:
    """With a task's id, a run prompts the task and follows that turn alone."""
    first = await client.tasks.run("One")
    emulator.script(says("second turn"), succeed("two"))
    run = client.tasks.run("Two", task_id=first.task_id)
    texts = [event.text async for event in run if isinstance(event, TextEvent)]
    assert texts == ["second turn"]
    assert (await run).final_result == "two"
    assert (await run).task_id == first.task_id
    assert creates(emulator) == 1


async def test_a_cancelled_wait_leaves_the_remote_task_running(emulator: Emulator, client: AsyncRebyte) -> None:
    """By default only the local wait ends; awaiting again resumes it, without a second task."""
    emulator.script(says("a"), hold(), says("b"), succeed("ab"))
    run = client.tasks.run("Do it")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await run
    assert client.stats().open_streams == 0
    assert run.task_id is not None
    assert (await client.tasks.get(run.task_id)).status == "running"
    emulator.release()
    result = await run
    assert result.text == "a\n\nb"
    assert creates(emulator) == 1


@pytest.mark.parametrize("way", ["timeout", "cancel", "scope", "iterating"])
async def test_cancel_remote_cancels_the_remote_task(emulator: Emulator, client: AsyncRebyte, way: str) -> None:
    """However the local wait is cancelled, the remote task is canceled before the wait ends."""
    emulator.script(says("a"), hold())
    run = client.tasks.run("Do it", cancel_remote=True)
    if way == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await run
    elif way == "scope":
        with anyio.move_on_after(0.2):
            await run
    else:

        async def use() -> None:
            if way == "cancel":
                await run
            else:
                async for _ in run:
                    pass

        task = asyncio.create_task(use())
        await emulator.reached()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert run.task_id is not None
    assert (await client.tasks.get(run.task_id)).status == "canceled"
    assert client.stats().open_streams == 0


async def test_cancel_remote_waits_for_the_submit() -> None:
    """A wait cancelled during the create cancels the task as soon as its id is known."""
    async with Emulator(boot=0.3) as slow, AsyncRebyte(slow.api_key, base_url=slow.url) as client:
        slow.script(hold(), times=None)
        run = client.tasks.run("Do it", cancel_remote=True)
        with anyio.move_on_after(0.1):
            await run
        (task,) = (await client.tasks.list()).data
        assert (await client.tasks.get(task.id)).status == "canceled"


async def test_a_cancelled_submit_is_not_sent_again() -> None:
    """After a wait cancelled during the create, awaiting again raises an error instead of paying twice."""
    async with Emulator(boot=0.3) as slow, AsyncRebyte(slow.api_key, base_url=slow.url) as client:
        run = client.tasks.run("Do it")
        with anyio.move_on_after(0.1):
            await run
        for _ in range(2):
            with pytest.raises(errors.AmbiguousRequestError, match="may have started"):
                await run
        assert len([record for record in slow.log if record.method == "POST"]) <= 1


async def test_a_run_never_repeats_an_ambiguous_create(emulator: Emulator, client: AsyncRebyte) -> None:
    """A run whose create failed raises the same error each time."""
    emulator.faults.add(Drop(), match=Match("POST", "/tasks"))
    run = client.tasks.run("Do it")
    for _ in range(2):
        with pytest.raises(errors.AmbiguousRequestError):
            await run
    assert creates(emulator) == 1


async def test_wait_returns_the_terminal_task(emulator: Emulator, client: AsyncRebyte) -> None:
    """The stream reports the end, and one read returns the task."""
    emulator.script(pause(0.1), says("done"), succeed("done"))
    task = await client.tasks.create("Do it")
    ended = await client.tasks.wait(task.id, timeout=10)
    assert ended.is_terminal
    assert ended.final_result == "done"
    assert len([record for record in emulator.log if record.path == f"/tasks/{task.id}"]) == 1


async def test_wait_reads_the_task_when_its_stream_fails(emulator: Emulator, client: AsyncRebyte) -> None:
    """Without its stream, the task is read at intervals."""
    for status in (500, 404, 400):
        emulator.clear()
        emulator.faults.add(Status(status), match=Match("GET", "/events"), times=None)
        task = await client.tasks.create("Do it")
        quick = client.with_options(retry=RetryPolicy(max_attempts=2, base_delay=0.01))
        assert (await quick.tasks.wait(task.id, timeout=10)).is_terminal


async def test_wait_with_a_receiver_opens_no_stream(emulator: Emulator, client: AsyncRebyte) -> None:
    """A receiver's hint ends the wait; the stream isn't opened."""

    class Hints:
        """Gives a hint when the task has ended."""

        async def ended(self, task_id: str, after: int = 0) -> int:
            """Wait for a hint."""
            while not (await client.tasks.get(task_id)).is_terminal:
                await anyio.sleep(0.01)
            return after + 1

    task = await client.tasks.create("Do it")
    assert (await client.tasks.wait(task.id, timeout=10, receiver=Hints())).is_terminal
    assert not [record for record in emulator.log if record.path == f"/tasks/{task.id}/events"]


async def test_wait_has_one_deadline(emulator: Emulator, client: AsyncRebyte) -> None:
    """The timeout covers everything, and the error names the task."""
    emulator.script(hold())
    task = await client.tasks.create("Do it")
    with pytest.raises(errors.WaitTimeoutError) as caught:
        await client.tasks.wait(task.id, timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.resource_id == task.id
    assert (await client.tasks.get(task.id)).status == "running"


async def test_waiting_for_an_unknown_task_raises_at_once(client: AsyncRebyte) -> None:
    """The wait for a task that doesn't exist fails at once."""
    with pytest.raises(errors.NotFoundError), anyio.fail_after(2):
        await client.tasks.wait("3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0001")


async def test_the_creation_grace_covers_a_wait() -> None:
    """Right after this client's own create, a 404 doesn't end the wait."""
    missing = json_response({"error": {"code": "not_found", "message": "not yet"}}, 404)
    end = [text(1, "42"), done("succeeded", 1, "42")]
    task = TaskServer([[missing], [missing], end], [missing, missing, {"status": "completed"}])

    async def handler(request: RawRequest) -> Any:
        return json_response({"id": TASK_ID}, 201) if request.method == "POST" else await task(request)

    async with RawServer(handler) as server, client_of(server.url, _time=SkippedTime().time) as client:
        created = await client.tasks.create("Do it")
        assert (await client.tasks.wait(created.id)).status == "completed"


async def test_an_end_that_the_stream_reported_survives_the_deadline() -> None:
    """An end that the stream reported counts, though the deadline passes while the task is read."""

    class Stuck(TaskServer):
        async def __call__(self, request: RawRequest) -> Any:
            if not request.path.endswith("/events"):
                await anyio.sleep_forever()
            return await super().__call__(request)

    task = Stuck([[text(1, "42"), done("succeeded", 1, "42")]])
    async with RawServer(task) as server, client_of(server.url) as client:
        ended = await client.tasks.wait(TASK_ID, timeout=0.3)
    assert (ended.id, ended.status, ended.final_result) == (TASK_ID, "completed", "42")


async def test_a_wait_raises_when_all_its_reads_fail() -> None:
    """When the stream and all reads fail, the wait raises the reason."""
    task = TaskServer([[DROP]], [http_response(500)])
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        with pytest.raises(errors.ServerError):
            await client.tasks.wait(TASK_ID)


async def test_async_with_closes_a_run_after_an_early_break() -> None:
    """`async with` closes the stream after a break."""
    task = TaskServer([[text(1, "a"), SILENCE]])

    async def handler(request: RawRequest) -> Any:
        return json_response({"id": TASK_ID}, 201) if request.method == "POST" else await task(request)

    async with RawServer(handler) as server, client_of(server.url) as client:
        async with client.tasks.run("Do it") as run:
            async for _ in run:
                break
            assert client.stats().open_streams == 1
        assert client.stats().open_streams == 0


async def test_a_consumer_cancelled_between_events_cancels_the_remote_task(
    emulator: Emulator, client: AsyncRebyte
) -> None:
    """A cancellation while an event is handled cancels the remote task as well."""
    emulator.script(says("a"), hold())
    run = client.tasks.run("Do it", cancel_remote=True)
    with anyio.move_on_after(0.2):
        async with run:
            async for _ in run:
                await anyio.sleep_forever()
    assert run.task_id is not None
    assert (await client.tasks.get(run.task_id)).status == "canceled"


async def test_a_run_cancelled_during_its_submit_has_a_result() -> None:
    """With `cancel_remote` the task's id is known, so awaiting again follows the task."""
    async with Emulator(boot=0.3) as slow, AsyncRebyte(slow.api_key, base_url=slow.url) as client:
        slow.script(hold(), times=None)
        run = client.tasks.run("Do it", cancel_remote=True, check=False)
        with anyio.move_on_after(0.1):
            await run
        assert (await run).status == "canceled"


async def test_a_run_cancelled_while_it_uploads_has_started_nothing(emulator: Emulator, client: AsyncRebyte) -> None:
    """Before the create was sent, nothing is ambiguous: awaiting again starts the run."""

    class SlowAtFirst:
        """Bytes that never end when they are first read, and are few when they are read again."""

        def __init__(self) -> None:
            self.is_first = True

        async def __aiter__(self) -> AsyncIterator[bytes]:
            endless, self.is_first = self.is_first, False
            yield b"x"
            while endless:
                await anyio.sleep(0.01)
                yield b"x"

    run = client.tasks.run("Do it", files=[("a", SlowAtFirst())], cancel_remote=True)
    with anyio.move_on_after(0.1):
        await run
    assert creates(emulator) == 0
    assert (await run).status == "completed"
    assert creates(emulator) == 1


async def test_wait_reads_the_task_when_only_its_stream_is_forbidden() -> None:
    """A key that may read tasks but not their streams can still wait."""
    task = TaskServer([[http_response(403)]], [{"status": "running"}, {"status": "completed"}])
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        assert (await client.tasks.wait(TASK_ID)).status == "completed"


async def test_a_run_has_what_its_stream_has(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """A run knows its task, workspace, prompt, cursor, end and result, and reaches the artifacts that it left."""
    rebyte_emulator.script(says("one "), says("two"), artifact("out.txt", b"42"))
    run = rebyte_client.tasks.run("Do it")
    assert repr(run) == "<TaskRun that has not started>"
    assert [run.task, run.task_id, run.workspace_id, run.prompt_id, run.cursor, run.done, run.result] == [None] * 7
    await run.cancel()
    pieces = [piece async for piece in run.text()]
    assert run.task is not None
    assert run.stream is not None
    assert (run.task_id, run.workspace_id) == (run.task.id, run.task.workspace_id)
    assert (run.prompt_id, run.cursor, run.done) == (run.stream.prompt_id, run.stream.cursor, run.stream.done)
    result = await run
    assert ("".join(pieces), run.result, result.workspace_id) == (result.text, result, run.workspace_id)
    assert result.workspace_id is not None
    assert await rebyte_client.artifacts.read(result.workspace_id, "out.txt") == b"42"
    assert repr(run).startswith(f"<TaskRun of task {run.task_id}: ")
    await run.cancel()
    await run.aclose()


async def test_a_run_is_canceled(rebyte_emulator: Emulator, rebyte_client: AsyncRebyte) -> None:
    """`cancel` ends the remote task, which the run then reports."""
    rebyte_emulator.script(says("begun"), hold())
    run = rebyte_client.tasks.run("Do it", check=False)
    assert "begun" in await anext(run.text())
    await run.cancel()
    assert (await run).status == "canceled"


async def test_a_next_turn_knows_its_task(rebyte_client: AsyncRebyte) -> None:
    """The next turn of a task has its id; its workspace isn't known without another read."""
    first = await rebyte_client.tasks.run("One")
    run = rebyte_client.tasks.run("Two", task_id=first.task_id)
    result = await run
    assert (result.task_id, run.task, result.workspace_id) == (first.task_id, None, None)
