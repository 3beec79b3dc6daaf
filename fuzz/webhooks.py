"""Fuzz the verifier and the receiver of webhooks, guided by coverage: `nox -s fuzz`.

A crash is written to a file, and `python fuzz/webhooks.py FILE` repeats it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["rebyte_async"]):
    from rebyte_async.errors import RebyteError, WebhookPayloadError
    from rebyte_async.webhooks import SignatureScheme, WebhookReceiver, WebhookVerifier, sign

SECRET = secrets.token_hex()
"""The secret can't be guessed, so a delivery that passes without it shows a vulnerability."""
URL = "https://app.example.com/rebyte"
NAMES = ["X-Webhook-Secret", "x-webhook-signature", "X-Webhook-Timestamp", "Content-Length", "Content-Encoding", "Host"]
SCHEMES = [
    SignatureScheme(),
    SignatureScheme(encoding="hex", prefix="v1="),
    SignatureScheme(encoding="base64url", signed="{body}"),
]
RUNNER = asyncio.Runner()


def make_key() -> str:
    """Return a public key whose private key is discarded."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    key = generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


KEY = make_key()
VERIFIERS = [WebhookVerifier(SECRET), *(WebhookVerifier(public_key=KEY, scheme=scheme) for scheme in SCHEMES)]


def make_headers(data: Any) -> list[tuple[Any, Any]]:
    """Return pairs of names and values, as text or as bytes."""
    pairs = list[tuple[Any, Any]]()
    for _ in range(data.ConsumeIntInRange(0, 6)):
        name = data.PickValueInList(NAMES) if data.ConsumeBool() else data.ConsumeUnicode(12)
        value = data.ConsumeUnicode(60) if data.ConsumeBool() else data.ConsumeBytes(60)
        pairs.append((name, value))
    return pairs


def check_forgery(data: Any) -> None:
    """No delivery is genuine without the secret or the key, and only the package's errors are raised."""
    verifier = data.PickValueInList(VERIFIERS)
    url = data.ConsumeUnicode(30) if data.ConsumeBool() else URL
    now = data.ConsumeFloat()
    message = None
    try:
        verifier.verify(make_headers(data), data.ConsumeBytes(4096), url, now)
    except RebyteError as error:
        message = str(error)
    assert message is not None, "a forgery was taken for genuine"
    assert SECRET not in message


def check_genuine(data: Any) -> None:
    """A genuine delivery gives an event, or a `WebhookPayloadError`."""
    body = data.ConsumeBytes(4096)
    if data.ConsumeBool():
        body = b'{"taskId":"t1",' + body
    try:
        event = VERIFIERS[0].verify(*sign(body, secret=SECRET))
    except WebhookPayloadError:
        return
    assert event.task_id == event.payload["taskId"]
    repr(event)


def check_encoding(data: Any) -> None:
    """An encoded signature is decoded to the same bytes, and any other text to bytes or None."""
    scheme = data.PickValueInList(SCHEMES)
    signature = data.ConsumeBytes(300)
    assert scheme.decode(scheme.encode(signature)) == signature
    decoded = scheme.decode(data.ConsumeUnicode(300))
    assert decoded is None or isinstance(decoded, bytes)


def check_receiver(data: Any) -> None:
    """A receiver in an ASGI server responds to everything, and counts each delivery once."""
    RUNNER.run(_check_receiver(data))


async def _check_receiver(data: Any) -> None:
    receiver = WebhookReceiver(WebhookVerifier(SECRET), max_body=1_000, backlog=2, concurrency=1)
    receiver.on(repr)
    async with receiver:
        for _ in range(data.ConsumeIntInRange(1, 4)):
            body = data.ConsumeBytes(1_200)
            is_genuine = data.ConsumeBool()
            given = sign(body, secret=SECRET).headers.items() if is_genuine else make_headers(data)
            statuses = await _post(receiver, _encode_headers(given), _split(data, body), data.ConsumeUnicode(20))
            allowed = ([], [200], [413]) if is_genuine else ([], [401], [413], [415])
            assert statuses in allowed, statuses
    stats = receiver.stats()
    assert stats.accepted == stats.handled
    assert not stats.refused


def _encode_headers(pairs: Any) -> list[tuple[bytes, bytes]]:
    return [(_encode(name).lower(), _encode(value)) for name, value in pairs]


def _encode(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def _split(data: Any, body: bytes) -> list[dict[str, Any]]:
    cut = data.ConsumeIntInRange(0, len(body))
    last = {"type": "http.request", "body": body[cut:], "more_body": False}
    if data.ConsumeBool():
        last = {"type": "http.disconnect"} if data.ConsumeProbability() > 0.9 else last  # noqa: PLR2004 - rarely
    return [{"type": "http.request", "body": body[:cut], "more_body": True}, last]


async def _post(receiver: Any, given: Any, messages: list[Any], path: str) -> list[int]:
    statuses = list[int]()

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    safe = path.encode("utf-8", "replace").decode()
    await receiver({"type": "http", "method": "POST", "headers": given, "path": safe}, receive, send)
    return statuses


TARGETS = [check_forgery, check_genuine, check_encoding, check_receiver]


def check_input(raw: bytes) -> None:
    """Run one input: its beginning selects the check, and the rest is the data of that check."""
    data = atheris.FuzzedDataProvider(raw)
    data.PickValueInList(TARGETS)(data)


if __name__ == "__main__":
    logging.disable()
    atheris.Setup(sys.argv, check_input)
    atheris.Fuzz()
