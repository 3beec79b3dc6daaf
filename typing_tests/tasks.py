"""Type-checked, never run: the results of the calls of `client.tasks`."""

from typing import assert_type

from rebyte_async import AsyncRebyte, TaskEventStream, merge
from rebyte_async.resources import Listing, TaskRun
from rebyte_async.types import (
    Attachment,
    Done,
    Executor,
    Health,
    Page,
    Progress,
    Prompt,
    QuestionAnswer,
    QuestionEvent,
    Task,
    TaskContent,
    TaskEvent,
    TaskResult,
    TaskStatus,
    Visibility,
    VisibilityName,
    VisibilitySetting,
)


async def a_listing_is_awaited_or_iterated(client: AsyncRebyte) -> None:
    listing = client.tasks.list(limit=10)
    assert_type(listing, Listing[Task])
    assert_type(await listing, Page[Task])
    assert_type((await client.tasks.list()).data, tuple[Task, ...])
    assert_type((await listing).total, int | None)
    async for task in client.tasks.list():
        assert_type(task, Task)
    assert_type([task async for task in listing], list[Task])


async def a_run_is_awaited_or_iterated(client: AsyncRebyte) -> None:
    run = client.tasks.run("Do it", executor="codex", cancel_remote=True)
    assert_type(run, TaskRun)
    async with run as same:
        assert_type(same, TaskRun)
        async for event in same:
            assert_type(event, TaskEvent)
    assert_type(await run, TaskResult)
    assert_type(run.task_id, str | None)
    assert_type(run.stream, TaskEventStream | None)
    result = await client.tasks.run("And now?", task_id="t", check=False)
    assert_type(result.status, TaskStatus | str | None)
    assert_type(result.final_result, str)


async def a_stream_gives_events_text_or_a_result(client: AsyncRebyte) -> None:
    stream = client.tasks.events("t", prompt_id="p", after=None, follow_subprompts=True, idle_timeout=60)
    assert_type(stream, TaskEventStream)
    async with stream as same:
        assert_type(same, TaskEventStream)
        assert_type(await anext(same), TaskEvent)
        async for event in same:
            assert_type(event, TaskEvent)
        async for piece in same.text():
            assert_type(piece, str)
    assert_type(stream.done, Done | None)
    assert_type(stream.cursor, str)
    assert_type(stream.reconnects, int)
    assert_type(stream.result, TaskResult)
    assert_type(await stream.until_done(), TaskResult)


async def streams_are_merged(client: AsyncRebyte) -> None:
    async for item in merge(client.tasks.events("a"), client.tasks.events("b")):
        assert_type(item, tuple[str, TaskEvent])


async def the_other_calls(client: AsyncRebyte, question: QuestionEvent) -> None:
    task = await client.tasks.create("Do it", skills=["pdf"], extra={"new": 1})
    assert_type(task, Task)
    assert_type(task.status, TaskStatus | str | None)
    assert_type(task.is_terminal, bool)
    assert_type(task.prompts, tuple[Prompt, ...] | None)
    assert_type(await client.tasks.get("t"), Task)
    assert_type(await client.tasks.wait("t", timeout=5), Task)
    assert_type(await client.tasks.prompt("t", "And now?"), Prompt)
    assert_type(await client.tasks.set_visibility("t", Visibility.PUBLIC), VisibilitySetting)
    assert_type(await client.tasks.set_visibility("t", "public"), VisibilitySetting)
    assert_type(await client.tasks.content("t", include_events=True), TaskContent)
    assert_type(await client.tasks.prompt_events("t", "p"), tuple[TaskEvent, ...])
    await client.tasks.answer("t", question, options=[0, "left", question.options[0]], text="or this")
    await client.tasks.answer("t", None, answers=[QuestionAnswer("left"), QuestionAnswer([0, 1], "or this")])
    assert_type(await client.tasks.pending_question("t"), QuestionEvent | None)
    await client.tasks.cancel("t")
    await client.tasks.delete("t")


async def the_client(client: AsyncRebyte) -> None:
    async with AsyncRebyte() as own:
        assert_type(own, AsyncRebyte)
    assert_type(client.with_options(headers={"X-A": "b"}), AsyncRebyte)
    assert_type(await client.health(), Health)
    assert_type(client.stats().requests, int)


async def an_application_passes_the_types_of_arguments_on(
    client: AsyncRebyte, executor: Executor, files: list[Attachment], level: VisibilityName, progress: Progress
) -> None:
    task = await client.tasks.create("Do it", executor=executor, files=files)
    assert_type(await client.tasks.set_visibility(task.id, level), VisibilitySetting)
    await client.tasks.set_visibility(task.id, Visibility.PUBLIC)
    await client.tasks.set_visibility(task.id, "private")
    await client.files.upload("a.csv", progress=progress)
