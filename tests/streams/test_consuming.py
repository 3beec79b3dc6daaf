"""Streams as applications consume them: read, broken off, closed, resumed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from zlib import crc32

import anyio
import pytest

from rebyte_async import RetryPolicy, errors
from rebyte_async._clock import Time
from rebyte_async.streams import TaskEventStream
from rebyte_async.types import Done, TaskStatus
from support.clients import SkippedTime, client_of
from support.raw_server import DROP, RawServer, chunk, http_response, stream_head
from support.task_server import CLOSE, SILENCE, TASK_ID, TaskServer, done, event, text, tool_result, tool_use

FRAMES = [text(seq, f"word {seq}") for seq in range(1, 7)]
END = done("succeeded", 6, "word 6")
RUNNING = {"status": "running", "prompts": [{"id": "p1", "status": "running"}]}


@pytest.mark.parametrize("keys", [False, True])
async def test_a_cursor_resumes_without_repeat_or_gap_at_every_place(*, keys: bool) -> None:
    """Wherever a consumer stopped, its cursor leads another client to exactly the rest."""
    frames = [text(seq, f"word {seq}", key=f"k{seq}" if keys else None) for seq in range(1, 7)]
    async with RawServer(TaskServer([[*frames, END]])) as server:
        for count in range(7):
            async with client_of(server.url) as client, client.tasks.events(TASK_ID) as stream:
                first = [(await anext(stream)).seq for _ in range(count)]
                cursor = stream.cursor
            async with client_of(server.url) as client, client.tasks.events(TASK_ID, after=cursor) as stream:
                rest = [event.seq async for event in stream]
                assert stream.prompt_id == "p1"
            assert first + rest == [1, 2, 3, 4, 5, 6]
            assert stream.done == Done(status=TaskStatus.COMPLETED, last_seq=6, final_result="word 6")


async def test_a_cursor_is_small() -> None:
    """A cursor doesn't grow with the turn, however its events are identified; a delegation adds at most 60."""
    prompt = "0193c9a2-5c1e-7aaa-9c61-1234567890ab"
    for keys in (False, True):
        frames = [text(seq, "x", prompt=prompt, key=f"a-rather-long-key-{seq}" if keys else None) for seq in range(500)]
        frames += [tool_use(500, prompt=prompt, subPromptId="s" * 200), text(1, "x", prompt="s" * 200)]
        lengths = list[int]()
        async with (
            RawServer(TaskServer([[*frames, SILENCE]])) as server,
            client_of(server.url) as client,
            client.tasks.events(TASK_ID) as stream,
        ):
            for _ in frames:
                await anext(stream)
                lengths.append(len(stream.cursor))
        assert max(lengths[:-1]) < 120
        assert lengths[-1] - lengths[-2] <= 60
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", stream.cursor)


async def test_a_cursor_of_an_earlier_version_is_refused() -> None:
    """A cursor that an earlier version wrote is an error that says to read from the beginning."""
    head = f"1.{crc32(TASK_ID.encode()):08x}.pcDE.1~7."
    async with client_of("http://127.0.0.1:9/v1") as client:
        with pytest.raises(errors.InvalidRequestError, match="another version of this package: leave it out"):
            client.tasks.events(TASK_ID, after=f"{head}.{crc32(head.encode()):08x}")


@pytest.mark.parametrize("wrong", ["", "x", "1.2.3", "1......", 5, "0" * 40])
async def test_an_invalid_cursor_is_refused(wrong: Any) -> None:
    """A damaged cursor, or one of another task, is an error before anything is sent."""
    async with client_of("http://127.0.0.1:9/v1") as client:
        with pytest.raises(errors.InvalidRequestError, match="after"):
            client.tasks.events(TASK_ID, after=wrong)
        cursor = client.tasks.events(TASK_ID).cursor
        for other in (cursor[:-1], cursor[1:], cursor.replace(".", "-")):
            with pytest.raises(errors.InvalidRequestError, match="after"):
                client.tasks.events(TASK_ID, after=other)
        with pytest.raises(errors.InvalidRequestError, match="another task"):
            client.tasks.events("t2", after=cursor)
        with pytest.raises(errors.InvalidRequestError, match="idle_timeout"):
            client.tasks.events(TASK_ID, idle_timeout=0)
        with pytest.raises(errors.InvalidRequestError, match="prompt_id"):
            client.tasks.events(TASK_ID, prompt_id="")
        with pytest.raises(errors.InvalidRequestError, match="task_id"):
            client.tasks.events("..")


