"""Recognize deliveries that came before, so that each one is handled once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from anyio import move_on_after
from attrs import Attribute, define, field

from rebyte_async import _validate
from rebyte_async.errors import ConfigurationError

_log = logging.getLogger("rebyte_async.webhooks")


class SeenStore(Protocol):
    """A deduplication store: it remembers deliveries. With a shared store, several processes handle each delivery once.

    With Redis: `return bool(await redis.set(f"rebyte:{key}", 1, nx=True, ex=60))`.
    """

    async def add(self, key: str, /) -> bool:
        """Remember a delivery, and say in the same step whether it is new.

        Args:
            key: The identity of the delivery: 64 hex digits.

        Returns:
            Whether the delivery is new.
        """
        ...


def _check_positive(_store: object, attribute: Attribute[Any], value: object) -> None:
    _validate.number(attribute.name, value, above_zero=True, finite=True, error=ConfigurationError)


@define(eq=False)
class SeenWindow:
    """A deduplication store in this process, which remembers deliveries for a while.

    The service gives deliveries no ids, as far as is known, so their bytes identify them, GUESS(§7). That makes the
    window a compromise: two turns of one task can end with the same bytes, and within the window the second delivery is
    taken for a repeat of the first. A minute covers a repeat after a lost response, and is shorter than most turns.
    """

    seconds: float = field(default=60.0, validator=_check_positive)
    """How long a delivery is remembered, in seconds."""
    limit: int = field(default=10_000, validator=_check_positive)
    """The largest number of deliveries that are remembered; the oldest are forgotten first."""
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    """Returns the time, in seconds."""
    _seen: OrderedDict[str, float] = field(factory=OrderedDict[str, float], init=False, repr=False)
    """When each delivery is forgotten, the oldest delivery first."""

    async def add(self, key: str) -> bool:
        """Remember a delivery, and return whether it is new."""
        now = self.clock()
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        if key in self._seen:
            return False
        self._seen[key] = now + self.seconds
        if len(self._seen) > self.limit:
            self._seen.popitem(last=False)
        return True


async def is_new(store: SeenStore, url: str | None, body: bytes, *, timeout: float) -> bool:
    """Whether a delivery is new. If the store fails or is too slow, it counts as new: better handled twice than never.

    A repeat has the same body, with another time and signature. The URL is a part of the identity, because two webhooks
    of one organization get the same bodies.
    """
    key = hashlib.sha256((url or "").encode("utf-8", "replace") + b"\0" + body).hexdigest()
    with move_on_after(timeout):
        try:
            return await store.add(key)
        except Exception:  # noqa: BLE001 - an application's store may raise anything
            _log.exception("the store of seen webhook deliveries failed; the delivery is taken for new")
            return True
    _log.error("the store of seen webhook deliveries took over %g s; the delivery is taken for new", timeout)
    return True
