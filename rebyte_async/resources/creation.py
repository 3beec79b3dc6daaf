"""What the creates of tasks, prompts and agent computers share: each costs money and may not be visible at once."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field

from rebyte_async._wire import models
from rebyte_async.errors import AmbiguousRequestError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async._transport import Response

__all__ = ["CreationGrace", "decode_created"]

T = TypeVar("T")
_MAX_REMEMBERED = 10_000


@define(eq=False)
class CreationGrace:
    """Remembers what was just created. For a few seconds, a 404 for it means that it isn't visible yet.

    Args:
        clock: Returns seconds on the clock that creations and reads are compared by.
        seconds: How long the grace of each creation lasts.
    """

    _clock: Callable[[], float] = time.monotonic
    _seconds: float = 5.0
    _created: OrderedDict[str, float] = field(factory=OrderedDict[str, float], init=False)
    """When each was created, the oldest first."""

    def start(self, resource_id: str) -> None:
        """Start the grace of something that was created now."""
        now = self._clock()
        self._created[resource_id] = now
        while self._created and (
            len(self._created) > _MAX_REMEMBERED or next(iter(self._created.values())) + self._seconds < now
        ):
            self._created.popitem(last=False)

    def until(self, resource_id: str) -> float:
        """Return when the grace ends, on the given clock; `-inf` for what was not created lately."""
        created = self._created.get(resource_id)
        return -math.inf if created is None else created + self._seconds

    def covers(self, resource_id: str) -> bool:
        """Whether a 404 means now that it isn't visible yet."""
        return self._clock() < self.until(resource_id)


def decode_created(cls: type[T], response: Response) -> T:
    """Read the response to a create.

    Raises:
        AmbiguousRequestError: The response can't be read: something was created, and its id isn't known.
    """
    try:
        return models.decode(cls, response.json())
    except DecodeError as error:
        failure = error
    raise AmbiguousRequestError(
        f"{response.method} {response.url} was carried out ({response.status}), but its response can't be read: "
        f"{failure.message}",
        method=response.method,
        url=response.url,
    ) from failure
