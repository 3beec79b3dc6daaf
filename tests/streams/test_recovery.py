"""Streams over a network and a service that misbehave, one way at a time (contract §4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import anyio
import pytest

from rebyte_async import RetryPolicy, errors
from rebyte_async.types import Done, TaskEvent, TaskStatus, TextEvent, UnknownEvent
from support.clients import SkippedTime, client_of
from support.raw_server import DROP, RawServer, chunk, http_response, json_response, stream_head
from support.task_server import CLOSE, SILENCE, TASK_ID, TaskServer, done, event, text, tool_result, tool_use

HELLO = [text(1, "Hello"), text(2, "there"), text(3, "you")]
END = done("succeeded", 3, "you")
RUNNING = {"status": "running", "prompts": [{"id": "p1", "status": "running"}]}
COMPLETED = {"status": "completed", "prompts": [{"id": "p1", "status": "succeeded"}], "finalResult": "from the task"}
GATEWAY = http_response(502, b"<html>bad gateway</html>", Content_Type="text/html")


def by_byte(data: bytes) -> list[bytes]:
    """Cut every byte into its own chunk."""
    return [data[index : index + 1] for index in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    """Cut into chunks of random sizes."""
    rng = Random(len(data))
    pieces = []
    while data:
        size = rng.randrange(1, 40)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


CUTS: dict[str, Callable[[bytes], list[bytes]]] = {"whole": lambda data: [data], "bytes": by_byte, "random": at_random}


class Followed:
    """The events and the end that a consumer got, with the waits in between."""

    def __init__(self, events: list[TaskEvent], end: Done | None, reconnects: int, skipped: SkippedTime) -> None:
        self.events = events
        self.done = end
        self.reconnects = reconnects
        self.slept = sum(skipped.slept)

    @property
    def seqs(self) -> list[int | None]:
        """The numbers of the events."""
        return [event.seq for event in self.events]


async def follow(task: TaskServer, *, retry: RetryPolicy | None = None, **options: Any) -> Followed:
    """Follow a stream to its end."""
    events: list[TaskEvent] = []
    skipped = SkippedTime()
    async with (
        RawServer(task) as server,
        client_of(server.url, _time=skipped.time, **({"retry": retry} if retry else {})) as client,
    ):
        async with client.tasks.events(TASK_ID, **options) as stream:
            events.extend([event async for event in stream])
        assert client.stats().open_streams == 0
        return Followed(events, stream.done, stream.reconnects, skipped)


@pytest.mark.parametrize("cut", CUTS)
async def test_a_whole_stream_needs_one_connect(cut: str) -> None:
    """Nothing is read or waited for twice when nothing goes wrong, however the bytes are cut."""
    got = await follow(TaskServer([[*HELLO, END]], cut=CUTS[cut]))
    assert got.seqs == [1, 2, 3]
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=3, final_result="you")
    assert (got.reconnects, got.slept) == (0, 0)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("manner", [DROP, CLOSE], ids=["dropped", "closed"])
async def test_a_cut_is_recovered_from_by_the_replay(manner: Any, after: int, cut: str, *, keys: bool) -> None:
    """Wherever the stream is cut, every event comes once and in order."""
    frames = [text(seq, f"word {seq}", key=f"k{seq}" if keys else None) for seq in (1, 2, 3)]
    task = TaskServer([[*frames[:after], manner], [*frames, done("succeeded", 3, "word 3")]], [RUNNING], cut=CUTS[cut])
    got = await follow(task)
    assert got.seqs == [1, 2, 3]
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=3, final_result="word 3")
    assert got.reconnects == 1


async def test_a_cut_within_a_frame_loses_nothing() -> None:
    """A half event is dropped with its connection and comes whole with the next."""
    for size in range(len(HELLO[1])):
        got = await follow(TaskServer([[HELLO[0], HELLO[1][:size], DROP], [*HELLO, END]], [RUNNING]))
        assert got.seqs == [1, 2, 3], size


@pytest.mark.parametrize(
    "failure",
    [
        [DROP],
        [GATEWAY],
        [http_response(500)],
        [http_response(429)],
        [http_response(503, Retry_After="1")],
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"],
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nerror"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
        [json_response({"error": {"code": "internal_error", "message": "boom"}})],
    ],
    ids=str,
)
async def test_three_transient_failures_in_a_row_are_survived(failure: list[Any]) -> None:
    """Three failed connects in a row are survived, again and again as long as something new comes between them."""
    connects = (
        [failure] * 3 + [[HELLO[0], DROP]] + [failure] * 3 + [[*HELLO[:2], DROP]] + [failure] * 3 + [[*HELLO, END]]
    )
    got = await follow(TaskServer(connects, [RUNNING]))
    assert got.seqs == [1, 2, 3]
    assert got.reconnects == 11


@pytest.mark.parametrize("failure", [[DROP], [GATEWAY], [HELLO[0], DROP]], ids=["dropped", "gateway", "replay"])
async def test_four_failures_in_a_row_end_the_stream(failure: list[Any]) -> None:
    """The error of a stream that is given up has the cursor to resume from, what had come, and its cause."""
    task = TaskServer([[HELLO[0], DROP], failure], [RUNNING])
    with pytest.raises(errors.StreamInterruptedError) as caught:
        await follow(task)
    error = caught.value
    assert task.streams == 5
    assert error.task_id == TASK_ID
    assert error.result is not None
    assert (error.result.text, error.result.events_seen, error.result.status) == ("Hello", 1, None)
    assert isinstance(error.__cause__, errors.TransportError | errors.ServerError)
    assert error.cursor is not None
    rest = await follow(TaskServer([[*HELLO, END]]), after=error.cursor)
    assert rest.seqs == [2, 3]


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (400, errors.BadRequestError),
    ],
)
async def test_a_refusal_is_final(status: int, cls: type[errors.APIError]) -> None:
    """401, 403, 404 and other refusals end the stream at once, at the start and in the middle."""
    refusal = json_response({"error": {"code": "x", "message": "no"}}, status)
    scripts: list[list[list[Any]]] = [[[refusal]], [[HELLO[0], DROP], [refusal]]]
    for connects in scripts:
        task = TaskServer(connects, [RUNNING])
        with pytest.raises(cls):
            await follow(task)
        assert task.streams == len(connects)


async def test_any_number_of_orderly_closes_is_survived() -> None:
    """A gateway that closes the stream again and again while the task runs is not a failure."""
    task = TaskServer([[HELLO[0], CLOSE]] * 30 + [[*HELLO, END]], [RUNNING])
    got = await follow(task)
    assert got.seqs == [1, 2, 3]
    assert got.reconnects == 30


async def test_an_empty_done_frame_is_not_the_end() -> None:
    """A done frame before the agent has emitted anything is waited out, about a second each time."""
    empty = [done("succeeded", -1, "")]
    got = await follow(TaskServer([empty] * 40 + [[*HELLO, END]], [RUNNING]))
    assert got.seqs == [1, 2, 3]
    assert got.slept == pytest.approx(40)


async def test_an_empty_stream_of_an_ended_task_ends() -> None:
    """A stream without events ends after three reads in a row that show an ended task, with the task's final result."""
    task = TaskServer([[done("succeeded", -1, "")]], [RUNNING, COMPLETED, RUNNING, COMPLETED])
    got = await follow(task)
    assert got.seqs == []
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=-1, final_result="from the task")
    assert task.streams == 6


