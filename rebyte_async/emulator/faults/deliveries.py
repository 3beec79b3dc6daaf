"""Deliveries of webhooks that aren't as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import evolve, frozen

from rebyte_async.emulator.faults.match import EVERY_DELIVERY, Deliveries

if TYPE_CHECKING:
    from typing import ClassVar

    from rebyte_async.emulator.webhooks.message import DeliveryPlan

__all__ = ["LateDelivery", "RepeatedDelivery", "StaleDelivery", "TamperedDelivery", "UnreadableDelivery"]


@frozen
class RepeatedDelivery:
    """A delivery comes more than once."""

    copies: int = 2
    """How often."""

    where: ClassVar[Deliveries] = EVERY_DELIVERY

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        """Send it again."""
        return evolve(plan, copies=self.copies)


@frozen
class LateDelivery:
    """A delivery comes out of order: after later ones to the same webhook. Until those come, it waits."""

    behind: int = 1
    """After how many."""

    where: ClassVar[Deliveries] = EVERY_DELIVERY

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        """Hold it back."""
        return evolve(plan, behind=self.behind)


@frozen
class StaleDelivery:
    """A delivery is signed properly, but some time ago."""

    seconds: float = 600.0
    """How long ago."""

    where: ClassVar[Deliveries] = EVERY_DELIVERY

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        """Have an old timestamp."""
        return evolve(plan, age=self.seconds)


@frozen
class TamperedDelivery:
    """A delivery isn't what was signed."""

    part: Literal["signature", "body", "secret", "unsigned"] = "signature"
    """What is wrong: the signature; the body, which was changed after it was signed; the secret; or there is neither
    signature nor secret at all."""

    where: ClassVar[Deliveries] = EVERY_DELIVERY

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        """Have it tampered with."""
        return evolve(plan, tampered=self.part)


@frozen
class UnreadableDelivery:
    """A delivery is signed properly, and its body isn't what a receiver can read."""

    body: bytes = b"<html>"
    """What it is."""

    where: ClassVar[Deliveries] = EVERY_DELIVERY

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        """Have another body."""
        return evolve(plan, body=self.body)
