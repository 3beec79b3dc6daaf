"""Deliveries of webhooks: their content, their signatures, their attempts and their faults."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import ssl
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
import trustme
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from emulator.raw_client import RawClient
from emulator.receiver import receiving
from rebyte_async.emulator import (
    Deliveries,
    DeliveryPolicy,
    Emulator,
    LateDelivery,
    RepeatedDelivery,
    StaleDelivery,
    TamperedDelivery,
    UnreadableDelivery,
    WebhookFormat,
    delegate,
    fail,
    hold,
    raw,
    text,
)
from rebyte_async.emulator.webhooks.delivery import LoopbackResolver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from emulator.receiver import Received, Receiver
    from rebyte_async.emulator import Fault
    from rebyte_async.emulator.webhooks.log import Outcome

EVENTS = ["task.created", "task.running", "task.completed", "task.failed", "task.canceled"]


@pytest.fixture
def emulator(signing_emulator: Emulator) -> Emulator:
    """An emulator with a signing key, which doesn't wait between attempts at a delivery."""
    signing_emulator.script(text("Hello"), times=None)
    return signing_emulator


@pytest.fixture
def http(signing_http: RawClient) -> RawClient:
    """A plain client of the emulator."""
    return signing_http


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks."""
    async with receiving() as receiver:
        yield receiver


async def _register(http: RawClient, url: str, **fields: Any) -> str:
    response = await http.call("POST", "/webhooks", json={"url": url, "events": EVENTS, **fields})
    assert response.status == 201, response
    return str(response.json()["id"])


async def _webhook(http: RawClient, webhook_id: str) -> Any:
    return (await http.call("GET", f"/webhooks/{webhook_id}")).json()


async def _verify(http: RawClient, url: str, delivery: Received) -> None:
    """Check a signature by code other than the emulator's."""
    pem = (await http.call("GET", "/webhooks/public_key")).json()["publicKey"]
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey)
    key.verify(
        base64.b64decode(delivery.headers["X-Webhook-Signature"], validate=True),
        _signed(url, delivery),
        PKCS1v15(),
        hashes.SHA256(),
    )


def _signed(url: str, delivery: Received) -> bytes:
    digest = hashlib.sha256(delivery.body).hexdigest()
    return f"{delivery.headers['X-Webhook-Timestamp']}.{url}.{digest}".encode()


# The events that are delivered


async def test_a_task_is_announced_from_its_creation_to_its_end(
    emulator: Emulator, http: RawClient, receiver: Receiver
) -> None:
    """The events of a task are delivered in order, as JSON with the task's id, its status and the time."""
    webhook_id = await _register(http, receiver.url)
    task_id = await http.create()

    deliveries = await emulator.delivered(task_id=task_id, count=3)

    assert receiver.events == ["task.created", "task.running", "task.completed"]
    assert [delivery.event for delivery in deliveries] == receiver.events
    last = receiver.received[-1]
    assert last.json() == {
        "event": "task.completed",
        "taskId": task_id,
        "status": "completed",
        "timestamp": last.json()["timestamp"],
    }
    assert (last.method, last.headers["Content-Type"]) == ("POST", "application/json")
    assert (await _webhook(http, webhook_id))["lastTriggeredAt"] is not None


@pytest.mark.parametrize(("end", "event"), [("fail", "task.failed"), ("cancel", "task.canceled")])
async def test_each_kind_of_end_has_its_event(
    emulator: Emulator, http: RawClient, receiver: Receiver, end: str, event: str
) -> None:
    """A failure and a cancel have their own events, and a webhook gets only those that it registered for."""
    await _register(http, receiver.url, events=[event])
    emulator.script(fail("no") if end == "fail" else hold())
    task_id = await http.create()
    if end == "cancel":
        await http.call("POST", f"/tasks/{task_id}/cancel")

    await emulator.delivered(event, task_id=task_id)

    assert receiver.events == [event]