async def test_an_early_done_frame_is_drained_until_the_final_text_is_there() -> None:
    """The tail of a turn whose end is readable before it is not lost."""
    head = [tool_use(1)]
    tail = [tool_result(2), text(3, "you")]
    connects = [
        [*head, done("succeeded", 1, "")],
        [*head, done("succeeded", 1)],
        [*head, tail[0], done("succeeded", 2)],
        [*head, *tail, END],
    ]
    got = await follow(TaskServer(connects, [COMPLETED]))
    assert got.seqs == [1, 2, 3]
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=3, final_result="you")
    assert got.slept == pytest.approx(3)


async def test_draining_is_bounded() -> None:
    """A turn without text after its last tool call is read eight times more, then its end is believed."""
    task = TaskServer([[tool_use(1), done("succeeded", 1, "")]], [COMPLETED])
    got = await follow(task)
    assert task.streams == 9
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="from the task")


async def test_a_final_result_that_no_text_has_is_waited_for() -> None:
    """With the last number delivered, the final result of the done frame is believed once stream and content were."""
    task = TaskServer([[tool_use(1), done("succeeded", 1, "the answer")]], [COMPLETED])
    got = await follow(task)
    assert task.streams == 9
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="the answer")


async def test_a_done_frame_that_announces_more_is_drained() -> None:
    """While the last number hasn't come, the stream is read again although the text seems complete."""
    task = TaskServer([[*HELLO[:2], END], [*HELLO[:2], END], [*HELLO, END]], [COMPLETED])
    got = await follow(task)
    assert got.seqs == [1, 2, 3]


