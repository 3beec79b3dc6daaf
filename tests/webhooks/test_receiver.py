"""A receiver handles each delivery once, in the background, within limits, until it is closed."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest
from attrs import define, field

from rebyte_async.errors import ConfigurationError, SignatureMismatchError, WebhookPayloadError
from rebyte_async.types import WebhookEventName
from rebyte_async.webhooks import Receipt, SeenWindow, WebhookEvent, WebhookReceiver, WebhookVerifier, sign
from rebyte_async.webhooks.receiver import Limits

SECRET = "s3cret-of-the-tests"
VERIFIER = WebhookVerifier(SECRET)


async def deliver(receiver: WebhookReceiver, task_id: str = "t1", event: str | None = "task.completed") -> Receipt:
    """Give a receiver a genuine delivery."""
    payload = {"taskId": task_id} if event is None else {"taskId": task_id, "event": event}
    return await receiver.receive(*sign(payload, secret=SECRET))


# --- each delivery once ---


async def test_an_application_can_add_a_check_of_its_own() -> None:
    """A receiver asks the verifier it was given, so that a subclass can refuse more; it sees the headers as text."""

    class OneHost(WebhookVerifier):
        def verify(self, headers: Any, body: bytes, url: str | None = None, now: Any = None) -> WebhookEvent:
            event = super().verify(headers, body, url, now)
            if headers["X-From"] != "rebyte":
                raise SignatureMismatchError("the delivery is from elsewhere")
            return event

    receiver = WebhookReceiver(OneHost(SECRET))
    headers, body = sign({"taskId": "t1"}, secret=SECRET)
    statuses = [
        (await receiver.receive({**headers, "x-from": sender}, body)).status for sender in ("stranger", "rebyte")
    ]
    assert statuses == [401, 200]


async def test_a_repeat_gets_a_200_and_does_nothing() -> None:
    """The same body, signed at another time, is the same delivery; any other body isn't."""
    receiver = WebhookReceiver(VERIFIER, seen=SeenWindow())
    received = list[WebhookEvent]()
    receiver.on(received.append)
    async with receiver:
        payload = {"taskId": "t1", "event": "task.completed"}
        first = await receiver.receive(*sign(payload, secret=SECRET))
        repeat = await receiver.receive(*sign(payload, secret=SECRET, now=time.time() - 5))
        other = await receiver.receive(*sign({**payload, "status": "completed"}, secret=SECRET))
    receipts = [(receipt.status, receipt.is_repeat) for receipt in (first, repeat, other)]
    assert receipts == [(200, False), (200, True), (200, False)]
    assert (repeat.event, len(received)) == (first.event, 2)


async def test_copies_at_the_same_time_are_one_delivery() -> None:
    """Copies that come while the store is still asked count as repeats."""

    class SlowStore(SeenWindow):
        async def add(self, key: str) -> bool:
            await asyncio.sleep(0.01)
            return await super().add(key)

    receiver = WebhookReceiver(VERIFIER, seen=SlowStore())
    receipts = await asyncio.gather(*(deliver(receiver) for _ in range(5)))
    assert sorted(receipt.is_repeat for receipt in receipts) == [False, True, True, True, True]


async def test_the_window_ends() -> None:
    """After the window the same delivery is new again, and only a limited number is remembered."""
    now = 0.0
    window = SeenWindow(seconds=60, limit=3, clock=lambda: now)
    assert [await window.add("a"), await window.add("a")] == [True, False]
    now = 59.9
    assert not await window.add("a")
    now = 60.0
    assert await window.add("a")
    for key in "bcde":
        assert await window.add(key)
    assert [await window.add(key) for key in "edcba"] == [False, False, False, True, True]
    wrongs: list[Any] = [
        {"seconds": 0},
        {"seconds": True},
        {"limit": -1},
        {"seconds": float("inf")},
        {"seconds": 10**400},
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigurationError, match=r"(seconds|limit) must be a number above 0"):
            SeenWindow(**wrong)


async def test_processes_share_a_store_and_webhooks_do_not_mix_in_it() -> None:
    """Several receivers of one URL handle a delivery once; two URLs with the same delivery handle it each."""
    store = SeenWindow()
    here, there = (WebhookReceiver(VERIFIER, url="https://a.example/hook", seen=store) for _ in range(2))
    other = WebhookReceiver(VERIFIER, url="https://b.example/hook", seen=store)
    assert [(await deliver(receiver)).is_repeat for receiver in (here, there, other)] == [False, True, False]


