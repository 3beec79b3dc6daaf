"""Verifiers and receivers keep their promises for any input."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from webhooks.rsa_keys import KeyPair, make_keys

from rebyte_async.errors import RebyteError, WebhookPayloadError, WebhookVerificationError
from rebyte_async.webhooks import SignatureScheme, WebhookReceiver, WebhookVerifier, sign

SECRET = "s3cret-of-the-tests"
URL = "https://app.example.com/rebyte"
KEYS: KeyPair = make_keys()
NAMES = ["X-Webhook-Secret", "X-Webhook-Signature", "X-Webhook-Timestamp", "x-webhook-secret", "Content-Type"]
VERIFIERS = [
    WebhookVerifier(SECRET),
    WebhookVerifier([SECRET, "sécret"], KEYS.public),
    WebhookVerifier(public_key=KEYS.public, scheme=SignatureScheme(encoding="hex", prefix="v1=")),
    WebhookVerifier(public_key=KEYS.public, scheme=SignatureScheme(encoding="base64url", signed="{body}")),
]

values = st.one_of(st.text(), st.binary(), st.sampled_from([SECRET, "1800000000", "v1=00", "AAAA"]))
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=20), st.sampled_from([b"X-WEBHOOK-SECRET", b"\xff"]))
pairs = st.lists(st.tuples(names, values), max_size=8)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(["taskId", "event", "status", "x"]), json_values, max_size=4)
bodies = st.one_of(
    st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
    json_values.map(lambda value: json.dumps(value).encode()), documents.map(lambda value: json.dumps(value).encode()),
)  # fmt: skip
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(headers=pairs, body=bodies, now=st.floats(), verifier=st.sampled_from(VERIFIERS))
@many
def test_any_input_gives_an_event_or_an_error_of_the_package(
    headers: list[Any], body: bytes, now: float, verifier: WebhookVerifier
) -> None:
    """Any headers, body and time give an event or a RebyteError, which shows no secret."""
    said = ""
    try:
        verifier.verify(headers, body, URL, now)
    except RebyteError as error:
        said = str(error)
    assert SECRET not in said


@given(body=bodies)
@example(body=b"[" * 100_000)
@many
def test_a_genuine_body_is_an_event_or_unreadable(body: bytes) -> None:
    """A genuine body is never called forged."""
    verifier = WebhookVerifier(SECRET, KEYS.public)
    delivery = sign(body, secret=SECRET, private_key=KEYS.private, url=URL)
    try:
        event = verifier.verify(*delivery, url=URL)
    except WebhookPayloadError:
        return
    assert event.payload["taskId"] == event.task_id


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
secrets = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=30)


@given(payload=st.dictionaries(texts, texts, max_size=3), task=secrets, secret=secrets, url=texts)
@many
def test_signed_deliveries_are_genuine(payload: dict[str, str], task: str, secret: str, url: str) -> None:
    """A signed delivery is verified and read, for any payload, secret and URL."""
    payload = {**payload, "taskId": task}
    delivery = sign(payload, secret=secret, private_key=KEYS.private, url=url)
    event = WebhookVerifier(secret, KEYS.public).verify(*delivery, url=url)
    assert (event.task_id, event.payload) == (task, payload)


@given(
    where=st.integers(0, 10_000), bit=st.integers(0, 7), part=st.sampled_from(["body", "secret", "signature", "time"])
)
@many
def test_a_flipped_bit_is_a_forgery(where: int, bit: int, part: str) -> None:
    """A delivery with one changed bit in body, secret, signature or time is refused."""
    delivery = sign({"taskId": "t1", "event": "task.completed"}, secret=SECRET, private_key=KEYS.private, url=URL)
    name = {"secret": NAMES[0], "signature": NAMES[1], "time": NAMES[2]}.get(part, "")
    original = delivery.body if part == "body" else delivery.headers[name].encode()
    flipped = bytearray(original)
    flipped[where % len(flipped)] ^= 1 << bit
    headers: Any = [(key, flipped if key == name else value) for key, value in delivery.headers.items()]
    headers = [(key, bytes(value) if isinstance(value, bytearray) else value) for key, value in headers]
    body = bytes(flipped) if part == "body" else delivery.body
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier(SECRET, KEYS.public).verify(headers, body, URL)


@given(deliveries=st.lists(st.tuples(pairs, bodies, st.booleans()), max_size=6))
@many
def test_a_receiver_has_a_status_for_everything(deliveries: list[tuple[list[Any], bytes, bool]]) -> None:
    """Each delivery gets a status and is counted once, and handlers get each accepted one once."""

    async def main() -> None:
        receiver = WebhookReceiver(WebhookVerifier(SECRET), max_body=10_000)
        received = list[str]()

        @receiver.on
        async def note(event: Any) -> None:
            received.append(event.task_id)

        async with receiver:
            for headers, body, genuine in deliveries:
                signed = sign(body, secret=SECRET).headers if genuine else headers
                receipt = await receiver.receive(signed, body)
                assert receipt.status in ({200} if genuine else {200, 401})
        stats = receiver.stats()
        counts = (stats.accepted, stats.repeated, stats.unreadable, stats.forged, stats.too_large, stats.refused)
        assert sum(counts) == len(deliveries)
        assert len(received) == stats.accepted == stats.handled

    asyncio.run(main())