@pytest.mark.parametrize(("status", "connects"), [("failed", 3), ("error", 3), ("canceled", 1), ("cancelled", 1)])
async def test_failed_turns_are_drained_at_most_twice_and_canceled_ones_never(status: str, connects: int) -> None:
    """A stream doesn't wait for a final text that won't come."""
    task = TaskServer([[tool_use(1), done(status, 5)]], [COMPLETED])
    got = await follow(task)
    assert task.streams == connects
    assert got.done is not None
    assert got.done.status == ("failed" if status == "error" else status.replace("ll", "l"))


async def test_a_failure_while_draining_does_not_lose_the_end() -> None:
    """Once the turn has ended, a failure only costs a try."""
    for failure in ([DROP], [GATEWAY], [json_response({}, 404)]):
        task = TaskServer([[tool_use(1), done("succeeded", 1, "answer")], failure], [COMPLETED])
        got = await follow(task)
        assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="answer")


async def test_a_close_without_done_on_an_ended_task_reads_the_tail() -> None:
    """The task's status ends the turn only after the stream had two more chances to show its tail."""
    cut_short = [HELLO[0], CLOSE]
    got = await follow(TaskServer([cut_short, cut_short, [*HELLO, END]], [COMPLETED]))
    assert got.seqs == [1, 2, 3]
    task = TaskServer([[*HELLO, CLOSE]], [{**COMPLETED, "finalResult": "you"}])
    got = await follow(task)
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="you")
    assert task.streams == 3
    task = TaskServer([cut_short], [COMPLETED])
    with pytest.raises(errors.StreamInterruptedError, match="neither by the stream nor by the task's content"):
        await follow(task)
    assert task.streams == 9


async def test_late_rows_and_renumbering_lose_nothing() -> None:
    """With keys, an event that was inserted late comes although its number is below what was delivered."""
    before = [text(1, "a", key="A"), text(2, "c", key="C")]
    later = [text(1, "a", key="A"), text(2, "b", key="B"), text(3, "c", key="C"), text(4, "d", key="D")]
    got = await follow(TaskServer([[*before, DROP], [*later, done("succeeded", 4, "d")]], [RUNNING]))
    assert [event.event_key for event in got.events] == ["A", "C", "B", "D"]


async def test_a_late_number_is_not_lost() -> None:
    """Without keys a number below the highest that wasn't there before is new."""
    got = await follow(TaskServer([[HELLO[0], HELLO[2], DROP], [*HELLO, END]], [RUNNING]))
    assert got.seqs == [1, 3, 2]


async def test_duplicates_are_left_out() -> None:
    """An event that comes twice on one connection is delivered once, with a key or without."""
    keyed = text(4, "keyed", key="K")
    got = await follow(
        TaskServer([[HELLO[0], HELLO[0], HELLO[1], HELLO[0], keyed, keyed, HELLO[2], done("succeeded", 4, "x")]])
    )
    assert got.seqs == [1, 2, 4, 3]


async def test_events_without_any_identity_come_once_each() -> None:
    """Equal events without key and number are distinguished by their place in the replay."""
    same = event(None, content="same")
    other = event(None, content="other")
    got = await follow(
        TaskServer([[same, same, DROP], [same, same, other, same, done("succeeded", None, "same")]], [RUNNING])
    )
    texts = [event.text for event in got.events if isinstance(event, TextEvent)]
    assert texts == ["same", "same", "other", "same"]


