"""The public key from its source: read when it is needed, and again when a signature doesn't fit, but not often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, field
from webhooks.pairs import KeyPair

from rebyte_async.errors import ConfigurationError, ConnectError, RebyteError, SignatureMismatchError, TransportError
from rebyte_async.webhooks import SignedDelivery, WebhookReceiver, WebhookVerifier, sign
from rebyte_async.webhooks.keys import KeyedVerifier

SECRET = "s3cret-of-the-tests"
URL = "https://app.example.com/rebyte"


@define
class Source:
    """Gives a key, and counts how often."""

    pem: str
    reads: int = 0
    failure: Exception | None = None

    async def __call__(self) -> str:
        """Give it, or fail."""
        self.reads += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self.pem


@define
class Time:
    """A clock that the test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def _verify(keyed: KeyedVerifier, pair: KeyPair, secret: str | None = None) -> str:
    delivery = sign({"taskId": "t1"}, secret=secret, private_key=pair.private, url=URL)
    return (await keyed.verify(*delivery, URL, None)).task_id


async def test_the_key_is_read_once(keys: KeyPair) -> None:
    """By whoever comes first; those who come meanwhile wait for the same read."""
    source = Source(keys.public)
    keyed = KeyedVerifier(WebhookVerifier(public_key=source))
    assert await asyncio.gather(*(_verify(keyed, keys) for _ in range(10))) == ["t1"] * 10
    assert source.reads == 1


async def test_a_changed_key_is_read_again(keys: KeyPair, other_keys: KeyPair) -> None:
    """A signature that doesn't fit is a reason to look, once for all who wait; the old key is none any more."""
    source, clock = Source(keys.public), Time()
    keyed = KeyedVerifier(WebhookVerifier(public_key=source), clock)
    await _verify(keyed, keys)
    source.pem = other_keys.public
    clock.now += 61
    assert await asyncio.gather(*(_verify(keyed, other_keys) for _ in range(10))) == ["t1"] * 10
    assert source.reads == 2
    with pytest.raises(SignatureMismatchError):
        await _verify(keyed, keys)


async def test_forgeries_do_not_hammer_the_api(keys: KeyPair, other_keys: KeyPair) -> None:
    """At most one read a minute, however many come; one with a wrong secret or time is not even a reason to look."""
    source, clock = Source(keys.public), Time()
    keyed = KeyedVerifier(WebhookVerifier(SECRET, source), clock)
    for _ in range(50):
        with pytest.raises(SignatureMismatchError):
            await _verify(keyed, other_keys, "wrong")
    assert source.reads == 0
    for _ in range(50):
        clock.now += 1.3
        with pytest.raises(SignatureMismatchError):
            await _verify(keyed, other_keys, SECRET)
    assert source.reads == 2
    assert await _verify(keyed, keys, SECRET) == "t1"


async def test_without_a_key_the_delivery_is_to_come_again(keys: KeyPair) -> None:
    """Nothing can be told of it, so it is neither taken nor called forged; the API isn't asked again at once."""
    source, clock = Source(keys.public, failure=ConnectError("down")), Time()
    keyed = KeyedVerifier(WebhookVerifier(public_key=source), clock)
    with pytest.raises(ConnectError):
        await _verify(keyed, keys)
    with pytest.raises(TransportError, match="a moment ago"):
        await _verify(keyed, keys)
    assert source.reads == 1
    source.failure = None
    clock.now += 5
    assert await _verify(keyed, keys) == "t1"


