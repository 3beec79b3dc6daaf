"""Checks of arguments, with one wording for all of the package.

Each check returns the value as the type that was asked for. Otherwise it raises what `error` makes of the message,
which names the argument, says what it must be (`kind`) or may be as well (`alternative`), and shows what it was.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from rebyte_async.errors import InvalidRequestError

MakeError: TypeAlias = Callable[[str], Exception]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name of a header (RFC 9110, section 5.6.2)."""
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""What HTTP can't carry (RFC 9110, section 5.5), in UTF-8."""


def number(
    name: str,
    value: object,
    *,
    above_zero: bool = False,
    finite: bool = False,
    kind: str = "a number",
    alternative: str = "",
    error: MakeError = InvalidRequestError,
) -> float:
    """Check a number: at least 0, or above it; never a bool, NaN, or too large for a float. `finite` refuses `inf`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):  # a whole number beyond any clock
            known = float(value)
            if (known > 0 if above_zero else known >= 0) and not (finite and math.isinf(known)):
                return value
    limit = " above 0" if above_zero else ", at least 0"
    raise error(f"{name} must be {kind}{limit}{alternative}, not {value!r:.80}")


def seconds(
    name: str, value: object, *, above_zero: bool = False, finite: bool = False, error: MakeError = InvalidRequestError
) -> float:
    """Check a number of seconds: at least 0, or above it; `math.inf` is one unless `finite`."""
    return number(name, value, above_zero=above_zero, finite=finite, kind="a number of seconds", error=error)


def optional_seconds(
    name: str, value: object, *, above_zero: bool = False, finite: bool = False, error: MakeError = InvalidRequestError
) -> float | None:
    if value is None:
        return None
    kind, other = "a number of seconds", ", or None"
    return number(name, value, above_zero=above_zero, finite=finite, kind=kind, alternative=other, error=error)


def count(name: str, value: object, *, minimum: int = 1, error: MakeError = InvalidRequestError) -> int:
    """Check a whole number of at least `minimum`; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise error(f"{name} must be a whole number, at least {minimum}, not {value!r:.80}")
    return value


def text(
    name: str,
    value: object,
    *,
    longest: int | None = None,
    alternative: str = "",
    error: MakeError = InvalidRequestError,
) -> str:
    """Check a string that holds more than white space, and at most `longest` characters."""
    if not isinstance(value, str) or not value.strip():
        if not isinstance(value, str) and (part := _find_part(name, value)):
            raise error(f"{name} must be a string{alternative}, not {value!r:.80}: pass {part}")
        raise error(f"{name} must be a string that isn't empty{alternative}, not {value!r:.80}")
    if longest is not None and len(value) > longest:
        raise error(f"{name} must have at most {longest:,} characters, not {len(value):,}")
    return value


def _find_part(name: str, value: object) -> str:
    """Return which part of a model is the string that was asked for, such as `task.id`; empty where it has none."""
    variable = _INNER_CAPITAL.sub("_", type(value).__name__).lower()
    parts = (name, "id") if name.endswith("_id") else (name,)
    return next((f"{variable}.{part}" for part in parts if isinstance(getattr(value, part, None), str)), "")


def optional_text(
    name: str, value: object, *, longest: int | None = None, error: MakeError = InvalidRequestError
) -> str | None:
    return None if value is None else text(name, value, longest=longest, alternative=", or None", error=error)


def header_name(name: str, value: object, *, error: MakeError = InvalidRequestError) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise error(f"{name} must be the name of a header, not {value!r:.80}")
    return value


def header_value(name: str, value: object, *, error: MakeError = InvalidRequestError) -> str:
    """Check the value of the header `name`; the message doesn't repeat it, for it may be a secret."""
    if not isinstance(value, str) or _NOT_IN_HEADERS.search(value):
        raise error(f"the header {name} must be a string on one line, without control characters")
    return value


def is_loopback(host: str | None) -> bool:
    """Whether a host can only be this machine: a loopback address, or a name of `localhost` (RFC 6761, section 6.3)."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        name = host.rstrip(".").lower()
        return name == "localhost" or name.endswith(".localhost")