@pytest.mark.parametrize("first", [0, 1])
async def test_numbers_may_begin_at_0_or_1(first: int) -> None:
    """Events are neither lost nor repeated, whether their numbers begin at 0 or at 1."""
    frames = [text(first + index, str(index)) for index in range(3)]
    got = await follow(TaskServer([[*frames[:2], DROP], [*frames, done("succeeded", first + 2, "2")]], [RUNNING]))
    assert got.seqs == [first, first + 1, first + 2]


async def test_a_previous_turn_is_skipped() -> None:
    """Right after a prompt the stream may still show the turn before: neither its events nor its end are delivered."""
    old = [text(1, "old", prompt="p0"), done("succeeded", 1, "old")]
    task_state = {
        "status": "running",
        "prompts": [{"id": "p0", "status": "succeeded"}, {"id": "p1", "status": "running"}],
    }
    got = await follow(TaskServer([old] * 5 + [[*HELLO, END]], [task_state]), prompt_id="p1")
    assert got.seqs == [1, 2, 3]
    assert {event.prompt_id for event in got.events} == {"p1"}
    assert got.slept == pytest.approx(5)


async def test_a_prompt_that_the_task_does_not_have_yet_is_waited_for() -> None:
    """A prompt that was just submitted may become visible a moment late."""
    old = [text(1, "old", prompt="p0"), done("succeeded", 1, "old")]
    before = {"status": "completed", "prompts": [{"id": "p0", "status": "succeeded"}]}
    got = await follow(TaskServer([old] * 3 + [[*HELLO, END]], [before]), prompt_id="p1")
    assert got.seqs == [1, 2, 3]


async def test_a_prompt_that_the_task_never_has_ends_the_stream() -> None:
    """A wrong prompt id is an error that names it, not an endless wait."""
    old = [text(1, "old", prompt="p0"), done("succeeded", 1, "old")]
    before = {"status": "completed", "prompts": [{"id": "p0", "status": "succeeded"}]}
    with pytest.raises(errors.StreamInterruptedError, match="no prompt wrong"):
        await follow(TaskServer([old], [before]), prompt_id="wrong")


async def test_an_unknown_status_ends_the_stream() -> None:
    """A status that the package doesn't know, on a stream that shows nothing, is an error that names it."""
    with pytest.raises(errors.StreamInterruptedError, match="'expired'") as caught:
        await follow(TaskServer([[done("succeeded", -1, "")]], [{"status": "expired"}]))
    assert caught.value.last_status == "expired"


LATER = {"status": "running", "prompts": [{"id": "p1", "status": "succeeded"}, {"id": "p2", "status": "running"}]}


def content_of(*seqs: int, response: str | None = "you") -> dict[str, Any]:
    """Return a task's content with events of our turn."""
    events = [{"seq": seq, "promptId": "p1", "eventType": "text", "payload": {"content": f"c{seq}"}} for seq in seqs]
    return {
        "id": TASK_ID,
        "prompts": [{"id": "p1", "status": "succeeded", "response": response, "events": events}, {"id": "p2"}],
    }


async def test_a_stream_never_slides_into_the_next_turn() -> None:
    """When a later turn has the stream, the bound turn's end comes from the task and its tail from the content."""
    next_turn = [text(1, "next", prompt="p2"), SILENCE]
    for connects in ([[HELLO[0], DROP], next_turn], [[HELLO[0], *next_turn]]):
        got = await follow(TaskServer(connects, [LATER], content_of(1, 2, 3)))
        assert got.seqs == [1, 2, 3]
        assert {event.prompt_id for event in got.events} == {"p1"}
        assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="you")


@pytest.mark.parametrize("before", [(), HELLO[:1], HELLO[:2]])
@pytest.mark.parametrize("foreign", [1, 2])
@pytest.mark.parametrize("is_one_piece", [True, False])
async def test_the_end_of_a_later_turn_is_not_that_of_the_bound_one(
    before: Sequence[bytes], foreign: int, *, is_one_piece: bool
) -> None:
    """A done frame that the stream brings after it has turned to another turn is left unread, as the events are."""
    next_turn = [text(seq, "next", prompt="p2") for seq in range(1, foreign + 1)]
    frames = [*before, *next_turn, done("failed", foreign, "next")]
    connects: list[list[Any]] = [[b"".join(frames)] if is_one_piece else frames]
    got = await follow(TaskServer(connects, [LATER], content_of(1, 2, 3)), prompt_id="p1")
    assert got.seqs == [1, 2, 3]
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="you")


