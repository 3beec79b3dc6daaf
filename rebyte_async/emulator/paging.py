"""Pages of a list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

from rebyte_async.emulator.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_DEFAULT_LIMIT = 50
_LARGEST_LIMIT = 100
_DIGITS = re.compile(r"[0-9]{1,15}")


@frozen
class Paging:
    """Which part of a list was asked for.

    *Source*: contract, section 1 (documented).
    """

    limit: int
    offset: int

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Paging:
        """Read `limit` and `offset` from a query.

        Raises:
            ApiError: One of them is no number or out of its range.
        """
        limit = _whole(query, "limit", _DEFAULT_LIMIT)
        if not 1 <= limit <= _LARGEST_LIMIT:
            raise validation_error(f"limit must be between 1 and {_LARGEST_LIMIT}.")
        return cls(limit, _whole(query, "offset", 0))

    def page(self, oldest_first: Sequence[Any], write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """One page, the newest first; its cost grows with the page and not with the list."""
        end = max(0, len(oldest_first) - self.offset)
        rows = oldest_first[max(0, end - self.limit) : end]
        data = [write(row) for row in reversed(rows)]
        return {"data": data, "total": len(oldest_first), "limit": self.limit, "offset": self.offset}


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not _DIGITS.fullmatch(value):
        raise validation_error(f"{name} must be a whole number that isn't negative.")
    return int(value)
