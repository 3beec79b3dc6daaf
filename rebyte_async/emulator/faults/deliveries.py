"""Faults of webhook deliveries: repeated, out of order, signed wrongly, or unreadable."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from rebyte_async.emulator.faults.base import DeliveryPlan


@frozen
class RepeatedDelivery:
    """An event is delivered more than once."""

    copies: int = 2
    """How often it is delivered."""

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        return evolve(plan, copies=self.copies)


@frozen
class LateDelivery:
    """A delivery comes out of order: it waits until later ones to the same webhook are over."""

    behind: int = 1
    """How many later deliveries it waits for."""

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        return evolve(plan, behind=self.behind)


@frozen
class StaleDelivery:
    """A delivery has a valid but old signature."""

    seconds: float = 600.0
    """How many seconds old it is."""

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        return evolve(plan, age=self.seconds)


@frozen
class TamperedDelivery:
    """A delivery differs from what was signed."""

    part: Literal["signature", "body", "secret", "unsigned"] = "signature"
    """The wrong part: the signature; the body, which was changed after it was signed; the secret; or `unsigned`, where
    there is neither signature nor secret."""

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        return evolve(plan, tampered=self.part)


@frozen
class UnreadableDelivery:
    """A delivery is genuine, and a receiver can't read its body."""

    body: bytes = b"<html>"
    """The body, which is signed properly."""

    def delivery(self, plan: DeliveryPlan) -> DeliveryPlan:
        return evolve(plan, body=self.body)