async def test_a_cancelled_read_loses_nothing() -> None:
    """A consumer that times out again and again still gets every event once."""
    pace = anyio.Event()

    class Slow(TaskServer):
        async def _stream(self, pieces: list[Any]) -> AsyncIterator[Any]:
            async for piece in super()._stream(pieces):
                yield piece
                with anyio.move_on_after(0.02):
                    await pace.wait()

    async with RawServer(Slow([[*FRAMES, END]])) as server, client_of(server.url) as client:
        seqs: list[int | None] = []
        timeouts = 0
        async with client.tasks.events(TASK_ID) as stream:
            while stream.done is None:
                try:
                    async with asyncio.timeout(0.003):
                        seqs.append((await anext(stream)).seq)
                except TimeoutError:
                    timeouts += 1
                except StopAsyncIteration:
                    break
        assert timeouts > 5
        assert seqs == [1, 2, 3, 4, 5, 6]


class Slow(TaskServer):
    """A server whose responses come late: when `answer_at` is set, or after `delay` seconds."""

    def __init__(self, connects: list[list[Any]], **more: Any) -> None:
        super().__init__(connects, **more)
        self.answer_at = anyio.Event()
        self.delay = 60.0

    async def __call__(self, request: Any) -> Any:
        """Respond late."""
        response = await super().__call__(request)
        with anyio.move_on_after(self.delay):
            await self.answer_at.wait()
        return response


@contextlib.asynccontextmanager
async def impatient(server: Slow) -> AsyncGenerator[TaskEventStream]:
    """A stream whose first reads were cancelled while it waited for the response to its connect."""
    async with RawServer(server) as raw, client_of(raw.url) as client, client.tasks.events(TASK_ID) as stream:
        for _ in range(5):
            with anyio.move_on_after(0.05):
                await anext(stream)
        yield stream


async def test_a_read_that_is_cancelled_while_it_connects_leaves_the_connect_to_the_next() -> None:
    """However slow the head of the response is, the server is asked once, and its events come."""
    server = Slow([[*FRAMES, END]])
    async with impatient(server) as stream:
        assert server.streams == 1
        server.answer_at.set()
        assert [event.seq async for event in stream] == [1, 2, 3, 4, 5, 6]
    assert server.streams == 1


async def test_a_failure_after_a_cancelled_read_is_raised_by_the_next() -> None:
    """What the connect ends with isn't lost with the read that had begun it."""
    server = Slow([[http_response(403, b"{}")]])
    async with impatient(server) as stream:
        server.answer_at.set()
        with pytest.raises(errors.PermissionDeniedError):
            await anext(stream)
    assert server.streams == 1


@pytest.mark.parametrize("is_patient", [True, False])
async def test_looks_at_the_task_are_left_to_the_next_read_too(*, is_patient: bool) -> None:
    """Reads that are cancelled while the end of a turn is checked cost no more looks at the task than a patient one."""
    ended = {"status": "completed", "prompts": [{"id": "p1", "status": "completed"}]}
    server = Slow([[*FRAMES, done("unheard of", 6, "word 6")]], tasks=[ended])
    server.delay = 0.05
    async with RawServer(server) as raw, client_of(raw.url) as client, client.tasks.events(TASK_ID) as stream:
        while stream.done is None:
            with anyio.move_on_after(10 if is_patient else 0.005), contextlib.suppress(StopAsyncIteration):
                await anext(stream)
    assert (server.streams, server.reads) == (1, 1)


def forget(held: list[TaskEventStream]) -> None:
    """Drop what a list holds, tracebacks of cancelled reads included."""
    held.clear()
    gc.collect()


