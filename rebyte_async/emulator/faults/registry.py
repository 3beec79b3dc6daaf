"""The faults in force, and the rules that say which requests and deliveries each of them troubles."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import define, field, frozen

from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.base import DeliveryFault, DownloadFault, Fault, RequestFault


def _compile(pattern: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)


@frozen
class Match:
    """Selects requests."""

    method: str | None = None
    """The HTTP method; None for any."""
    path: re.Pattern[str] | None = field(default=None, converter=_compile)
    """A regular expression for the whole path below the base URL, such as `/tasks/[^/]+/events`; None for any."""
    body: re.Pattern[str] | None = field(default=None, converter=_compile, kw_only=True)
    """A regular expression that is searched for in the body; None for any. With it, the body is read first."""
    origin: Literal["api", "storage"] | None = field(default=None, kw_only=True)
    """The origin of the emulator that the request came to; None for any."""
    also: Callable[[Exchange], bool] | None = field(default=None, kw_only=True)
    """A function that decides last; None for none. The request is `exchange.request`."""
    nth: int = field(default=1, kw_only=True)
    """The first selected request that is troubled, counted from 1: those before it are left alone."""
    probability: float = field(default=1.0, kw_only=True)
    """How likely each selected request is troubled, from 0 to 1."""
    per_path: bool = field(default=False, kw_only=True)
    """Whether `nth` and the rule's `times` count for each path separately, such as for each task."""

    async def fits(self, exchange: Exchange) -> bool:
        """Return whether a request is selected."""
        if self.method not in (None, exchange.request.method) or self.origin not in (None, exchange.origin):
            return False
        if self.path is not None and not self.path.fullmatch(exchange.path):
            return False
        if self.also is not None and not self.also(exchange):
            return False
        if self.body is None:
            return True
        return self.body.search((await exchange.body.read()).decode(errors="replace")) is not None


@frozen
class Deliveries:
    """Selects deliveries of webhooks."""

    event: str | None = None
    """The event, such as `task.completed`; None for any."""
    nth: int = field(default=1, kw_only=True)
    """The first selected delivery that is troubled, counted from 1."""
    probability: float = field(default=1.0, kw_only=True)
    """How likely each selected delivery is troubled, from 0 to 1."""

    def fits(self, event: str) -> bool:
        """Return whether the delivery of an event is selected."""
        return self.event in (None, event)


STORAGE = Match(origin="storage")
STREAMS = Match("GET", r"/tasks/[^/]+/events")
DOWNLOADS = Match("GET", r"(/workspaces/[^/]+)?/artifacts/.+", also=lambda exchange: exchange.sends_artifact_bytes)
"""The requests that get the bytes of an artifact, from either origin."""


def _default_match(fault: Fault) -> Match | Deliveries:
    # A fault that isn't made for all that its methods suggest says so in a class attribute `where`.
    where: Match | Deliveries | None = getattr(fault, "where", None)
    if where is not None:
        return where
    if isinstance(fault, RequestFault):
        return Match()
    if isinstance(fault, DeliveryFault):
        return Deliveries()
    return DOWNLOADS if isinstance(fault, DownloadFault) else STREAMS


@define(eq=False)
class Rule:
    """A fault in force: what it troubles, and how often it has done so."""

    fault: Fault
    match: Match | Deliveries
    times: int | None
    _random: random.Random = field(repr=False)
    fired: int = field(default=0, init=False)
    """How many requests or deliveries the fault has troubled."""
    _seen: Counter[str] = field(factory=Counter[str], init=False, repr=False)
    _fired: Counter[str] = field(factory=Counter[str], init=False, repr=False)

    async def fires(self, exchange: Exchange) -> bool:
        """Decide whether the fault troubles this request, and count it."""
        if not isinstance(self.match, Match) or not await self.match.fits(exchange):
            return False
        return self._count(exchange.path if self.match.per_path else "")

    def fires_for(self, event: str) -> bool:
        """Decide whether the fault troubles this delivery, and count it."""
        return isinstance(self.match, Deliveries) and self.match.fits(event) and self._count("")

    def _count(self, key: str) -> bool:
        # Chance is drawn last, and only for those that may fire, so that the same requests meet the same faults.
        self._seen[key] += 1
        if self._seen[key] < self.match.nth or (self.times is not None and self._fired[key] >= self.times):
            return False
        if self.match.probability < 1 and self._random.random() >= self.match.probability:
            return False
        self._fired[key] += 1
        self.fired += 1
        return True


@define(eq=False)
class FaultRegistry:
    """The faults in force. Several may trouble the same request; the first one added is the outermost."""

    seed: int = 0
    """Seeds the probabilities: with the same seed, the same requests meet the same faults."""
    _rules: list[Rule] = field(factory=list[Rule], init=False)

    def add(self, fault: Fault, match: Match | Deliveries | None = None, *, times: int | None = 1) -> Rule:
        """Put a fault in force.

        Args:
            fault: The fault.
            match: The requests, or the deliveries of webhooks, that it troubles. None: those that the fault is made
                for, which are the event streams for a fault of streams, the downloads for one of downloads, and every
                request for any other.
            times: How often it does so; None for always.

        Returns:
            The rule, which counts how often it fired and can be given to `remove`.
        """
        chance = random.Random(f"{self.seed}-{len(self._rules)}")  # noqa: S311 - no secret, but repeatable
        rule = Rule(fault, match or _default_match(fault), times, chance)
        self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Remove one fault.

        Raises:
            ValueError: The rule isn't in force.
        """
        self._rules.remove(rule)

    def clear(self) -> None:
        """Remove all faults."""
        self._rules.clear()

    async def decide(self, exchange: Exchange) -> tuple[Fault, ...]:
        """Return the faults that trouble a request, and count them (for the emulator itself)."""
        return tuple([rule.fault for rule in tuple(self._rules) if await rule.fires(exchange)])

    def decide_delivery(self, event: str) -> tuple[Fault, ...]:
        """Return the faults that trouble a delivery, and count them (for the emulator itself)."""
        return tuple([rule.fault for rule in tuple(self._rules) if rule.fires_for(event)])

    def __iter__(self) -> Iterator[Rule]:
        return iter(tuple(self._rules))

    def __len__(self) -> int:
        return len(self._rules)
