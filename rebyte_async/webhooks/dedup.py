"""Which deliveries came before: once is enough."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks.seconds import finite_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SeenStore", "SeenWindow", "identity"]


class SeenStore(Protocol):
    """What remembers deliveries; a shared one lets several processes take each delivery once.

    With Redis: `return bool(await redis.set(f"rebyte:{key}", 1, nx=True, ex=60))`.
    """

    async def add(self, key: str, /) -> bool:
        """Remember a delivery, in one step with the look whether it is remembered.

        Args:
            key: What the delivery is known by: 64 hex digits.

        Returns:
            Whether it is new.
        """
        ...


def _positive(_store: object, _attribute: object, value: object) -> None:
    if not (finite_seconds(value) or 0) > 0:
        raise ConfigurationError(f"seconds and limit must be numbers above 0, not {value!r:.80}")


@define(eq=False)
class SeenWindow:
    """Remembers deliveries in this process, for a while.

    The service gives deliveries no ids (unknown), so they are known by their bytes. That makes the window a choice: two
    turns of one task can end with the same bytes, and within the window the second is taken for a repeat of the first.
    A minute covers a repeat after a lost answer, and is shorter than most turns.
    """

    seconds: float = field(default=60.0, validator=_positive)
    """How long a delivery is remembered."""
    limit: int = field(default=10_000, validator=_positive)
    """How many are remembered at most; the oldest are forgotten first."""
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    """What the time is, in seconds."""
    _seen: OrderedDict[str, float] = field(factory=OrderedDict[str, float], init=False, repr=False)

    async def add(self, key: str) -> bool:
        """Remember a delivery; the result is whether it is new."""
        now = self.clock()
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        if key in self._seen:
            return False
        self._seen[key] = now + self.seconds
        if len(self._seen) > self.limit:
            self._seen.popitem(last=False)
        return True


def identity(url: str | None, body: bytes) -> str:
    """What a delivery is known by: a repeat has the same body, whatever its time and signature.

    The URL is a part of it, because two webhooks of one organization are told the same in the same words.
    """
    return hashlib.sha256((url or "").encode("utf-8", "replace") + b"\0" + body).hexdigest()