@pytest.mark.parametrize("how", ["close", "disconnect", "drop", "close the client"])
async def test_a_connect_that_no_read_waits_for_ends_with_the_stream(how: str) -> None:
    """A stream that is closed, disconnected or dropped while a cancelled read's connect is under way leaves nothing."""
    server = Slow([[*FRAMES, END]])
    async with RawServer(server) as raw, client_of(raw.url) as client:
        held = [client.tasks.events(TASK_ID)]
        reading = asyncio.ensure_future(anext(held[0]))
        while not server.streams:
            await asyncio.sleep(0.001)
        reading.cancel()
        await asyncio.wait([reading])
        del reading
        before = asyncio.all_tasks()
        if how == "close":
            await held[0].close()
        elif how == "disconnect":
            held[0].disconnect()
        elif how == "close the client":
            await client.aclose()
        else:
            with pytest.warns(ResourceWarning, match="was never closed"):
                forget(held)
        while len(asyncio.all_tasks()) == len(before):
            await asyncio.sleep(0.001)
        server.answer_at.set()
        assert client.stats().open_streams == 0
        if how == "disconnect":
            assert [event.seq async for event in held[0]] == [1, 2, 3, 4, 5, 6]
            assert server.streams == 2
            await held[0].close()


@pytest.mark.parametrize("state", ["reading", "connecting", "waiting"])
async def test_close_from_another_task_ends_the_iteration(state: str) -> None:
    """A consumer that waits for an event, a connection or the next try sees the iteration end at once."""

    async def handler(request: Any) -> Any:
        if state == "connecting":
            await anyio.sleep_forever()
        return await task(request)

    task = TaskServer([[FRAMES[0], SILENCE]] if state == "reading" else [[done("succeeded", -1)]], [RUNNING])
    async with RawServer(handler) as server, client_of(server.url) as client:
        stream = client.tasks.events(TASK_ID)

        async def consume() -> list[int | None]:
            return [event.seq async for event in stream]

        consumer = asyncio.create_task(consume())
        while not server.requests or (state == "waiting" and not task.reads):
            await anyio.sleep(0.005)
        await anyio.sleep(0.02)
        await stream.close()
        async with asyncio.timeout(1):
            assert await consumer == ([1] if state == "reading" else [])
        assert stream.done is None
        assert client.stats().open_streams == 0
        with pytest.raises(errors.StreamInterruptedError, match="closed"):
            await stream.until_done()


async def test_two_consumers_at_once_are_refused() -> None:
    """The second gets an error, the first continues."""
    async with RawServer(TaskServer([[SILENCE]])) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            first = asyncio.create_task(anext(stream))
            await anyio.sleep(0.02)
            with pytest.raises(errors.ConfigurationError, match="one consumer"):
                await anext(stream)
            assert not first.done()
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first


async def test_a_stream_that_is_never_closed_warns() -> None:
    """A stream that was forgotten warns, and closes its connection."""
    async with RawServer(TaskServer([[FRAMES[0], SILENCE]])) as server, client_of(server.url) as client:
        stream = client.tasks.events(TASK_ID)
        await anext(stream)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del stream
            gc.collect()
        assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == [
            f"<TaskEventStream of task {TASK_ID}: 1 events, open> was never closed: use it with `async with`"
        ]
        assert client.stats().open_streams == 0


async def test_a_stream_that_never_connected_or_has_ended_does_not_warn() -> None:
    """A stream without an open connection is dropped silently."""
    async with RawServer(TaskServer([[*FRAMES, END]])) as server, client_of(server.url) as client:
        client.tasks.events(TASK_ID)
        await client.tasks.events(TASK_ID).until_done()
        gc.collect()


async def test_an_ended_stream_stays_ended() -> None:
    """Iterating again yields nothing and sends nothing; the result stays."""
    async with RawServer(TaskServer([[*FRAMES, END]])) as server, client_of(server.url) as client:
        stream = client.tasks.events(TASK_ID)
        result = await stream.until_done()
        requests = len(server.requests)
        assert [event async for event in stream] == []
        assert await stream.until_done() == result == stream.result
        assert len(server.requests) == requests