@pytest.mark.parametrize(
    "content",
    [None, {"id": TASK_ID, "prompts": []}, {"id": TASK_ID, "prompts": [{"id": "p1"}]}, http_response(200, b"[")],
)
async def test_a_tail_that_cannot_be_read_is_an_error(content: Any) -> None:
    """The stream raises rather than end as if complete, where its tail can't be read."""
    task = TaskServer([[HELLO[0], text(1, "next", prompt="p2"), SILENCE]], [LATER], content)
    with pytest.raises(errors.StreamInterruptedError, match="another turn"):
        await follow(task)


async def test_frames_that_are_no_events_are_skipped() -> None:
    """Heartbeats, comments and frames of other names change nothing."""
    noise = [
        b": ping\n\n",
        b"event: ping\ndata: {}\n\n",
        b"event: heartbeat\ndata: now\n\n",
        b"retry: 5\n\n",
        b"id: 9\n\n",
        b"\n\n\n",
    ]
    got = await follow(TaskServer([[*noise, HELLO[0], *noise, HELLO[1], HELLO[2], *noise, END]]))
    assert got.seqs == [1, 2, 3]


KEEP_ALIVES = ["", "ping", "{}", "null", '""', '{"type": "ping"}', "[DONE]", "2026-01-02T03:04:05Z"]


@pytest.mark.parametrize("data", KEEP_ALIVES)
async def test_keep_alives_without_a_name_are_skipped(data: str) -> None:
    """Whatever a server sends to keep a connection open, and after the end, a good turn is no error."""
    beats = [f"data: {data}\n\n".encode(), f"event: message\ndata: {data}\n\n".encode()]
    if data in {"", "{}"}:
        beats.append(f"event: event\ndata: {data}\n\n".encode())
    got = await follow(TaskServer([[*beats, HELLO[0], *beats, *HELLO[1:], *beats, END, *beats]]))
    assert got.seqs == [1, 2, 3]


AFTER_DONE = [b"event: event\ndata: not json\n\n", b"data: [DONE]\n\n", b"event: done\ndata: x\n\n", done("failed", 9)]


@pytest.mark.parametrize("has_own_chunk", [True, False])
async def test_frames_after_the_done_frame_do_not_spoil_the_end(*, has_own_chunk: bool) -> None:
    """What isn't an event is dropped, in the chunk of the done frame or in a later one; a late event is delivered."""
    after = AFTER_DONE if has_own_chunk else [text(4, "late"), *AFTER_DONE]
    got = await follow(TaskServer([[*HELLO, END, *after] if has_own_chunk else [*HELLO, b"".join([END, *after])]]))
    assert got.seqs == ([1, 2, 3] if has_own_chunk else [1, 2, 3, 4])
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=3, final_result="you")


async def test_an_unnamed_frame_is_an_event() -> None:
    """A server that leaves the event line out is understood."""
    unnamed = [frame.removeprefix(b"event: event\n") for frame in HELLO]
    assert (await follow(TaskServer([[*unnamed, END]]))).seqs == [1, 2, 3]


async def test_a_payload_that_does_not_fit_is_delivered_as_unknown() -> None:
    """A replay would only hit it again, so it is delivered as it is, and the stream continues."""
    odd = [event(1, "text", content=5), event(2, "brand_new", anything=[1])]
    got = await follow(TaskServer([[*odd, HELLO[2], END]]))
    assert [type(event) for event in got.events] == [UnknownEvent, UnknownEvent, TextEvent]
    assert got.events[1].payload == {"anything": [1]}


@pytest.mark.parametrize("data", ["not json", "[1]", '{"seq": 1}', '{"eventType": 5}', "5"])
async def test_a_frame_that_is_no_event_object_is_a_decode_error(data: str) -> None:
    """A frame that can't be an event raises, and iteration can continue after it."""
    frame = f"event: event\ndata: {data}\n\n".encode()
    async with RawServer(TaskServer([[HELLO[0], frame, *HELLO[1:], END]])) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID) as stream:
            assert (await anext(stream)).seq == 1
            with pytest.raises(errors.DecodeError):
                await anext(stream)
            assert [event.seq async for event in stream] == [2, 3]


