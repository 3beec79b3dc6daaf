"""Converters of fields that several models share."""

from __future__ import annotations

from datetime import UTC, datetime


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


def text(value: object) -> str | None:
    """Return a string or None as it is."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"expected a string, got {value!r:.80}")