async def test_a_failed_stream_stays_failed() -> None:
    """The error is raised again, and nothing is sent."""
    async with RawServer(TaskServer([[DROP]])) as server, client_of(server.url) as client:
        stream = client.tasks.events(TASK_ID)
        for _ in range(2):
            with pytest.raises(errors.StreamInterruptedError):
                await anext(stream)
        assert len(server.requests) == 4


async def test_a_failed_stream_that_was_closed_stays_failed() -> None:
    """A loop over it raises its error, and doesn't end as if the turn had."""
    async with RawServer(TaskServer([[DROP]])) as server, client_of(server.url) as client:
        stream = client.tasks.events(TASK_ID)
        with pytest.raises(errors.StreamInterruptedError):
            async with stream:
                await anext(stream)
        with pytest.raises(errors.StreamInterruptedError):
            await anext(stream)


async def test_closing_while_it_connects_leaves_no_connection() -> None:
    """A stream that is closed at any moment of connecting has no connection afterwards."""
    async with RawServer(TaskServer([[FRAMES[0], SILENCE]])) as server, client_of(server.url) as client:
        await client.tasks.get(TASK_ID)
        for moment in range(40):
            stream = client.tasks.events(TASK_ID)
            reading = asyncio.ensure_future(anext(stream))
            for _ in range(moment):
                await asyncio.sleep(0)
            await stream.close()
            await asyncio.wait([reading])
            assert reading.exception() is None or isinstance(reading.exception(), StopAsyncIteration)
            assert client.stats().open_streams == 0, moment


async def test_an_id_that_no_header_can_hold_is_not_sent() -> None:
    """The stream is read again from its start instead, which loses and repeats nothing."""
    odd = b"id: \x01\n" + FRAMES[0]
    task = TaskServer([[odd, FRAMES[1], DROP], [*FRAMES, END]])
    async with RawServer(task) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            assert [event.seq async for event in stream] == [1, 2, 3, 4, 5, 6]
        assert "last-event-id" not in {
            name.lower() for name in server.seen("GET", f"/tasks/{TASK_ID}/events")[1].headers
        }


async def test_every_byte_that_was_delivered_is_counted() -> None:
    """Bytes that come in the moment in which the connection is closed are counted as well."""
    for moment in range(7):
        go = anyio.Event()

        async def handler(_: Any, go: anyio.Event = go) -> Any:
            async def pieces() -> AsyncIterator[Any]:
                yield stream_head() + chunk(FRAMES[0])
                await go.wait()
                yield chunk(FRAMES[1])
                await anyio.sleep_forever()

            return pieces()

        async with RawServer(handler) as server, client_of(server.url) as client:
            stream = client.tasks.events(TASK_ID)
            got = [await anext(stream)]
            reading = asyncio.ensure_future(anext(stream))
            await anyio.sleep(0.01)
            go.set()
            for _ in range(moment):
                await asyncio.sleep(0)
            stream.disconnect()
            async with asyncio.timeout(1):
                while client.stats().open_streams == 0 and not reading.done():
                    await anyio.sleep(0.001)
            got += [reading.result()] if reading.done() else []
            least = len(FRAMES[0])
            most = 3 * len(FRAMES[0]) + 2 * len(FRAMES[1])  # it may have connected again
            assert least + (len(FRAMES[1]) if len(got) > 1 else 0) <= client.stats().bytes_received <= most, moment
            reading.cancel()
            await asyncio.wait([reading])
            await stream.close()


async def test_text_yields_the_agents_words() -> None:
    """Deltas as they come, a blank line between blocks, echoes left out, and the whole is the result's text."""
    frames = [
        event(1, "init", session_id="s", model="m", cwd="/code"),
        event(2, "thinking", content="hm"),
        text(3, "Let me ", is_delta=True),
        text(4, "look.", is_delta=True),
        text(5, "Let me look."),
        tool_use(6),
        tool_result(7),
        text(8, "It is ", is_delta=True),
        text(9, "42.", is_delta=True),
        event(10, "result", result="It is 42."),
    ]
    async with (
        RawServer(TaskServer([[*frames, done("succeeded", 10, "It is 42.")]])) as server,
        client_of(server.url) as client,
    ):
        async with client.tasks.events(TASK_ID) as stream:
            pieces = [piece async for piece in stream.text()]
    assert pieces == ["Let me ", "look.", "\n\nIt is ", "42."]
    assert stream.result.text == "Let me look.\n\nIt is 42."
    assert stream.result.events_seen == 10


