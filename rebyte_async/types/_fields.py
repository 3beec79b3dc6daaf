"""How values of the wire become values of a field, the same in every model."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["moment", "text"]


def moment(value: datetime | str | None) -> datetime | None:
    """Read a time as an aware datetime; None where it is absent or unreadable, since no one should fail over a date."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def text(value: object) -> str | None:
    """A string or nothing, and no other type in its place."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"expected a string, got {value!r:.80}")
