"""How webhooks look where the contract leaves it open, and how stubbornly they are delivered."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

__all__ = ["DeliveryPolicy", "WebhookFormat"]


@frozen(kw_only=True)
class WebhookFormat:
    """The parts of the answers and of the deliveries that nobody may rely on.

    *Source*: contract, section 7 (unknown for the list, guess for the key).
    """

    items: Literal["webhooks", "data"] | None = "webhooks"
    """The field that the list is under; None for a bare array."""
    again: Literal["existing", "new", "conflict"] = "existing"
    """What comes of registering a URL again: the webhook that exists, another one, or a 409."""
    public_key: Literal["publicKey", "public_key", "key"] | None = "publicKey"
    """The field that the public key is under; None for plain text."""
    public_key_base64: bool = False
    """Whether the public key is the base64 of a PEM, instead of a PEM."""
    event: bool = True
    """Whether a delivery's JSON has the `event`, or only what it is about."""


@frozen(kw_only=True)
class DeliveryPolicy:
    """How often and how fast a delivery is tried.

    *Source*: contract, section 7 (unknown: all of it is the emulator's own).
    """

    attempts: int = 4
    """How often a delivery is tried before it is given up."""
    backoff: float = 0.2
    """Seconds until the second attempt; each further wait is twice as long. 0 tries again at once."""
    timeout: float = 5.0
    """Seconds that a receiver has for its answer."""
    deactivate_after: int | None = None
    """After how many failed attempts in a row a webhook isn't active any more; None for never."""