@pytest.mark.parametrize(
    ("final", "task_result", "expected"), [("said", "read", "said"), ("", "read", "read"), ("", None, "word 6")]
)
async def test_the_final_result_falls_back(final: str, task_result: str | None, expected: str) -> None:
    """The final result is the done frame's, else the task's, else the last text."""
    state = {"status": "completed", "finalResult": task_result, "prompts": [{"id": "p1", "status": "succeeded"}]}
    task = TaskServer([[*FRAMES, done("succeeded", 6, final)]], [state])
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        result = await client.tasks.events(TASK_ID).until_done()
    assert result.final_result == expected
    assert result.status == "completed"


@pytest.mark.parametrize("wait", ["retry", "429", "empty"])
async def test_a_closed_client_ends_the_waits_of_its_streams(wait: str) -> None:
    """A stream that waits for its next try raises at once when its client is closed, however long the wait."""
    busy = http_response(429, b"{}", Retry_After="100")
    retry = [b"retry: 100000\n\n", DROP]
    connects: dict[str, list[Any]] = {"retry": retry, "429": [busy], "empty": [done("succeeded", -1)]}
    task = TaskServer([connects[wait]], [RUNNING])
    async with RawServer(task) as server:
        client = client_of(server.url, retry=RetryPolicy(base_delay=60, max_delay=100))
        reading = asyncio.ensure_future(anext(client.tasks.events(TASK_ID)))
        while not task.streams or (wait == "empty" and not task.reads):
            await anyio.sleep(0.005)
        await anyio.sleep(0.02)
        await client.aclose()
        async with asyncio.timeout(0.9):
            with pytest.raises(errors.ConfigurationError, match="closed"):
                await reading


async def test_a_closed_client_ends_its_streams_with_an_error() -> None:
    """A stream whose client was closed raises, and neither waits nor ends."""
    async with RawServer(TaskServer([[FRAMES[0], SILENCE]])) as server:
        client = client_of(server.url)
        stream = client.tasks.events(TASK_ID)
        await anext(stream)
        reader = asyncio.create_task(anext(stream))
        await anyio.sleep(0.02)
        await client.aclose()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await reader


async def test_a_404_right_after_the_create_is_waited_out() -> None:
    """A 404 for a task that this client has just created means that it isn't visible yet."""
    from support.raw_server import RawRequest, json_response

    task = TaskServer([[json_response({}, 404)], [json_response({}, 404)], [*FRAMES, END]])

    async def handler(request: RawRequest) -> Any:
        if request.method == "POST":
            return json_response({"id": TASK_ID, "status": "running"}, 201)
        return await task(request)

    async with RawServer(handler) as server, client_of(server.url, _time=SkippedTime().time) as client:
        created = await client.tasks.create("Do it")
        assert (await client.tasks.events(created.id).until_done()).final_result == "word 6"


@pytest.mark.parametrize("manner", [DROP, CLOSE], ids=["dropped", "closed"])
async def test_statistics_count_streams(manner: Any) -> None:
    """Reconnects and open streams are counted on the client."""
    async with (
        RawServer(TaskServer([[FRAMES[0], manner], [*FRAMES[:3], SILENCE]], [RUNNING])) as server,
        client_of(server.url) as client,
    ):
        async with client.tasks.events(TASK_ID) as stream:
            for _ in range(3):
                await anext(stream)
            stats = client.stats()
            assert (stats.open_streams, stats.reconnects, stream.reconnects) == (1, 1, 1)
            assert stats.bytes_received > 300
        assert client.stats().open_streams == 0