async def test_a_source_that_hangs_holds_up_nobody_for_long(keys: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who wait for it give up together, and don't ask one after the other."""
    monkeypatch.setattr("rebyte_async.webhooks.keys._PATIENCE", 0.05)
    reads = 0

    async def source() -> str:
        nonlocal reads
        reads += 1
        await asyncio.Event().wait()
        return ""

    keyed = KeyedVerifier(WebhookVerifier(public_key=source))
    failures = await asyncio.gather(*(_verify(keyed, keys) for _ in range(5)), return_exceptions=True)
    kinds = sorted(type(failure).__name__ for failure in failures)
    assert (kinds, reads) == (["TimeoutError", *["TransportError"] * 4], 1)


async def test_a_key_that_is_known_stays_when_it_cannot_be_read_again(
    keys: KeyPair, other_keys: KeyPair, caplog: pytest.LogCaptureFixture
) -> None:
    """What fits it is genuine all the while; what doesn't is a mismatch."""
    source, clock = Source(keys.public), Time()
    keyed = KeyedVerifier(WebhookVerifier(public_key=source), clock)
    await _verify(keyed, keys)
    source.failure = OSError("down")
    clock.now += 61
    with pytest.raises(SignatureMismatchError):
        await _verify(keyed, other_keys)
    assert "couldn't be read again" in caplog.text
    assert await _verify(keyed, keys) == "t1"


@pytest.mark.parametrize("failure", [None, ConnectError("down"), ValueError("odd")])
async def test_a_receiver_answers_503_for_want_of_a_key(keys: KeyPair, failure: Exception | None) -> None:
    """Whatever the source raises, so that the service sends it again; what is no key is a fault of the set-up."""
    source = Source("no key" if failure is None else keys.public, failure=failure)
    receiver = WebhookReceiver(WebhookVerifier(public_key=source), url=URL)
    delivery = sign({"taskId": "t1"}, private_key=keys.private, url=URL)
    receipt = await receiver.receive(*delivery)
    assert receipt.status == (500 if failure is None else 503)
    assert isinstance(receipt.error, RebyteError if failure is None else type(failure))
    assert receiver.stats().refused == 1


@define
class SlowSource:
    """Gives a key when it may."""

    pem: str
    go: asyncio.Event = field(factory=asyncio.Event)
    reads: int = 0

    async def __call__(self) -> str:
        """Wait, and give it."""
        self.reads += 1
        await self.go.wait()
        return self.pem


async def test_a_read_whose_sender_has_left_goes_on_for_the_others(keys: KeyPair) -> None:
    """It has not failed, so the next delivery is no reason for 503; and leaving makes nobody read it once more."""
    source = SlowSource(keys.public)
    keyed = KeyedVerifier(WebhookVerifier(public_key=source))
    for _ in range(3):
        leaving = asyncio.create_task(_verify(keyed, keys))
        await asyncio.sleep(0.001)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    staying = asyncio.create_task(_verify(keyed, keys))
    await asyncio.sleep(0.001)
    source.go.set()
    assert await staying == "t1"
    assert source.reads == 1


async def _closed_amid_the_read(receiver: WebhookReceiver, keys: KeyPair) -> SignedDelivery:
    """Close a receiver while a delivery waits for the key; the delivery, which isn't taken."""
    delivery = sign({"taskId": "t1"}, private_key=keys.private, url=URL)
    request = asyncio.create_task(receiver.receive(*delivery))
    await asyncio.sleep(0.001)
    await receiver.aclose()
    assert (await request).status == 503
    return delivery


async def test_closing_gives_a_read_up(keys: KeyPair) -> None:
    """A delivery that waits for it is to be sent again, and is not remembered; no task is left behind."""
    source, before = SlowSource(keys.public), asyncio.all_tasks()
    receiver = WebhookReceiver(WebhookVerifier(public_key=source), url=URL)
    delivery = await _closed_amid_the_read(receiver, keys)
    assert asyncio.all_tasks() == before
    source.go.set()
    async with receiver:
        assert not (await receiver.receive(*delivery)).is_repeat


async def test_a_delivery_whose_key_comes_after_the_close_is_not_remembered(keys: KeyPair) -> None:
    """It is to be sent again, and is news then."""
    source = SlowSource(keys.public)

    async def stubborn() -> str:
        try:
            return await source()
        except asyncio.CancelledError:
            return keys.public

    receiver = WebhookReceiver(WebhookVerifier(public_key=stubborn), url=URL)
    delivery = await _closed_amid_the_read(receiver, keys)
    source.go.set()
    async with receiver:
        assert not (await receiver.receive(*delivery)).is_repeat


@pytest.mark.parametrize(
    "nothing", [None, "", b"", [], lambda: "a key"], ids=["None", "text", "bytes", "list", "function"]
)
async def test_a_source_that_gives_nothing_is_a_fault_of_the_set_up(keys: KeyPair, nothing: Any) -> None:
    """No delivery is called forged for it."""

    async def source() -> Any:
        return nothing

    receiver = WebhookReceiver(WebhookVerifier(public_key=source), url=URL)
    receipt = await receiver.receive(*sign({"taskId": "t1"}, private_key=keys.private, url=URL))
    assert (receipt.status, type(receipt.error)) == (500, ConfigurationError)
    assert receiver.stats().forged == 0
