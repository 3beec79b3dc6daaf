"""The public key is read on demand, and again when a signature doesn't match, but not often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, field
from webhooks.rsa_keys import KeyPair

from rebyte_async.errors import ConfigurationError, ConnectError, RebyteError, SignatureMismatchError, TransportError
from rebyte_async.webhooks import SignedDelivery, WebhookReceiver, WebhookVerifier, sign
from rebyte_async.webhooks._headers import Headers
from rebyte_async.webhooks._key_source import KeyRefreshingVerifier

SECRET = "s3cret-of-the-tests"
URL = "https://app.example.com/rebyte"


@define
class Source:
    """Returns a key, and counts the reads."""

    pem: str
    reads: int = 0
    failure: Exception | None = None

    async def __call__(self) -> str:
        """Return the key, or fail."""
        self.reads += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self.pem


@define
class Clock:
    """A clock that the test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def _verify(verifier: KeyRefreshingVerifier, pair: KeyPair, secret: str | None = None) -> str:
    headers, body = sign({"taskId": "t1"}, secret=secret, private_key=pair.private, url=URL)
    return (await verifier.verify(Headers.parse(headers), body, URL)).task_id


async def test_the_key_is_read_once(keys: KeyPair) -> None:
    """The first delivery causes the read; deliveries that come during the read wait for it."""
    source = Source(keys.public)
    verifier = KeyRefreshingVerifier(WebhookVerifier(public_key=source))
    assert await asyncio.gather(*(_verify(verifier, keys) for _ in range(10))) == ["t1"] * 10
    assert source.reads == 1


async def test_a_changed_key_is_read_again(keys: KeyPair, other_keys: KeyPair) -> None:
    """A signature that doesn't match causes one read, and the old key doesn't count any more."""
    source = Source(keys.public)
    clock = Clock()
    verifier = KeyRefreshingVerifier(WebhookVerifier(public_key=source), clock)
    await _verify(verifier, keys)
    source.pem = other_keys.public
    clock.now += 61
    assert await asyncio.gather(*(_verify(verifier, other_keys) for _ in range(10))) == ["t1"] * 10
    assert source.reads == 2
    with pytest.raises(SignatureMismatchError):
        await _verify(verifier, keys)


async def test_forgeries_do_not_hammer_the_api(keys: KeyPair, other_keys: KeyPair) -> None:
    """Forged deliveries cause at most one read a minute, and those with a wrong secret cause none."""
    source = Source(keys.public)
    clock = Clock()
    verifier = KeyRefreshingVerifier(WebhookVerifier(SECRET, source), clock)
    for _ in range(50):
        with pytest.raises(SignatureMismatchError):
            await _verify(verifier, other_keys, "wrong")
    assert source.reads == 0
    for _ in range(50):
        clock.now += 1.3
        with pytest.raises(SignatureMismatchError):
            await _verify(verifier, other_keys, SECRET)
    assert source.reads == 2
    assert await _verify(verifier, keys, SECRET) == "t1"


async def test_without_a_key_the_delivery_is_not_judged(keys: KeyPair) -> None:
    """A delivery is neither accepted nor called forged while there is no key, and the API isn't asked again at once."""
    source = Source(keys.public, failure=ConnectError("down"))
    clock = Clock()
    verifier = KeyRefreshingVerifier(WebhookVerifier(public_key=source), clock)
    with pytest.raises(ConnectError):
        await _verify(verifier, keys)
    with pytest.raises(TransportError, match="a moment ago"):
        await _verify(verifier, keys)
    assert source.reads == 1
    source.failure = None
    clock.now += 5
    assert await _verify(verifier, keys) == "t1"


async def test_a_source_that_hangs_delays_no_delivery_for_long(keys: KeyPair) -> None:
    """All deliveries that wait for the key fail together, after one read."""
    reads = 0

    async def source() -> str:
        nonlocal reads
        reads += 1
        await asyncio.Event().wait()
        return ""

    verifier = KeyRefreshingVerifier(WebhookVerifier(public_key=source), read_timeout=0.05)
    failures = await asyncio.gather(*(_verify(verifier, keys) for _ in range(5)), return_exceptions=True)
    assert ([type(failure) for failure in failures], reads) == ([TimeoutError] * 5, 1)


