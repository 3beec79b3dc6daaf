"""Random deliveries for the verifier and the receiver, led by coverage: `nox -s fuzz`.

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
"""It can't be guessed, so a delivery that passes without it is a hole."""
URL = "https://app.example.com/rebyte"
NAMES = ["X-Webhook-Secret", "x-webhook-signature", "X-Webhook-Timestamp", "Content-Length", "Content-Encoding", "Host"]
SCHEMES = [
    SignatureScheme(),
    SignatureScheme(encoding="hex", prefix="v1="),
    SignatureScheme(encoding="base64url", signed="{body}"),
]
RUNNER = asyncio.Runner()


def a_key() -> str:
    """A public key whose private half is thrown away."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    key = generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


KEY = a_key()
VERIFIERS = [WebhookVerifier(SECRET), *(WebhookVerifier(public_key=KEY, scheme=scheme) for scheme in SCHEMES)]


def headers(data: Any) -> list[tuple[Any, Any]]:
    """Pairs of names and values, as text or as bytes."""
    pairs = list[tuple[Any, Any]]()
    for _ in range(data.ConsumeIntInRange(0, 6)):
        name = data.PickValueInList(NAMES) if data.ConsumeBool() else data.ConsumeUnicode(12)
        value = data.ConsumeUnicode(60) if data.ConsumeBool() else data.ConsumeBytes(60)
        pairs.append((name, value))
    return pairs


def forged(data: Any) -> None:
    """Nothing is genuine without the secret or the key, and only the package's errors come out."""
    verifier = data.PickValueInList(VERIFIERS)
    url = data.ConsumeUnicode(30) if data.ConsumeBool() else URL
    now = data.ConsumeFloat()
    said = None
    try:
        verifier.verify(headers(data), data.ConsumeBytes(4096), url, now)
    except RebyteError as error:
        said = str(error)
    assert said is not None, "a forgery was taken for genuine"
    assert SECRET not in said


def genuine(data: Any) -> None:
    """A genuine body is read, or it is unreadable."""
    body = data.ConsumeBytes(4096)
    if data.ConsumeBool():
        body = b'{"taskId":"t1",' + body
    try:
        event = VERIFIERS[0].verify(*sign(body, secret=SECRET))
    except WebhookPayloadError:
        return
    assert event.task_id == event.payload["taskId"]
    repr(event)


def encoded(data: Any) -> None:
    """A signature is read as it was written; what is none is None."""
    scheme = data.PickValueInList(SCHEMES)
    signature = data.ConsumeBytes(300)
    assert scheme.read(scheme.written(signature)) == signature
    read = scheme.read(data.ConsumeUnicode(300))
    assert read is None or isinstance(read, bytes)


def received(data: Any) -> None:
    """A receiver in an ASGI server responds to everything, and counts each delivery once."""
    RUNNER.run(_received(data))


async def _received(data: Any) -> None:
    receiver = WebhookReceiver(WebhookVerifier(SECRET), max_body=1_000, backlog=2, concurrency=1)
    receiver.on(repr)
    async with receiver:
        for _ in range(data.ConsumeIntInRange(1, 4)):
            body = data.ConsumeBytes(1_200)
            is_genuine = data.ConsumeBool()
            given = sign(body, secret=SECRET).headers.items() if is_genuine else headers(data)
            statuses = await _posted(receiver, _wire(given), _cut(data, body), data.ConsumeUnicode(20))
            allowed = ([], [200], [413]) if is_genuine else ([], [401], [413], [415])
            assert statuses in allowed, statuses
    stats = receiver.stats()
    assert stats.accepted == stats.handled
    assert not stats.refused


def _wire(pairs: Any) -> list[tuple[bytes, bytes]]:
    return [(_bytes(name).lower(), _bytes(value)) for name, value in pairs]


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def _cut(data: Any, body: bytes) -> list[dict[str, Any]]:
    cut = data.ConsumeIntInRange(0, len(body))
    last = {"type": "http.request", "body": body[cut:], "more_body": False}
    if data.ConsumeBool():
        last = {"type": "http.disconnect"} if data.ConsumeProbability() > 0.9 else last  # noqa: PLR2004 - seldom
    return [{"type": "http.request", "body": body[:cut], "more_body": True}, last]


async def _posted(receiver: Any, given: Any, messages: list[Any], path: str) -> list[int]:
    statuses = list[int]()

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    safe = path.encode("utf-8", "replace").decode()
    await receiver({"type": "http", "method": "POST", "headers": given, "path": safe}, receive, send)
    return statuses


TARGETS = [forged, genuine, encoded, received]


def one(raw: bytes) -> None:
    """One input: it chooses what to do with the rest of itself."""
    data = atheris.FuzzedDataProvider(raw)
    data.PickValueInList(TARGETS)(data)


if __name__ == "__main__":
    logging.disable()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