async def test_the_servers_ids_are_sent_back() -> None:
    """Last-Event-ID is sent where the server gave ids, and it doesn't matter what the server does with it."""
    frames = [f"id: {seq}\n".encode() + frame for seq, frame in enumerate(HELLO, 1)]
    for rest in (frames[2:], frames):
        task = TaskServer([[*frames[:2], DROP], [*rest, END]], [RUNNING])
        async with RawServer(task) as server, client_of(server.url) as client, client.tasks.events(TASK_ID) as stream:
            assert [event.seq async for event in stream] == [1, 2, 3]
        sent = [request.headers.get("last-event-id") for request in server.seen("GET", f"/tasks/{TASK_ID}/events")]
        assert sent == [None, "2"]


async def test_the_servers_reconnection_time_is_kept_within_bounds() -> None:
    """The server's reconnection time is the least delay, up to the policy's longest."""
    policy = RetryPolicy(base_delay=0, max_delay=3)
    for wish, least in [(2_000, 2), (500_000, 3)]:
        hint = f"retry: {wish}\n\n".encode()
        for end in (DROP, CLOSE):
            got = await follow(TaskServer([[hint, HELLO[0], end], [*HELLO, END]], [RUNNING]), retry=policy)
            assert got.slept == pytest.approx(least)


async def test_a_second_idle_timeout_in_a_row_ends_the_stream() -> None:
    """After one idle timeout the task is read and the stream connected again; after a second in a row it raises."""
    task = TaskServer([[HELLO[0], SILENCE]], [RUNNING])
    with pytest.raises(errors.StreamInterruptedError, match="nothing came for 2 idle timeouts") as caught:
        await follow(task, idle_timeout=0.1)
    assert (task.streams, task.reads) == (2, 1)
    assert isinstance(caught.value.__cause__, errors.RequestTimeoutError)


async def test_idle_timeouts_with_new_events_between_are_survived() -> None:
    """Only idle timeouts in a row count."""
    connects = [[*HELLO[:count], SILENCE] for count in (1, 2, 3)] + [[*HELLO, END]]
    got = await follow(TaskServer(connects, [RUNNING]), idle_timeout=0.1)
    assert got.seqs == [1, 2, 3]


async def test_an_idle_stream_of_an_ended_task_ends() -> None:
    """A stream that never closes doesn't delay an end that the task reports."""
    got = await follow(TaskServer([[*HELLO, SILENCE]], [{**COMPLETED, "finalResult": "you"}]), idle_timeout=0.05)
    assert got.done is not None
    assert got.done.status == "completed"


async def test_heartbeats_reset_the_idle_timeout() -> None:
    """Bytes of any kind keep a quiet stream alive."""

    async def beating(request: Any) -> Any:
        if not request.path.endswith("/events"):
            return json_response({"id": TASK_ID, **RUNNING})

        async def pieces() -> Any:
            yield stream_head()
            for _ in range(50):
                yield chunk(b": still here\n\n")
                await anyio.sleep(0.03)
            for frame in (*HELLO, END):
                yield chunk(frame)
            yield chunk(b"")

        return pieces()

    async with RawServer(beating) as server, client_of(server.url) as client:
        async with client.tasks.events(TASK_ID, idle_timeout=1.0) as stream:
            assert [event.seq async for event in stream] == [1, 2, 3]
        assert stream.reconnects == 0


async def test_a_connect_waits_for_the_throttle() -> None:
    """A stream's connect keeps to the pause that a 429 asked for, and a longer one is raised."""
    got = await follow(TaskServer([[http_response(429, Retry_After="30")], [*HELLO, END]]))
    assert got.seqs == [1, 2, 3]
    assert got.slept >= 30
    with pytest.raises(errors.RateLimitedError):
        await follow(TaskServer([[http_response(429, Retry_After="500")]]))


async def test_a_replay_that_stops_before_a_known_call_has_no_final_text() -> None:
    """While the stream drains, a text from before the last tool call is not mistaken for the one after it."""
    head = [text(1, "I look."), tool_use(2)]
    for end in (CLOSE, DROP):
        connects: list[list[Any]] = [
            [*head, done("succeeded", 2)],
            [head[0], end],
            [*head, tool_result(3), text(4, "42"), done("succeeded", 4)],
        ]
        got = await follow(TaskServer(connects, [COMPLETED]))
        assert got.seqs == [1, 2, 3, 4]