async def test_a_store_that_fails_makes_every_delivery_new(caplog: pytest.LogCaptureFixture) -> None:
    """A delivery is rather handled twice than never; the failure is logged."""

    class BrokenStore:
        async def add(self, key: str) -> bool:
            raise ConnectionError(key)

    receiver = WebhookReceiver(VERIFIER, seen=BrokenStore())
    assert [(await deliver(receiver)).is_repeat for _ in range(2)] == [False, False]
    assert "taken for new" in caplog.text


async def test_a_store_that_hangs_delays_no_delivery_for_long(caplog: pytest.LogCaptureFixture) -> None:
    """The delivery counts as new when the store takes too long."""

    class HangingStore:
        async def add(self, _key: str) -> bool:
            await asyncio.Event().wait()
            return False

    receiver = WebhookReceiver(VERIFIER, seen=HangingStore(), _limits=Limits(store_timeout=0.01))
    assert (await deliver(receiver)).is_repeat is False
    assert "taken for new" in caplog.text


@define
class SlowAnsweringStore:
    """A store that remembers at once, and returns once `go` is set."""

    go: asyncio.Event = field(factory=asyncio.Event)
    keys: list[str] = field(factory=list)

    async def add(self, key: str) -> bool:
        """Remember a delivery, and wait."""
        is_new = key not in self.keys
        self.keys.append(key)
        await self.go.wait()
        return is_new


async def test_a_request_that_is_cancelled_loses_no_delivery() -> None:
    """A delivery that the store has remembered reaches handlers although its sender has disconnected."""
    store = SlowAnsweringStore()
    received = list[str]()
    receiver = WebhookReceiver(VERIFIER, seen=store)

    @receiver.on
    async def handler(event: WebhookEvent) -> None:
        received.append(event.task_id)

    async with receiver:
        request = asyncio.create_task(deliver(receiver))
        await asyncio.sleep(0.005)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await deliver(receiver, "t2")
        store.go.set()
        assert [(await deliver(receiver, task_id)).is_repeat for task_id in ("t1", "t2")] == [True, True]
    assert received == ["t1", "t2"]
    assert receiver.stats().accepted == 2


async def test_the_same_body_for_two_urls_is_two_deliveries() -> None:
    """The URL that is given with a delivery is a part of its identity."""
    receiver = WebhookReceiver(VERIFIER)
    delivery = sign({"taskId": "t1"}, secret=SECRET)
    urls = ("https://a.example/1", "https://a.example/2", "https://a.example/1")
    assert [(await receiver.receive(*delivery, url=url)).is_repeat for url in urls] == [False, False, True]


# --- handlers and readers ---


async def test_handlers_get_the_events_they_are_for() -> None:
    """A handler is for one name, several or all; an event without a name reaches those for all."""
    receiver = WebhookReceiver(VERIFIER)
    received = list[tuple[str, str]]()

    def note(who: str, event: WebhookEvent) -> None:
        received.append((who, event.task_id))

    ends = receiver.on(WebhookEventName.TASK_COMPLETED, "task.failed")
    note_ends = functools.partial(note, "ends")
    assert ends(note_ends) is note_ends
    receiver.on("*")(functools.partial(note, "star"))
    receiver.on()(functools.partial(note, "none"))

    @receiver.on
    def bare(event: WebhookEvent) -> None:
        note("bare", event)

    @receiver.on("task.archived")
    async def newer(event: WebhookEvent) -> None:
        note("newer", event)

    async with receiver:
        for number, event in enumerate(["task.completed", "task.failed", "task.running", None, "task.archived"]):
            assert (await deliver(receiver, f"t{number}", event)).status == 200
    every = {(who, f"t{number}") for who in ("star", "none", "bare") for number in range(5)}
    assert set(received) == every | {("ends", "t0"), ("ends", "t1"), ("newer", "t4")}
    assert (len(received), receiver.stats().handled) == (18, 18)


@define
class CallableObject:
    """An object whose `__call__` is a coroutine function."""

    threads: list[int] = field(factory=list)

    async def __call__(self, _event: WebhookEvent) -> None:
        """Note the thread."""
        self.threads.append(threading.get_ident())