async def test_impatience_spends_no_tries() -> None:
    """A consumer that is cancelled again and again while the stream drains doesn't shorten the drain."""
    task = TaskServer([[tool_use(1), done("succeeded", 1)]] * 5 + [[tool_use(1), *FRAMES[1:], END]])
    skipped = SkippedTime()

    async def sleep(seconds: float) -> None:
        await anyio.sleep(0.02)
        await skipped.sleep(seconds)

    time = Time(skipped.clock, sleep)
    async with RawServer(task) as server, client_of(server.url, _time=time) as client:
        seqs: list[int | None] = []
        async with client.tasks.events(TASK_ID) as stream:
            while stream.done is None:
                with anyio.move_on_after(0.01), contextlib.suppress(StopAsyncIteration):
                    seqs.append((await anext(stream)).seq)
        assert seqs == [1, 2, 3, 4, 5, 6]


async def test_a_resumed_stream_that_fails_still_has_its_cursor() -> None:
    """A stream that was resumed and brought nothing new still says where to resume."""
    async with RawServer(TaskServer([[FRAMES[0], DROP], [DROP]])) as server, client_of(server.url) as client:
        after: str | None = None
        for _ in range(2):
            with pytest.raises(errors.StreamInterruptedError) as caught:
                await client.tasks.events(TASK_ID, after=after).until_done()
            after = caught.value.cursor
        assert after is not None
    async with RawServer(TaskServer([[*FRAMES, END]])) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID, after=after) as stream:
            assert [event.seq async for event in stream] == [2, 3, 4, 5, 6]


async def test_a_stream_resumes_after_numbers_of_any_size() -> None:
    """A number that Python refuses to print neither breaks the cursor nor comes twice."""
    frames = [text(number, "x") for number in (2**63 - 1, 2**63, int("9" * 4300))]
    end = done("succeeded", 1, "x")
    async with RawServer(TaskServer([[*frames, end]])) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            assert (await stream.until_done()).events_seen == 3
        async with client.tasks.events(TASK_ID, after=stream.cursor) as stream:
            assert (await stream.until_done()).events_seen == 0


async def test_a_resumed_turn_is_not_mistaken_for_an_empty_one() -> None:
    """A server that resumes by itself and has nothing to show yet doesn't end a resumed stream without its tail."""
    frames = [b"id: 1\n" + tool_use(1), b"id: 2\n" + text(2, "you")]
    completed = {"status": "completed", "prompts": [{"id": "p1", "status": "succeeded"}]}
    async with RawServer(TaskServer([[frames[0], DROP], [DROP]])) as server, client_of(server.url) as client:
        with pytest.raises(errors.StreamInterruptedError) as caught:
            await client.tasks.events(TASK_ID).until_done()
    task = TaskServer(
        [[frames[0], CLOSE], *[[CLOSE]] * 5, [frames[1], done("succeeded", 2, "you")]], [RUNNING, completed]
    )
    async with RawServer(task) as server, client_of(server.url, _time=SkippedTime().time) as client:
        async with client.tasks.events(TASK_ID, after=caught.value.cursor) as stream:
            assert [event.seq async for event in stream] == [2]


async def test_a_delta_is_appended_to_a_whole_text() -> None:
    """A whole text begins a block, to which deltas are appended; a whole text that repeats them all is an echo."""
    frames = [text(1, "One."), text(2, "Hello "), text(3, "world", is_delta=True), text(4, "Hello world"), text(5, "!")]
    async with RawServer(TaskServer([[*frames, done("succeeded", 5, "!")]])) as server, client_of(server.url) as client:
        result = await client.tasks.events(TASK_ID).until_done()
    assert result.text == "One.\n\nHello world\n\n!"


@pytest.mark.parametrize("echo", ["Hello  world.\n\nBye.", "Bye.", "world. Bye", "Hello\nworld."])
async def test_a_result_that_the_text_holds_adds_nothing(echo: str) -> None:
    """A result is an echo if it repeats what was said, or a part of it, white space aside."""
    frames = [text(1, "Hello world."), text(2, "Bye."), event(3, "result", result=echo), done("succeeded", 3, echo)]
    async with RawServer(TaskServer([frames])) as server, client_of(server.url) as client:
        result = await client.tasks.events(TASK_ID).until_done()
    assert result.text == "Hello world.\n\nBye."
