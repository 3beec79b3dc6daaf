"""Values in the words of those who read them on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from rebyte_async.cli.view.clean import clean

__all__ = ["ago", "flat", "human", "size", "style_of_word", "when"]

_MINUTE, _HOUR, _DAY, _WEEK = 60, 3_600, 86_400, 7 * 86_400
_STYLES = {
    "completed": "green",
    "succeeded": "green",
    "ready": "green",
    "running": "cyan",
    "pending": "cyan",
    "provisioning": "cyan",
    "canceled": "yellow",
    "failed": "red",
    "error": "red",
}
_KILO = 1_000


def style_of_word(word: str) -> str:
    """The color of a status."""
    return _STYLES.get(word, "")


def flat(value: object) -> str:
    """A value for programs, on one line: times in ISO 8601, several things with commas, nothing as nothing."""
    if isinstance(value, datetime):
        return value.isoformat()
    return " ".join(_plain(value).split())


def human(value: object) -> str:
    """A value for a terminal, on one line: times as they are from here."""
    return ago(value) if isinstance(value, datetime) else flat(value)


def when(moment: datetime) -> str:
    """A time in full, by the local clock, and how long ago that is."""
    local = moment.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S %Z} ({ago(moment)})" if _is_recent(moment) else f"{local:%Y-%m-%d %H:%M:%S %Z}"


def ago(moment: datetime) -> str:
    """A time from now, `5 min ago`, or the local date where that is more than a week."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if not _is_recent(moment):
        return f"{moment.astimezone():%Y-%m-%d %H:%M}"
    if seconds < _MINUTE:
        return "just now" if seconds < 1 else f"{seconds:.0f} s ago"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min ago"
    return f"{seconds // _HOUR:.0f} h ago" if seconds < _DAY else f"{seconds // _DAY:.0f} d ago"


def size(count: object) -> str:
    """A number of bytes: `310 B`, `1.2 MB`."""
    if not isinstance(count, int):
        return ""
    if count < _KILO:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= _KILO
        if round(amount, 1) < _KILO or unit == "TB":
            return f"{amount:.1f} {unit}"
    raise AssertionError


def _is_recent(moment: datetime) -> bool:
    # The service's clock may be some minutes ahead.
    return -_HOUR < (datetime.now(UTC) - moment).total_seconds() < _WEEK


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ",".join(flat(inner) for inner in cast("list[object]", value))
    return clean(str(value))
