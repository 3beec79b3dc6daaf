"""Something to be delivered: what it says, how faults want it delivered, and how it is signed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from rebyte_async.emulator.webhooks.key import NoCryptography

if TYPE_CHECKING:
    from datetime import datetime

    from rebyte_async.emulator.webhooks.key import SigningKey
    from rebyte_async.emulator.webhooks.log import DeliveryEntry

__all__ = ["DeliveryPlan"]


@frozen(kw_only=True)
class DeliveryPlan:
    """How something is to be delivered; faults change it."""

    copies: int = 1
    """How often it comes."""
    behind: int = 0
    """After how many later ones it comes."""
    age: float = 0.0
    """How many seconds ago it was signed."""
    body: bytes | None = None
    """What it says instead of what it should; signed all the same."""
    tampered: str | None = None
    """What isn't as it was signed: `signature`, `body` or `secret`, or all of it is `unsigned`; None for nothing."""


@define(eq=False)
class QueuedDelivery:
    """A delivery on its way."""

    entry: DeliveryEntry
    plan: DeliveryPlan
    waits_for: int = field(default=0, kw_only=True)
    """How many later ones must be over before it is sent."""

    def is_older(self, other: QueuedDelivery) -> bool:
        """Whether it came up before another."""
        return self.entry.delivery.number < other.entry.delivery.number

    @property
    def body(self) -> bytes:
        """What is sent."""
        body = self._signed_body
        return body.replace(b'"taskId":"', b'"taskId":"0', 1) if self.plan.tampered == "body" else body

    @property
    def _signed_body(self) -> bytes:
        return self.entry.delivery.body if self.plan.body is None else self.plan.body

    async def headers(self, key: SigningKey, secret: str | None, now: datetime) -> dict[str, str]:
        """The headers that prove who sends it.

        *Source*: contract, section 7 (documented for the secret, guess for the signature).
        """
        if self.plan.tampered == "unsigned":
            return {}
        headers = {} if secret is None else {"X-Webhook-Secret": self._spoiled("secret", secret)}
        return {**headers, **await self._signature(key, int(now.timestamp() - self.plan.age))}

    async def _signature(self, key: SigningKey, timestamp: int) -> dict[str, str]:
        delivery = self.entry.delivery
        signed = f"{timestamp}.{delivery.url}.{hashlib.sha256(self._signed_body).hexdigest()}"
        try:
            signature = await key.sign(signed.encode())
        except NoCryptography:
            return {}
        return {"X-Webhook-Timestamp": str(timestamp), "X-Webhook-Signature": self._spoiled("signature", signature)}

    def _spoiled(self, part: str, value: str) -> str:
        if self.plan.tampered != part:
            return value
        return ("B" if value.startswith("A") else "A") + value[1:]
