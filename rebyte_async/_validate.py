"""Checks of arguments, with one wording for all of the package.

Each check returns the value as the type that was asked for, or raises the given class of error, whose message names
the argument, says what it must be and shows what it was.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import TYPE_CHECKING

from rebyte_async.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "count",
    "header_name",
    "header_value",
    "is_loopback",
    "number",
    "optional_seconds",
    "optional_text",
    "seconds",
    "text",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name of a header (RFC 9110, 5.6.2)."""
_NOT_IN_HEADERS = re.compile(r"[\r\n\0]")


def number(
    name: str,
    value: object,
    *,
    above_zero: bool = False,
    finite: bool = False,
    kind: str = "a number",
    error: Callable[[str], Exception] = InvalidRequestError,
) -> float:
    """Check a number: at least 0, or above it.

    Args:
        name: The argument, for the message.
        value: What was given. A bool, NaN and a number too large for a float are refused.
        above_zero: Refuse 0.
        finite: Refuse `math.inf`.
        kind: What is asked for, for the message.
        error: Makes the error out of its message.
    """
    if not _is_number(value, above_zero=above_zero, finite=finite):
        raise error(f"{name} must be {kind}{_range(above_zero=above_zero)}, not {value!r:.80}")
    return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - as checked


def seconds(
    name: str,
    value: object,
    *,
    above_zero: bool = False,
    finite: bool = False,
    error: Callable[[str], Exception] = InvalidRequestError,
) -> float:
    """Check a number of seconds: at least 0, or above it; `math.inf` is one unless `finite`."""
    return number(name, value, above_zero=above_zero, finite=finite, kind="a number of seconds", error=error)


def optional_seconds(
    name: str,
    value: object,
    *,
    above_zero: bool = False,
    finite: bool = False,
    error: Callable[[str], Exception] = InvalidRequestError,
) -> float | None:
    """Check a number of seconds that may be None."""
    if value is None:
        return None
    if not _is_number(value, above_zero=above_zero, finite=finite):
        expected = f"a number of seconds{_range(above_zero=above_zero)}, or None"
        raise error(f"{name} must be {expected}, not {value!r:.80}")
    return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - as checked


def count(
    name: str, value: object, *, minimum: int = 1, error: Callable[[str], Exception] = InvalidRequestError
) -> int:
    """Check a whole number of at least `minimum`; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise error(f"{name} must be a whole number, at least {minimum}, not {value!r:.80}")
    return value


def text(
    name: str,
    value: object,
    *,
    longest: int | None = None,
    error: Callable[[str], Exception] = InvalidRequestError,
) -> str:
    """Check a string that holds more than white space.

    Args:
        name: The argument, for the message.
        value: What was given.
        longest: How many characters it may have; None for any number.
        error: Makes the error out of its message.
    """
    if not isinstance(value, str) or not value.strip():
        raise error(f"{name} must be a string that isn't empty, not {value!r:.80}")
    return _check_length(name, value, longest, error)


def optional_text(
    name: str,
    value: object,
    *,
    longest: int | None = None,
    error: Callable[[str], Exception] = InvalidRequestError,
) -> str | None:
    """Check a string that holds more than white space, or is None."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise error(f"{name} must be a string that isn't empty, or None, not {value!r:.80}")
    return _check_length(name, value, longest, error)


def header_name(name: str, value: object, *, error: Callable[[str], Exception] = InvalidRequestError) -> str:
    """Check the name of an HTTP header."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise error(f"{name} must be the name of a header, not {value!r:.80}")
    return value


def header_value(name: str, value: object, *, error: Callable[[str], Exception] = InvalidRequestError) -> str:
    """Check the value of the header `name`; the message doesn't repeat it, for it may be a secret."""
    if not isinstance(value, str) or _NOT_IN_HEADERS.search(value):
        raise error(f"the header {name} must be a string on one line")
    return value


def is_loopback(host: str | None) -> bool:
    """Whether a host can only be this machine: a loopback address, or a name of `localhost` (RFC 6761, 6.3)."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        name = host.rstrip(".").lower()
        return name == "localhost" or name.endswith(".localhost")


def _is_number(value: object, *, above_zero: bool, finite: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        known = float(value)
    except OverflowError:  # a whole number beyond any clock
        return False
    return (known > 0 if above_zero else known >= 0) and not (finite and math.isinf(known))


def _range(*, above_zero: bool) -> str:
    return " above 0" if above_zero else ", at least 0"


def _check_length(name: str, value: str, longest: int | None, error: Callable[[str], Exception]) -> str:
    if longest is not None and len(value) > longest:
        raise error(f"{name} must have at most {longest:,} characters, not {len(value):,}")
    return value
