"""The faults that are in force."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.emulator.faults.match import EVERY_REQUEST, Deliveries, Match

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Fault

__all__ = ["FaultRegistry", "Rule"]


@define(eq=False)
class Rule:
    """A fault in force: what it is for, and how often it has happened."""

    fault: Fault
    match: Match | Deliveries
    times: int | None
    _random: random.Random = field(repr=False)
    fired: int = field(default=0, init=False)
    """How many requests, or deliveries, it has troubled."""
    _seen: dict[str, int] = field(factory=dict[str, int], init=False, repr=False)
    _fired: dict[str, int] = field(factory=dict[str, int], init=False, repr=False)

    async def fires(self, exchange: Exchange) -> bool:
        """Whether it troubles this request; asking counts."""
        match = self.match
        return isinstance(match, Match) and await match.fits(exchange) and self._count(match.key(exchange))

    def fires_for(self, event: str) -> bool:
        """Whether it troubles this delivery; asking counts."""
        return isinstance(self.match, Deliveries) and self.match.fits(event) and self._count("")

    def _count(self, key: str) -> bool:
        self._seen[key] = self._seen.get(key, 0) + 1
        fired = self._fired.get(key, 0)
        if self._seen[key] < self.match.nth or (self.times is not None and fired >= self.times):
            return False
        if self.match.probability < 1 and self._random.random() >= self.match.probability:
            return False
        self._fired[key] = fired + 1
        self.fired += 1
        return True


@define(eq=False)
class FaultRegistry:
    """A collection of faults; several may trouble the same request, the first one outermost."""

    seed: int = 0
    """Where chance begins: the same seed and the same requests meet the same faults."""
    _rules: list[Rule] = field(factory=list[Rule], init=False)

    def add(self, fault: Fault, match: Match | Deliveries | None = None, *, times: int | None = 1) -> Rule:
        """Put a fault in force.

        Args:
            fault: What shall happen.
            match: To which requests, or to which deliveries of webhooks; None for those that the fault is made for: the
                event streams for a fault of streams, the downloads for one of downloads, every request for any other.
            times: How often; None for always.

        Returns:
            The rule, which counts how often it fired and can be given to `remove`.
        """
        chance = random.Random(f"{self.seed}-{len(self._rules)}")  # noqa: S311 - no secret, but repeatable
        made_for: Match | Deliveries = getattr(fault, "where", EVERY_REQUEST)
        rule = Rule(fault, match or made_for, times, chance)
        self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Lift one fault.

        Raises:
            ValueError: It isn't in force.
        """
        self._rules.remove(rule)

    def clear(self) -> None:
        """Lift all faults."""
        self._rules.clear()

    async def decide(self, exchange: Exchange) -> tuple[Fault, ...]:
        """The faults that trouble a request; asking counts (the emulator's own use)."""
        return tuple([rule.fault for rule in tuple(self._rules) if await rule.fires(exchange)])

    def decide_delivery(self, event: str) -> tuple[Fault, ...]:
        """The faults that trouble a delivery; asking counts (the emulator's own use)."""
        return tuple([rule.fault for rule in tuple(self._rules) if rule.fires_for(event)])

    def __iter__(self) -> Iterator[Rule]:
        return iter(tuple(self._rules))

    def __len__(self) -> int:
        return len(self._rules)