async def test_plain_functions_run_in_a_thread_and_coroutine_functions_in_the_loop() -> None:
    """A plain function can't block the loop; an awaitable that a plain function returns is awaited in the loop."""
    receiver = WebhookReceiver(VERIFIER)
    threads = dict[str, int]()
    own = CallableObject()

    @receiver.on
    def plain(_event: WebhookEvent) -> None:
        threads["plain"] = threading.get_ident()

    async def coroutine(name: str, _event: WebhookEvent) -> None:
        threads[name] = threading.get_ident()

    receiver.on(functools.partial(coroutine, "partial"))
    receiver.on(lambda event: coroutine("lambda", event))
    receiver.on(own)
    async with receiver:
        await deliver(receiver)
    here = threading.get_ident()
    assert threads.pop("plain") != here
    assert threads == {"partial": here, "lambda": here}
    assert own.threads == [here]


async def test_a_handler_that_fails_is_logged_and_counted_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A failure stops neither the response nor other handlers; a CancelledError of the handler is a failure as well."""
    receiver = WebhookReceiver(VERIFIER, concurrency=1)
    received = list[str]()

    @receiver.on
    async def fails(event: WebhookEvent) -> None:
        raise ValueError("boom") if event.task_id == "t1" else asyncio.CancelledError

    receiver.on(lambda event: received.append(event.task_id))
    async with receiver:
        assert [(await deliver(receiver, task_id)).status for task_id in ("t1", "t2")] == [200, 200]
    assert received == ["t1", "t2"]
    stats = receiver.stats()
    assert (stats.handled, stats.handler_errors) == (2, 2)
    assert "fails failed with" in caplog.text
    assert "boom" in caplog.text


@pytest.mark.parametrize("wrong", [("",), (5,), ("task.completed", None)])
def test_an_invalid_name_is_refused(wrong: tuple[Any, ...]) -> None:
    """Names are strings, and a handler can be called."""
    with pytest.raises(ConfigurationError, match="names of events"):
        WebhookReceiver(VERIFIER).on(*wrong)
    with pytest.raises(ConfigurationError, match="handler must be"):
        WebhookReceiver(VERIFIER).on("*")("no function")  # type: ignore[type-var]


# --- limits ---


async def test_the_response_does_not_wait_and_few_handlers_run_at_once() -> None:
    """Handlers run in the background, at most `concurrency` at once."""
    receiver = WebhookReceiver(VERIFIER, concurrency=3)
    go = asyncio.Event()
    running, most = 0, 0

    @receiver.on
    async def slow(_event: WebhookEvent) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    async with receiver:
        assert {(await deliver(receiver, f"t{number}")).status for number in range(10)} == {200}
        await asyncio.sleep(0.01)
        assert (running, receiver.stats().handled) == (3, 0)
        go.set()
    assert (most, receiver.stats().handled) == (3, 10)


async def test_beyond_the_backlog_a_delivery_gets_a_503() -> None:
    """The delivery is not remembered, so it is accepted when it is sent again and there is room."""
    receiver = WebhookReceiver(VERIFIER, concurrency=1, backlog=2)
    go = asyncio.Event()
    received = list[str]()

    @receiver.on
    async def slow(event: WebhookEvent) -> None:
        await go.wait()
        received.append(event.task_id)

    async with receiver:
        await deliver(receiver, "t0")
        await asyncio.sleep(0)  # its handler starts
        assert [(await deliver(receiver, f"t{number}")).status for number in (1, 2, 3, 3)] == [200, 200, 503, 503]
        go.set()
        while len(received) < 3:
            await asyncio.sleep(0.001)
        assert (await deliver(receiver, "t3")).status == 200
    assert received == ["t0", "t1", "t2", "t3"]
    assert (receiver.stats().accepted, receiver.stats().refused) == (4, 2)


async def test_events_that_are_not_read_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    """Only the latest events are kept; the log and the counters report a reader that is too slow."""
    receiver = WebhookReceiver(VERIFIER, buffer=3)
    for number in range(10):
        await deliver(receiver, f"t{number}")
    assert (receiver.stats().dropped, caplog.text) == (0, "")  # there is no reader who misses them
    reader = aiter(receiver)
    assert (await anext(reader)).task_id == "t7"
    for number in range(10, 13):
        await deliver(receiver, f"t{number}")
    assert receiver.stats().dropped == 2
    assert caplog.text.count("too slow") == 1
    await receiver.aclose()
    assert [event.task_id async for event in receiver] == ["t10", "t11", "t12"]


async def test_reading_waits_for_events_and_ends_with_the_receiver() -> None:
    """Several readers get each event once, and cancelling a reader loses none."""
    receiver = WebhookReceiver(VERIFIER)
    read = list[str]()

    async def reader() -> None:
        async for event in receiver:
            read.append(event.task_id)

    readers = [asyncio.create_task(reader()) for _ in range(3)]
    await asyncio.sleep(0)
    readers[0].cancel()
    for number in range(6):
        await deliver(receiver, f"t{number}")
        await asyncio.sleep(0)
    await receiver.aclose()
    await asyncio.wait(readers)
    assert sorted(read) == [f"t{number}" for number in range(6)]


async def test_large_events_that_are_not_read_do_not_pile_up() -> None:
    """The size of all kept events is limited as well; the latest event is always kept."""
    receiver = WebhookReceiver(VERIFIER, _limits=Limits(buffered_bytes=10_000))
    for number in range(10):
        await receiver.receive(*sign({"taskId": f"t{number}", "pad": "x" * 4_000}, secret=SECRET))
    reader = aiter(receiver)
    assert [(await anext(reader)).task_id for _ in range(2)] == ["t8", "t9"]
    await deliver(receiver, "small")
    await receiver.receive(*sign({"taskId": "large", "pad": "x" * 40_000}, secret=SECRET))
    assert (await anext(reader)).task_id == "large"
    assert receiver.stats().dropped == 1


REQUEST = ContextVar("REQUEST", default="none")


async def test_a_handler_sees_the_context_of_its_own_request() -> None:
    """A handler that had to wait for others still sees the context of its own request."""
    receiver = WebhookReceiver(VERIFIER, concurrency=1)
    received = list[tuple[str, str]]()

    @receiver.on
    async def handler(event: WebhookEvent) -> None:
        received.append((event.task_id, REQUEST.get()))
        await asyncio.sleep(0.001)

    async def request(task_id: str) -> None:
        REQUEST.set(f"request of {task_id}")
        await deliver(receiver, task_id)

    async with receiver:
        await asyncio.gather(*(request(f"t{number}") for number in range(4)))
    assert received == [(f"t{number}", f"request of t{number}") for number in range(4)]


# --- deliveries that are not accepted ---


async def test_each_kind_of_delivery_has_its_status(caplog: pytest.LogCaptureFixture) -> None:
    """Forged 401, unreadable 200, too large 413, misused 500: logged and counted, with the reason in the receipt."""
    caplog.set_level(logging.WARNING, "rebyte_async.webhooks")
    receiver = WebhookReceiver(VERIFIER, max_body=1_000)
    forged = await receiver.receive(*sign({"taskId": "t1"}, secret="a-forgers-own"))
    unreadable = await receiver.receive(*sign("no JSON", secret=SECRET))
    large = await receiver.receive(*sign(b" " * 1_001, secret=SECRET))
    wrong = await receiver.receive({"X-Webhook-Secret": SECRET}, "decoded")  # type: ignore[arg-type]
    assert [receipt.status for receipt in (forged, unreadable, large, wrong)] == [401, 200, 413, 500]
    assert isinstance(forged.error, SignatureMismatchError)
    assert isinstance(unreadable.error, WebhookPayloadError)
    stats = receiver.stats()
    assert (stats.forged, stats.unreadable, stats.too_large, stats.refused, stats.accepted) == (1, 1, 1, 1, 0)
    assert "refused: X-Webhook-Secret is not the secret: a webhook keeps" in caplog.text
    assert "genuine delivery can't be read: the body is no JSON" in caplog.text
    assert SECRET not in caplog.text
    assert "forgers" not in caplog.text


async def test_verifying_alone_does_nothing_else() -> None:
    """`verify` raises what is wrong, and calls no handler."""
    receiver = WebhookReceiver(VERIFIER)
    received = list[WebhookEvent]()
    receiver.on(received.append)
    async with receiver:
        assert (await receiver.verify(*sign({"taskId": "t1"}, secret=SECRET))).task_id == "t1"
        with pytest.raises(SignatureMismatchError):
            await receiver.verify(*sign({"taskId": "t1"}, secret="other"))
    assert received == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "/hook"}, "absolute URL"),
        ({"url": "ftp://a.example/"}, "absolute URL"),
        ({"url": "https://[::"}, "absolute URL"),
        ({"url": 7}, "absolute URL"),
        ({"max_body": 0}, "max_body"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"backlog": -1}, "backlog"),
        ({"buffer": True}, "buffer"),
        ({"read_timeout": -1}, "read_timeout"),
        ({"read_timeout": 10**400}, "read_timeout"),
        ({"drain_timeout": float("nan")}, "drain_timeout"),
        ({"drain_timeout": float("inf")}, "drain_timeout"),
    ],
)
def test_an_invalid_setting_is_refused(arguments: dict[str, Any], words: str) -> None:
    """A receiver with an invalid setting can't be made."""
    with pytest.raises(ConfigurationError, match=words):
        WebhookReceiver(VERIFIER, **arguments)
    with pytest.raises(ConfigurationError, match="must be a WebhookVerifier"):
        WebhookReceiver(SECRET)  # type: ignore[arg-type]


