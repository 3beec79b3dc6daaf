"""Numbers of seconds and moments, as callers give them."""

from __future__ import annotations

import math
from datetime import datetime

from rebyte_async.errors import ConfigurationError

__all__ = ["finite_seconds", "unix_seconds"]


def finite_seconds(value: object) -> float | None:
    """A number of seconds; None for what is none, isn't finite, or is too large for a clock."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def unix_seconds(given: object) -> float:
    """A moment in unix seconds.

    Raises:
        ConfigurationError: It is none.
    """
    # Aware is what has an offset: one whose zone doesn't know it has a zone and is naive.
    is_aware = isinstance(given, datetime) and given.utcoffset() is not None
    moment = given.timestamp() if isinstance(given, datetime) and is_aware else finite_seconds(given)
    if moment is None:
        raise ConfigurationError(f"now must be unix seconds or an aware datetime, not {given!r:.80}")
    return moment