async def test_every_turn_is_announced(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A further turn is announced like the first, the creation only once, and a delegated prompt never."""
    emulator.script(delegate("Look it up", text("there")), text("a"))
    await _register(http, receiver.url)
    task_id = await http.create()
    await emulator.delivered("task.completed")
    await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "again"})
    await emulator.delivered("task.completed", count=2)

    assert receiver.events == [
        "task.created", "task.running", "task.completed", "task.running", "task.completed",
    ]  # fmt: skip


async def test_every_task_is_announced_to_every_webhook(emulator: Emulator, http: RawClient) -> None:
    """Each webhook gets the events in order, and a slow one delays neither tasks nor other webhooks."""
    async with receiving() as quick, receiving() as slow:
        slow.opened.clear()
        for receiver in (quick, slow):
            await _register(http, receiver.url)
        tasks = [await http.create() for _ in range(5)]
        for task_id in tasks:
            await http.frames(task_id)
        await emulator.delivered(count=15)

        assert (len(quick.received), len(slow.received)) == (15, 1)
        slow.opened.set()
        await emulator.delivered(count=30)
        assert {delivery.json()["taskId"] for delivery in slow.received} == set(tasks)


async def test_the_event_may_be_missing(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A delivery can have only the task and its status."""
    emulator.webhook_format = WebhookFormat(event=False)
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed")

    assert set(receiver.received[-1].json()) == {"taskId", "status", "timestamp"}


# Signatures


async def test_a_delivery_has_the_secret_and_a_signature(
    emulator: Emulator, http: RawClient, receiver: Receiver
) -> None:
    """The signature is over time, URL and body, is fresh, and is verified by other code."""
    await _register(http, receiver.url, secret="s3cret")
    await http.create()
    await emulator.delivered("task.completed")

    for delivery in receiver.received:
        await _verify(http, receiver.url, delivery)
        assert abs(time.time() - int(delivery.headers["X-Webhook-Timestamp"])) < 60
    assert {delivery.headers["X-Webhook-Secret"] for delivery in receiver.received} == {"s3cret"}


async def test_without_a_secret_none_is_sent(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """The signature is sent all the same."""
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed")

    assert "X-Webhook-Secret" not in receiver.received[0].headers
    assert "X-Webhook-Signature" in receiver.received[0].headers


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to verify with")
async def test_openssl_verifies_a_signature(
    emulator: Emulator, http: RawClient, receiver: Receiver, tmp_path: Path
) -> None:
    """The public key is used as the API returns it."""
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed")
    delivery, folder = receiver.received[-1], anyio.Path(tmp_path)
    pem = (await http.call("GET", "/webhooks/public_key")).json()["publicKey"]
    await (folder / "key.pem").write_text(pem)
    await (folder / "signature").write_bytes(base64.b64decode(delivery.headers["X-Webhook-Signature"]))
    await (folder / "signed").write_bytes(_signed(receiver.url, delivery))

    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "signed"]
    result = await anyio.run_process(command, cwd=tmp_path, check=False)

    assert result.stdout.strip() == b"Verified OK"


async def test_without_cryptography_only_the_secret_is_sent(
    http: RawClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing package breaks no delivery."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    async with Emulator(pace=0) as emulator, aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        await _register(http, receiver.url, secret="s3cret")
        await http.create()
        await emulator.delivered("task.completed")
        emulator.check()

    headers = receiver.received[-1].headers
    assert headers["X-Webhook-Secret"] == "s3cret"
    assert "X-Webhook-Signature" not in headers


# Attempts


async def test_a_delivery_that_fails_is_tried_again(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """Each attempt is signed anew, a redirect counts as a failure, and the webhook counts failures in a row."""
    receiver.statuses.extend([500, 302])
    webhook_id = await _register(http, receiver.url, events=["task.created"])
    await http.create()

    (delivery,) = await emulator.delivered()

    assert [attempt.status for attempt in delivery.attempts] == [500, 302, 200]
    assert [delivery.body for delivery in receiver.received] == [delivery.body] * 3
    assert (await _webhook(http, webhook_id))["failureCount"] == 0


async def test_a_delivery_fails_after_all_attempts(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """The next delivery is tried all the same."""
    emulator.delivery = DeliveryPolicy(attempts=2, backoff=0)
    receiver.statuses.extend([404, 503])
    webhook_id = await _register(http, receiver.url, events=["task.created"])
    await http.create()
    (failed,) = await emulator.delivered(outcome="failed")
    count = (await _webhook(http, webhook_id))["failureCount"]
    await http.create()
    await emulator.delivered()

    assert ([attempt.status for attempt in failed.attempts], count) == ([404, 503], 2)
    assert [delivery.outcome for delivery in emulator.deliveries] == ["failed", "delivered"]


@pytest.mark.parametrize(
    ("outcome", "reason"), [("failed", "2 attempts, the last one with status 500"), ("skipped", "isn't on this mach")]
)
async def test_a_wait_ends_when_the_deliveries_have(
    emulator: Emulator, http: RawClient, receiver: Receiver, outcome: Outcome, reason: str
) -> None:
    """A wait for deliveries that have ended otherwise is an error that says how."""
    emulator.delivery = DeliveryPolicy(attempts=2, backoff=0)
    receiver.statuses.extend([500, 500])
    url = receiver.url if outcome == "failed" else "https://hooks.example.com/"
    await _register(http, url, events=["task.completed"])
    task_id = await http.create()

    with pytest.raises(RuntimeError, match=reason):
        await emulator.delivered(task_id=task_id)
    (ended,) = await emulator.delivered("task.completed", outcome=outcome)

    assert (ended.task_id, ended.outcome) == (task_id, outcome)


async def test_a_reported_failure_ends_no_later_wait(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """Once a test knows of a failed delivery, it can wait for a later one of the same kind."""
    emulator.delivery = DeliveryPolicy(attempts=1)
    receiver.statuses.append(500)
    await _register(http, receiver.url, events=["task.completed"])
    await http.create()
    await emulator.delivered("task.completed", outcome="failed")

    waiting = asyncio.create_task(emulator.delivered("task.completed"))
    await asyncio.sleep(0)
    task_id = await http.create()
    (delivered,) = await waiting

    assert delivered.task_id == task_id


async def test_one_of_several_deliveries_may_fail(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A wait for one delivery ends with the one that succeeds, and a wait for as many as there are is an error."""
    emulator.delivery = DeliveryPolicy(attempts=1)
    receiver.statuses.extend([200, 500])
    await _register(http, receiver.url, events=["task.created", "task.completed"])
    await http.create()

    (delivered,) = await emulator.delivered()
    with pytest.raises(RuntimeError, match=r"the delivery of task\.completed .* failed"):
        await emulator.delivered("task.completed")

    assert delivered.event == "task.created"


async def test_a_dropped_delivery_ends_a_wait(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """So does the deletion of the webhook."""
    emulator.faults.add(LateDelivery(5), Deliveries("task.completed"))
    webhook_id = await _register(http, receiver.url)
    await http.frames(await http.create())
    await emulator.delivered("task.running")
    await http.call("DELETE", f"/webhooks/{webhook_id}")

    with pytest.raises(RuntimeError, match="was dropped, not delivered"):
        await emulator.delivered("task.completed")


@pytest.mark.parametrize("how", ["clear", "close"])
@pytest.mark.parametrize("what", ["delivered", "reached"])
async def test_clear_and_close_end_waits(emulator: Emulator, how: str, what: str) -> None:
    """A wait for what can't happen any more is an error, and a wait that is cancelled is cancelled."""
    waiting = asyncio.create_task(emulator.delivered() if what == "delivered" else _reach(emulator))
    cancelled = asyncio.create_task(emulator.reached())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    if how == "close":
        await emulator.aclose()
    else:
        emulator.clear()

    with pytest.raises(RuntimeError, match="cleared or closed"):
        await waiting
    assert cancelled.cancelled()


async def _reach(emulator: Emulator) -> tuple[()]:
    await emulator.reached()
    return ()


async def test_each_wait_is_twice_the_last(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """Other deliveries aren't delayed by it."""
    emulator.delivery = DeliveryPolicy(backoff=0.02)
    receiver.statuses.extend([500, 500, 500])
    await _register(http, receiver.url, events=["task.created"])
    await http.create()

    (delivery,) = await emulator.delivered()

    times = [attempt.time.timestamp() for attempt in delivery.attempts]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(wait >= 0.02 * 2**number for number, wait in enumerate(waits))


async def test_a_failed_delivery_is_queued_again(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A failed delivery is sent again after those that became due in the meantime."""
    receiver.statuses.append(500)
    receiver.opened.clear()
    await _register(http, receiver.url)
    await http.frames(await http.create())
    receiver.opened.set()
    await emulator.delivered(count=3)

    assert receiver.events[0] == "task.created"
    assert receiver.events[1:] in (
        ["task.running", "task.completed", "task.created"],
        ["task.running", "task.created", "task.completed"],
    )


@pytest.mark.parametrize("kind", ["closed", "silent"])
async def test_a_receiver_may_not_respond(
    emulator: Emulator, http: RawClient, receiver: Receiver, unused_port: int, kind: str
) -> None:
    """A refused connection and a timeout are failed attempts, with the reason."""
    emulator.delivery = DeliveryPolicy(attempts=1, timeout=0.05)
    receiver.opened.clear()
    await _register(http, receiver.url if kind == "silent" else f"http://127.0.0.1:{unused_port}/")
    await http.create()

    (delivery, *_) = await emulator.delivered(outcome="failed", count=3)  # all, so that none comes while all is closed

    assert delivery.attempts[0].status is None
    assert ("TimeoutError" if kind == "silent" else "ConnectorError") in str(delivery.attempts[0].error)
    receiver.opened.set()


async def test_a_failing_webhook_can_be_deactivated(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """The policy sets the number of failed attempts after which that happens."""
    emulator.delivery = DeliveryPolicy(attempts=2, backoff=0, deactivate_after=2)
    receiver.statuses.extend([500, 500])
    webhook_id = await _register(http, receiver.url, events=["task.created"])
    await http.create()
    await emulator.delivered(outcome="failed")

    await http.frames(await http.create())

    webhook = await _webhook(http, webhook_id)
    assert (webhook["isActive"], webhook["failureCount"], len(emulator.deliveries)) == (False, 2, 1)


# Faults


async def test_a_delivery_can_be_repeated(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """The copies have the same body, and a match selects the event."""
    rule = emulator.faults.add(RepeatedDelivery(), Deliveries("task.completed"), times=None)
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed", count=2)

    assert receiver.events == ["task.created", "task.running", "task.completed", "task.completed"]
    assert receiver.received[2].body == receiver.received[3].body
    assert rule.fired == 1


async def test_a_delivery_can_come_out_of_order(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A late delivery comes after a number of later ones."""
    emulator.faults.add(LateDelivery(2), Deliveries("task.created"))
    emulator.faults.add(LateDelivery(1), Deliveries("task.running"))
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered(count=3)

    assert receiver.events == ["task.completed", "task.running", "task.created"]


async def test_a_late_delivery_waits(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A late delivery waits for later deliveries of any task; earlier ones don't count."""
    emulator.faults.add(LateDelivery(), Deliveries("task.completed"))
    await _register(http, receiver.url)
    await http.frames(await http.create())
    await emulator.delivered("task.running")
    assert [delivery.outcome for delivery in emulator.deliveries] == ["delivered", "delivered", "pending"]
    await http.create()
    await emulator.delivered("task.completed", count=2)

    assert receiver.events == [
        "task.created", "task.running", "task.created", "task.completed", "task.running", "task.completed",
    ]  # fmt: skip


@pytest.mark.parametrize("part", ["signature", "body"])
async def test_a_delivery_can_be_tampered_with(
    emulator: Emulator, http: RawClient, receiver: Receiver, part: Any
) -> None:
    """A tampered delivery has a wrong signature and a body of JSON, and the next delivery is right."""
    emulator.faults.add(TamperedDelivery(part))
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed")

    with pytest.raises(InvalidSignature):
        await _verify(http, receiver.url, receiver.received[0])
    assert receiver.received[0].json()["event"] == "task.created"
    await _verify(http, receiver.url, receiver.received[1])


@pytest.mark.parametrize(("part", "secret"), [("secret", "A3cret"), ("unsigned", None)])
async def test_a_secret_can_be_wrong_or_missing(
    emulator: Emulator, http: RawClient, receiver: Receiver, part: Any, secret: str | None
) -> None:
    """Such deliveries look like those of a stranger."""
    emulator.faults.add(TamperedDelivery(part))
    await _register(http, receiver.url, secret="s3cret")
    await http.create()
    await emulator.delivered("task.completed")

    forged, genuine = receiver.received[:2]
    assert (forged.headers.get("X-Webhook-Secret"), genuine.headers["X-Webhook-Secret"]) == (secret, "s3cret")
    assert ("X-Webhook-Signature" in forged.headers) == (part == "secret")


async def test_a_delivery_can_be_stale(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """A stale delivery has a valid signature with an old time."""
    emulator.faults.add(StaleDelivery(3600))
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed")

    await _verify(http, receiver.url, receiver.received[0])
    ages = [time.time() - int(delivery.headers["X-Webhook-Timestamp"]) for delivery in receiver.received[:2]]
    assert (ages[0] > 3500, ages[1] < 60) == (True, True)


async def test_faults_of_deliveries_and_of_requests_stay_apart(
    emulator: Emulator, http: RawClient, receiver: Receiver
) -> None:
    """One registry has both; each fault troubles its own kind, with the order and chance of all faults."""
    faults: list[Fault] = [TamperedDelivery(), StaleDelivery(3600)]
    for fault in faults:
        emulator.faults.add(fault, Deliveries(nth=2), times=1)
    emulator.faults.add(RepeatedDelivery(), Deliveries(probability=0.0), times=None)
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered(count=3)

    assert [rule.fired for rule in emulator.faults] == [1, 1, 0]
    assert all(record.faults == () for record in emulator.log)
    assert int(receiver.received[1].headers["X-Webhook-Timestamp"]) < time.time() - 3500


# Where deliveries go, and when they stop


@pytest.mark.parametrize("url", ["https://example.com/hook", "https://192.0.2.1/hook", "https://127.0.0.1.nip.io/"])
async def test_nothing_leaves_the_machine(emulator: Emulator, http: RawClient, url: str) -> None:
    """A webhook on another machine can be registered, and its deliveries are logged as skipped."""
    webhook_id = await _register(http, url)
    await http.create()

    deliveries = await emulator.delivered(count=3, outcome="skipped")

    assert [delivery.event for delivery in deliveries] == ["task.created", "task.running", "task.completed"]
    assert all(delivery.attempts == () for delivery in deliveries)
    assert deliveries[0].json()["event"] == "task.created"
    webhook = await _webhook(http, webhook_id)
    assert (webhook["lastTriggeredAt"], webhook["failureCount"]) == (None, 0)


async def test_no_name_server_is_queried() -> None:
    """This machine has its own names, and no other name has an address."""
    resolver = LoopbackResolver()

    assert [found["host"] for found in await resolver.resolve("localhost", 80)] == ["127.0.0.1"]
    with pytest.raises(OSError, match="isn't this machine"):
        await resolver.resolve("example.com", 80)


async def test_a_receiver_may_be_on_localhost(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """`localhost` is this machine."""
    await _register(http, receiver.url.replace("127.0.0.1", "localhost"))
    await http.create()
    await emulator.delivered("task.completed")

    assert len(receiver.received) == 3


async def test_a_receiver_may_have_any_certificate(emulator: Emulator, http: RawClient) -> None:
    """Certificates aren't checked on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    async with receiving(context) as receiver:
        await _register(http, receiver.url)
        await http.create()
        await emulator.delivered("task.completed")

        assert receiver.url.startswith("https://")
        assert len(receiver.received) == 3


async def test_a_deleted_webhook_gets_no_more_deliveries(
    emulator: Emulator, http: RawClient, receiver: Receiver
) -> None:
    """Queued and held deliveries are dropped; an attempt under way is completed."""
    emulator.faults.add(LateDelivery(5), Deliveries("task.running"))
    receiver.opened.clear()
    webhook_id = await _register(http, receiver.url)
    await http.frames(await http.create())
    await receiver.arrivals.get()
    await http.call("DELETE", f"/webhooks/{webhook_id}")
    receiver.opened.set()
    dropped = await emulator.delivered(outcome="dropped", count=2)
    await http.frames(await http.create())

    assert [delivery.event for delivery in dropped] == ["task.running", "task.completed"]
    assert receiver.events == ["task.created"]
    assert len(emulator.deliveries) == 3


@pytest.mark.parametrize("how", ["clear", "close"])
async def test_clear_and_close_end_deliveries(
    emulator: Emulator, http: RawClient, receiver: Receiver, how: str
) -> None:
    """Deliveries end at once, whether they wait for a response or for their next attempt."""
    emulator.delivery = DeliveryPolicy(backoff=3600, timeout=3600)
    receiver.statuses.append(500)
    await _register(http, receiver.url)
    await http.create()
    await receiver.arrivals.get()
    receiver.opened.clear()
    await receiver.arrivals.get()

    with anyio.fail_after(2):
        if how == "close":
            await emulator.aclose()
        else:
            emulator.clear()
            assert emulator.deliveries == ()
            assert (await http.call("GET", "/webhooks")).json() == {"webhooks": []}
    receiver.opened.set()


def test_deliveries_can_be_awaited_from_another_loop(webhook_key: str) -> None:
    """This works with an emulator in a thread, as in the pytest plugin."""
    with Emulator(pace=0, webhook_key=webhook_key, log_limit=2) as emulator:
        asyncio.run(_wait_for_delivery(emulator))
        assert [delivery.number for delivery in emulator.deliveries] == [2, 3]


async def _wait_for_delivery(emulator: Emulator) -> None:
    async with receiving() as receiver, aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        await _register(http, receiver.url)
        await http.create()
        await emulator.delivered("task.completed")
        assert receiver.events == ["task.created", "task.running", "task.completed"]


async def test_an_invalid_signing_key_fails_the_check() -> None:
    """The test learns that the given key is invalid."""
    async with Emulator(pace=0, webhook_key="no PEM") as emulator, aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        response = await http.call("GET", "/webhooks/public_key")

        assert response.status == 500
        with pytest.raises(ExceptionGroup):
            emulator.check()


async def test_a_turn_that_ended_is_announced_once(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """Later steps of its agent change nothing."""
    emulator.script(fail("no"), raw("text", content="late"))
    await _register(http, receiver.url)
    await http.frames(await http.create())
    await http.create()
    await emulator.delivered("task.completed")

    assert receiver.events.count("task.failed") == 1


async def test_a_delivery_can_be_unreadable(emulator: Emulator, http: RawClient, receiver: Receiver) -> None:
    """An unreadable delivery has a valid signature, and a body that is no JSON."""
    emulator.faults.add(UnreadableDelivery(b"<html>"))
    await _register(http, receiver.url)
    await http.create()
    await emulator.delivered("task.completed")

    assert receiver.received[0].body == b"<html>"
    await _verify(http, receiver.url, receiver.received[0])
    assert receiver.received[1].json()["event"] == "task.running"