async def test_no_delivery_waits_for_a_handler_that_has_just_ended() -> None:
    """Deliveries that come right when a handler ends are handled at once."""
    receiver = WebhookReceiver(VERIFIER, concurrency=1)
    handled = asyncio.Event()

    @receiver.on
    async def handler(_event: WebhookEvent) -> None:
        handled.set()

    for number in range(20):
        handled.clear()
        await deliver(receiver, f"t{number}")
        async with asyncio.timeout(5):
            await handled.wait()


# --- closing ---


async def test_closing_waits_for_handlers_and_then_cancels_them(caplog: pytest.LogCaptureFixture) -> None:
    """Handlers that don't end in time are cancelled, those that never began are logged, and no task is left."""
    receiver = WebhookReceiver(VERIFIER, concurrency=2, drain_timeout=0.5)
    ended = list[str]()
    before = asyncio.all_tasks()

    @receiver.on
    async def handler(event: WebhookEvent) -> None:
        try:
            await asyncio.sleep(0.01 if event.task_id == "quick" else 60)
            ended.append(event.task_id)
        except asyncio.CancelledError:
            ended.append(f"{event.task_id} canceled")
            raise

    async with receiver:
        for task_id in ("quick", "slow", "slower", "waiting"):
            await deliver(receiver, task_id)
    assert (ended[0], sorted(ended[1:])) == ("quick", ["slow canceled", "slower canceled"])
    assert "cut 2 handlers off, and 1 never began" in caplog.text
    assert asyncio.all_tasks() == before
    assert (await deliver(receiver, "late")).status == 503
    assert repr(receiver) == "<WebhookReceiver closed>"
    await receiver.aclose()


