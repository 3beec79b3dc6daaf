"""The HTTP message of a delivery: its body, and the headers that prove where it comes from."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from anyio import to_thread
from attrs import define, field

from rebyte_async.emulator.faults.base import DeliveryPlan
from rebyte_async.emulator.webhooks.log import Delivery

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_KEY_SIZE = 2048
_EXPONENT = 65537


class CryptographyMissingError(Exception):
    """The package `cryptography` isn't installed, so nothing can be signed."""


@define(eq=False)
class SigningKey:
    """The RSA key that deliveries are signed with: a given one, or one that is generated at first use.

    Both methods block, and raise a `CryptographyMissingError` if `cryptography` isn't installed.

    *Source*: contract §7, observed (there is an RSA-SHA256 signature). GUESS(§7): what is signed
    """

    _pem: bytes | None = field(default=None, repr=False)
    _key: RSAPrivateKey | None = field(default=None, init=False, repr=False)
    _lock: Lock = field(factory=Lock, init=False, repr=False)

    def sign(self, message: bytes) -> str:
        """Return the base64 of a message's signature by RSA PKCS#1 v1.5 with SHA-256."""
        key = self._private_key()
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - it is an extra
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - likewise

        return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()

    def public_pem(self) -> str:
        key = self._private_key()
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - it is an extra

        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def _private_key(self) -> RSAPrivateKey:
        with self._lock:
            self._key = self._key or _load_key(self._pem)
            return self._key


@define(eq=False)
class QueuedDelivery:
    """A delivery that waits to be sent."""

    delivery: Delivery
    plan: DeliveryPlan
    held_for: int = field(default=0, kw_only=True)
    """How many later deliveries must be over before it is sent."""

    @property
    def body(self) -> bytes:
        body = self._signed_body
        return body.replace(b'"taskId":"', b'"taskId":"0', 1) if self.plan.tampered == "body" else body

    @property
    def _signed_body(self) -> bytes:
        return self.delivery.body if self.plan.body is None else self.plan.body

    async def make_headers(self, key: SigningKey, secret: str | None, now: datetime) -> dict[str, str]:
        """Make the headers that prove where the delivery comes from.

        *Source*: contract §7, documented for the secret. GUESS(§7): the signature
        """
        if self.plan.tampered == "unsigned":
            return {}
        headers = {} if secret is None else {"X-Webhook-Secret": self._maybe_spoil("secret", secret)}
        timestamp = int(now.timestamp() - self.plan.age)
        message = f"{timestamp}.{self.delivery.url}.{hashlib.sha256(self._signed_body).hexdigest()}"
        try:
            signature = self._maybe_spoil("signature", await to_thread.run_sync(key.sign, message.encode()))
        except CryptographyMissingError:
            return headers
        return {**headers, "X-Webhook-Timestamp": str(timestamp), "X-Webhook-Signature": signature}

    def _maybe_spoil(self, part: str, value: str) -> str:
        if self.plan.tampered != part:
            return value
        return ("B" if value.startswith("A") else "A") + value[1:]


def _load_key(pem: bytes | None) -> RSAPrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - it is an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - likewise
    except ImportError:
        raise CryptographyMissingError from None
    if pem is None:
        return rsa.generate_private_key(_EXPONENT, _KEY_SIZE)
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("webhook_key must be an RSA key")
    return key