async def test_a_known_key_stays_when_it_cannot_be_read_again(
    keys: KeyPair, other_keys: KeyPair, caplog: pytest.LogCaptureFixture
) -> None:
    """A delivery that matches the known key is genuine; any other is a mismatch."""
    source = Source(keys.public)
    clock = Clock()
    verifier = KeyRefreshingVerifier(WebhookVerifier(public_key=source), clock)
    await _verify(verifier, keys)
    source.failure = OSError("down")
    clock.now += 61
    with pytest.raises(SignatureMismatchError):
        await _verify(verifier, other_keys)
    assert "couldn't be read again" in caplog.text
    assert await _verify(verifier, keys) == "t1"


@pytest.mark.parametrize("failure", [None, ConnectError("down"), ValueError("odd")])
async def test_a_receiver_without_a_key_responds_503(keys: KeyPair, failure: Exception | None) -> None:
    """The service sends the delivery again if the source fails; a key that is none is a fault of the set-up."""
    source = Source("no key" if failure is None else keys.public, failure=failure)
    receiver = WebhookReceiver(WebhookVerifier(public_key=source), url=URL)
    delivery = sign({"taskId": "t1"}, private_key=keys.private, url=URL)
    receipt = await receiver.receive(*delivery)
    assert receipt.status == (500 if failure is None else 503)
    assert isinstance(receipt.error, RebyteError if failure is None else type(failure))
    assert receiver.stats().refused == 1


@define
class SlowSource:
    """Returns a key once `go` is set."""

    pem: str
    go: asyncio.Event = field(factory=asyncio.Event)
    reads: int = 0

    async def __call__(self) -> str:
        """Wait, and return the key."""
        self.reads += 1
        await self.go.wait()
        return self.pem


async def test_a_read_continues_when_its_sender_disconnects(keys: KeyPair) -> None:
    """The next delivery shares the read that a disconnected sender caused; the key isn't read again."""
    source = SlowSource(keys.public)
    verifier = KeyRefreshingVerifier(WebhookVerifier(public_key=source))
    for _ in range(3):
        leaving = asyncio.create_task(_verify(verifier, keys))
        await asyncio.sleep(0.001)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    staying = asyncio.create_task(_verify(verifier, keys))
    await asyncio.sleep(0.001)
    source.go.set()
    assert await staying == "t1"
    assert source.reads == 1


async def _close_during_the_read(receiver: WebhookReceiver, keys: KeyPair) -> SignedDelivery:
    """Close a receiver while a delivery waits for the key, and return the delivery, which is refused."""
    delivery = sign({"taskId": "t1"}, private_key=keys.private, url=URL)
    request = asyncio.create_task(receiver.receive(*delivery))
    await asyncio.sleep(0.001)
    await receiver.aclose()
    assert (await request).status == 503
    return delivery


async def test_closing_cancels_a_read(keys: KeyPair) -> None:
    """A delivery that waits for the key gets a 503 and is not remembered; no task is left running."""
    source = SlowSource(keys.public)
    before = asyncio.all_tasks()
    receiver = WebhookReceiver(WebhookVerifier(public_key=source), url=URL)
    delivery = await _close_during_the_read(receiver, keys)
    assert asyncio.all_tasks() == before
    source.go.set()
    async with receiver:
        assert not (await receiver.receive(*delivery)).is_repeat


async def test_a_delivery_whose_key_comes_after_the_close_is_not_remembered(keys: KeyPair) -> None:
    """The delivery gets a 503, and is new when it is sent again."""
    source = SlowSource(keys.public)

    async def stubborn() -> str:
        try:
            return await source()
        except asyncio.CancelledError:
            return keys.public

    receiver = WebhookReceiver(WebhookVerifier(public_key=stubborn), url=URL)
    delivery = await _close_during_the_read(receiver, keys)
    source.go.set()
    async with receiver:
        assert not (await receiver.receive(*delivery)).is_repeat


@pytest.mark.parametrize(
    "nothing", [None, "", b"", [], lambda: "a key"], ids=["None", "text", "bytes", "list", "function"]
)
async def test_a_source_that_returns_no_key_is_a_fault_of_the_set_up(keys: KeyPair, nothing: Any) -> None:
    """No delivery is called forged because the source returns no key."""

    async def source() -> Any:
        return nothing

    receiver = WebhookReceiver(WebhookVerifier(public_key=source), url=URL)
    receipt = await receiver.receive(*sign({"taskId": "t1"}, private_key=keys.private, url=URL))
    assert (receipt.status, type(receipt.error)) == (500, ConfigurationError)
    assert receiver.stats().forged == 0
