"""Converters of fields that several models share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

T = TypeVar("T")


def moment(value: datetime | str | None) -> datetime | None:
    """Convert a time to an aware datetime, in UTC where no zone is named.

    A time that is absent or can't be read becomes None: a response must not fail because of a date.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def find_member(members: Mapping[str, T], value: object) -> T | str | None:
    """Convert a status to its member of an enum; an unknown one stays a string, and None stays None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r:.80}")
    return members.get(value, value)