async def test_failed_tries_are_no_readings_without_news() -> None:
    """An end by the task alone is believed after two readings without anything new; a failed connect is none."""
    failures: list[list[Any]] = [[DROP], [GATEWAY]] * 3
    connects = [[HELLO[0], CLOSE], *failures, [*HELLO[:2], done("succeeded", 2, "there")]]
    got = await follow(TaskServer(connects, [{**COMPLETED, "finalResult": ""}]))
    assert got.seqs == [1, 2]


async def test_closes_while_draining_are_counted_and_spaced() -> None:
    """A task that still says running makes the drain neither endless nor a busy loop."""
    content = content_of(response=None)
    task = TaskServer([[tool_use(1), done("succeeded", 1)], [tool_use(1), CLOSE]], [RUNNING], content)
    got = await follow(task)
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=1)
    assert task.streams == 9
    assert got.slept == pytest.approx(8)


async def test_heartbeats_do_not_delay_an_end() -> None:
    """While the stream drains, a connection that brings only heartbeats is closed after some seconds."""

    async def beating(request: Any) -> Any:
        if not request.path.endswith("/events"):
            return json_response({"id": TASK_ID, **COMPLETED, "finalResult": "you"})
        connects.append(request)

        async def pieces() -> Any:
            yield stream_head()
            for frame in HELLO:
                yield chunk(frame)
            while len(connects) > 1:
                await anyio.sleep(0.01)
                skipped.slept.append(0.5)
                yield chunk(b": still here\n\n")
            yield chunk(b"")

        return pieces()

    connects: list[Any] = []
    skipped = SkippedTime()
    async with RawServer(beating) as server, client_of(server.url, _time=skipped.time) as client:
        async with client.tasks.events(TASK_ID) as stream:
            with anyio.fail_after(10):
                assert [event.seq async for event in stream] == [1, 2, 3]
    assert len(connects) == 3


@pytest.mark.parametrize("early", [False, True])
async def test_a_later_turn_without_events_hides_no_tail(*, early: bool) -> None:
    """Once another prompt was submitted, empty done frames are that turn's, and the tail is in the content."""
    first = [tool_use(1), done("succeeded", 1) if early else DROP]
    later = {"status": "running", "prompts": [{"id": "p1", "status": "succeeded"}, {"id": "p2", "status": "pending"}]}
    got = await follow(TaskServer([first, [done("succeeded", -1)]], [later], content_of(1, 2, 3)))
    assert got.seqs == [1, 2, 3]
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=1 if early else None, final_result="you")


async def test_an_end_that_a_done_frame_reported_needs_no_content() -> None:
    """An end that a done frame reported is believed where the tail can't be read any more."""
    first = [tool_use(1), done("succeeded", 1, "answer")]
    got = await follow(TaskServer([first, [text(1, "next", prompt="p2"), SILENCE]], [LATER]))
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=1, final_result="answer")


async def test_a_done_frame_without_events_is_checked() -> None:
    """The end of a previous turn that had no events is not taken for the end of ours."""
    state = {"status": "running", "prompts": [{"id": "p0", "status": "failed"}, {"id": "p1", "status": "running"}]}
    old = [done("failed", -1, "out of credits")]
    got = await follow(TaskServer([old, old, old, [*HELLO, END]], [state]), prompt_id="p1")
    assert got.seqs == [1, 2, 3]
    assert got.done is not None
    assert got.done.status == "completed"


async def test_the_content_repeats_no_event_without_identity() -> None:
    """Equal events without key and number are counted in the content as they are on the stream."""
    same = event(None, content="same")
    row = {"promptId": "p1", "eventType": "text", "payload": {"content": "same"}}
    content = {
        "id": TASK_ID,
        "prompts": [{"id": "p1", "status": "succeeded", "response": "x", "events": [row, row, row]}, {"id": "p2"}],
    }
    got = await follow(TaskServer([[same, same, text(1, "next", prompt="p2"), SILENCE]], [LATER], content))
    assert len(got.events) == 3