async def test_closing_does_not_wait_for_a_thread_that_does_not_end() -> None:
    """A plain function that runs in a thread is abandoned."""
    receiver = WebhookReceiver(VERIFIER, drain_timeout=0.02)
    go = threading.Event()
    receiver.on(lambda _event: go.wait(30))
    await deliver(receiver)
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await receiver.aclose()
    go.set()


async def test_closing_waits_for_a_delivery_that_is_being_accepted() -> None:
    """A delivery that the store is being asked about is still handled: the store may have remembered it."""

    class SlowStore(SeenWindow):
        async def add(self, key: str) -> bool:
            await asyncio.sleep(0.02)
            return await super().add(key)

    receiver = WebhookReceiver(VERIFIER, seen=SlowStore())
    received = list[str]()

    @receiver.on
    async def handler(event: WebhookEvent) -> None:
        received.append(event.task_id)

    taking = asyncio.create_task(deliver(receiver))
    await asyncio.sleep(0.005)
    await receiver.aclose()
    assert received == ["t1"]
    assert (await taking).status == 200


async def test_a_handler_may_close_its_own_receiver() -> None:
    """A handler that closes its receiver doesn't wait for itself."""
    receiver = WebhookReceiver(VERIFIER)
    done = asyncio.Event()

    @receiver.on
    async def last(_event: WebhookEvent) -> None:
        await receiver.aclose()
        done.set()

    await deliver(receiver)
    await done.wait()
    assert (await deliver(receiver, "t2")).status == 503


async def test_a_close_that_is_cancelled_cancels_the_handlers() -> None:
    """A cancelled `aclose` leaves no task running."""
    receiver = WebhookReceiver(VERIFIER)
    before = asyncio.all_tasks()

    @receiver.on
    async def handler(_event: WebhookEvent) -> None:
        await asyncio.sleep(60)

    await deliver(receiver)
    closing = asyncio.create_task(receiver.aclose())
    await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_two_handlers_that_close_their_receiver_do_not_wait_for_each_other() -> None:
    """Each waits for the other handlers, and both end."""
    receiver = WebhookReceiver(VERIFIER, drain_timeout=1_000)
    ended = list[str]()
    ready = asyncio.Barrier(2)

    async def close(name: str, _event: WebhookEvent) -> None:
        await ready.wait()
        await receiver.aclose()
        ended.append(name)

    @receiver.on
    async def other(_event: WebhookEvent) -> None:
        await asyncio.sleep(0.02)
        ended.append("other")

    receiver.on(functools.partial(close, "one"))
    receiver.on(functools.partial(close, "two"))
    await deliver(receiver)
    async with asyncio.timeout(10):
        while len(ended) < 3:
            await asyncio.sleep(0.001)
    assert ended[0] == "other"


async def test_no_handler_begins_after_the_close() -> None:
    """A delivery that the store is still asked about when the time is up gets a 503 and reaches no handler."""
    receiver = WebhookReceiver(VERIFIER, seen=SlowAnsweringStore(), drain_timeout=0.01)
    received = list[WebhookEvent]()
    receiver.on(received.append)
    before = asyncio.all_tasks()
    request = asyncio.create_task(deliver(receiver))
    await asyncio.sleep(0.005)
    await receiver.aclose()
    assert (await request).status == 503
    assert (received, asyncio.all_tasks()) == ([], before)


async def test_a_store_that_ignores_cancellation_begins_nothing_after_the_close() -> None:
    """The result of a store that comes after the receiver's close is ignored."""

    class Stubborn(SlowAnsweringStore):
        async def add(self, key: str) -> bool:
            with suppress(asyncio.CancelledError):
                await super().add(key)
            return True

    receiver = WebhookReceiver(VERIFIER, seen=Stubborn(), drain_timeout=0.01)
    received = list[WebhookEvent]()
    receiver.on(received.append)
    request = asyncio.create_task(deliver(receiver))
    await asyncio.sleep(0.005)
    await receiver.aclose()
    assert (await request).status == 503
    await asyncio.sleep(0.005)
    assert received == []


async def test_a_receiver_that_is_entered_again_is_open_again() -> None:
    """A reopened receiver has its handlers and counters again; readers and waits from before have ended."""
    receiver = WebhookReceiver(VERIFIER)
    received = list[str]()
    receiver.on(lambda event: received.append(event.task_id))
    for number in range(3):
        async with receiver:
            reader = aiter(receiver)
            assert (await deliver(receiver, f"t{number}")).status == 200
            assert (await anext(reader)).task_id == f"t{number}"
            waiting = asyncio.create_task(receiver.wait(f"w{number}"))
            await asyncio.sleep(0)
            assert not waiting.done()
        assert (await deliver(receiver, "late")).status == 503
        with pytest.raises(StopAsyncIteration):
            await anext(reader)
        with pytest.raises(ConfigurationError, match="closed"):
            await waiting
    assert received == ["t0", "t1", "t2"]
    assert (receiver.stats().handled, receiver.stats().refused) == (3, 3)


async def test_a_receiver_may_be_entered_again_while_it_is_closing() -> None:
    """The close that is under way cancels no handler of later deliveries."""
    receiver = WebhookReceiver(VERIFIER, drain_timeout=0.02)
    ended = list[str]()
    go = asyncio.Event()

    @receiver.on
    async def handler(event: WebhookEvent) -> None:
        await go.wait()
        ended.append(event.task_id)

    await deliver(receiver, "before")
    closing = asyncio.create_task(receiver.aclose())
    await asyncio.sleep(0.001)
    async with receiver:
        assert (await deliver(receiver, "after")).status == 200
        await closing
        go.set()
    assert ended == ["after"]