async def test_events_without_identity_are_never_resumed_by_id() -> None:
    """Events without identity are distinguished by their place in the whole replay, so that it is read whole."""
    same = event(None, content="same")
    frames = [b"id: 1\n" + same, b"id: 2\n" + same]
    end = done("succeeded", None, "same")
    async with RawServer(TaskServer([[frames[0], DROP], [*frames, end]], [RUNNING])) as server:
        async with client_of(server.url) as client, client.tasks.events(TASK_ID) as stream:
            assert len([event async for event in stream]) == 2
        assert not any("last-event-id" in request.headers for request in server.requests)


async def test_a_repeated_text_is_not_the_final_text() -> None:
    """A text from before the last tool call that is repeated after it is not mistaken for the final text."""
    head = [text(1, "I look."), tool_use(2)]
    connects = [[*head, head[0], done("succeeded", 2)], [*head, tool_result(3), text(4, "42"), done("succeeded", 4)]]
    got = await follow(TaskServer(connects, [COMPLETED]))
    assert got.seqs == [1, 2, 3, 4]


WHOLE_CONTENT = {
    "id": TASK_ID,
    "prompts": [
        {
            "id": "p1",
            "status": "succeeded",
            "response": "you",
            "events": [
                {"seq": seq, "promptId": "p1", "eventType": "text", "payload": {"content": word}}
                for seq, word in enumerate(["Hello", "there", "you"], 1)
            ],
        }
    ],
}


@pytest.mark.parametrize("last_seq", [None, 1, 3])
async def test_a_final_result_that_is_not_in_the_text_yet_is_waited_for(last_seq: int | None) -> None:
    """An early done frame whose final result no text holds is not the end, whatever number it announces."""
    task = TaskServer([[HELLO[0], done("succeeded", last_seq, "y o u\n")], [*HELLO, END]], [COMPLETED])
    got = await follow(task)
    assert got.seqs == [1, 2, 3]
    assert got.reconnects == 1


@pytest.mark.parametrize("end", [CLOSE, done("succeeded", 3, "you"), done("succeeded", None, "you")], ids=repr)
async def test_a_tail_that_the_stream_never_brings_comes_from_the_content(end: Any) -> None:
    """Every replay ends before the tail: it is read from the content, after the first try that brings nothing new."""
    task = TaskServer([[HELLO[0], end]], [{**COMPLETED, "finalResult": "you"}], WHOLE_CONTENT)
    got = await follow(task)
    assert got.seqs == [1, 2, 3]
    assert got.done is not None
    assert got.done.final_result == "you"
    assert task.streams == 2


async def test_what_was_said_before_a_tool_call_is_no_final_result() -> None:
    """Where no text came after the last tool call, the response in the content is the final result."""
    shown = [text(1, "I look."), tool_use(2), done("succeeded", 2)]
    state = {**COMPLETED, "finalResult": None}
    for response, expected in [("42", "42"), (None, "")]:
        content = {"id": TASK_ID, "prompts": [{"id": "p1", "status": "succeeded", "response": response, "events": []}]}
        got = await follow(TaskServer([shown], [state], content))
        assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=2, final_result=expected)
    with pytest.raises(errors.StreamInterruptedError, match="final result is nowhere to be had"):
        await follow(TaskServer([shown], [state]))


async def test_a_tail_that_is_nowhere_is_an_error() -> None:
    """A number that neither stream nor content has raises, although the turn has ended."""
    content = {"id": TASK_ID, "prompts": [{"id": "p1", "status": "succeeded", "response": "you", "events": []}]}
    for found in (None, content):
        with pytest.raises(errors.StreamInterruptedError, match="neither by the stream nor by the task's content"):
            await follow(TaskServer([[HELLO[0], END]], [COMPLETED], found))


async def test_the_events_of_a_turn_that_the_stream_shows_empty_come_from_the_content() -> None:
    """A stream that shows only empty done frames of an ended turn doesn't hide its events."""
    got = await follow(TaskServer([[done("succeeded", -1)]], [COMPLETED], WHOLE_CONTENT), prompt_id="p1")
    assert got.seqs == [1, 2, 3]
    assert got.done == Done(status=TaskStatus.COMPLETED, last_seq=None, final_result="from the task")
