"""The data of a report: the items as columns, a third of the size of as many objects, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from attrs import asdict, define, field

from rebyte_async.batch.journal.reader import JournalItem, JournalReader
from rebyte_async.batch.report.statistics import FailureGroups, assign_lanes, bin_durations, percentiles
from rebyte_async.types.values import write_json

STATUSES = ("completed", "failed", "error", "ambiguous", "canceled", "running", "creating", "accepted", "other")
"""The status of an item, or its state while it hasn't ended; the page names the rest `other`."""
_FAILURES = frozenset({"failed", "error", "ambiguous"})
_TIMED = ("completed", "failed", "canceled")
"""The statuses whose durations are counted: those of tasks that ended."""
_MOST_ITEMS = 50_000
"""Items that the page lists; more would make a browser slow. All of them are counted."""
_LONGEST_PROMPT = 1_000
_LONGEST_ERROR = 2_000
_LONGEST_METADATA = 2_000  # characters of all values of an item's metadata
_LONGEST_NAME = 60
_MOST_NAMES = 30
_MOST_COLUMNS = 3
"""Names in metadata that have a column of the table; an item's details have all of them."""
_WIDEST_CELL = 40  # characters; a name with a longer value, such as a text to classify, has no column
_MOST_CHARACTERS = 12_000_000
"""Characters of all final results together: a browser opens such a page in about a second."""
_SHORTEST_CAP = 100
_LONGEST_CAP = 100_000
_RANKS = (50, 90, 99, 100)


def make_document(
    reader: JournalReader, *, most_items: int = _MOST_ITEMS, most_characters: int = _MOST_CHARACTERS
) -> dict[str, Any]:
    """Return the data of a report, ready for JSON.

    Args:
        reader: The journal.
        most_items: Items to list: failures first, then those that were accepted first.
        most_characters: Characters that all final results may have together.
    """
    with reader.snapshot():
        totals = _Totals()
        for item in reader.items():
            totals.add(item)
        listed = _ListedItems(cap=fair_cap(totals.lengths, most_characters), last=totals.last)
        failures = min(sum(totals.counts[status] for status in _FAILURES), most_items)
        left = {True: failures, False: most_items - failures}
        for index, item in enumerate(reader.items()):
            is_failure = _status(item) in _FAILURES
            if left[is_failure]:
                left[is_failure] -= 1
                listed.add(item, totals.groups_of[index])
    return {
        "journal": reader.name if reader.path is None else reader.path.name,
        "batch_id": reader.batch_id,
        "base_url": reader.base_url,
        "created": _ms(reader.created_at),
        "first": _ms(totals.first),
        "last": _ms(totals.last),
        "statuses": STATUSES,
        "counts": [totals.counts[status] for status in STATUSES],
        "total": totals.counts.total(),
        "attempts": totals.attempts,
        "cap": listed.cap,
        "items": listed.columns(),
        "metadata": listed.choose_names(),
        "failures": [asdict(group) for group in totals.failures.groups],
        "durations": totals.durations(),
    }


def fair_cap(lengths: Iterable[int], room: int) -> int:
    """Return the length to cut texts to so that all of them fit: what short ones leave is for the long ones."""
    ordered = sorted(lengths)
    for index, length in enumerate(ordered):
        share = room // (len(ordered) - index)
        if length > share:
            return min(max(share, _SHORTEST_CAP), _LONGEST_CAP)
        room -= length
    return _LONGEST_CAP


@define
class _Totals:
    """The totals of all items."""

    counts: Counter[str] = field(factory=Counter[str], init=False)
    attempts: int = field(default=0, init=False)
    lengths: list[int] = field(factory=list[int], init=False)
    failures: FailureGroups = field(factory=FailureGroups, init=False)
    groups_of: list[int] = field(factory=list[int], init=False)
    first: datetime | None = field(default=None, init=False)
    last: datetime | None = field(default=None, init=False)
    _seconds: dict[str, list[float]] = field(factory=lambda: {status: [] for status in _TIMED}, init=False)

    def add(self, item: JournalItem) -> None:
        status = _status(item)
        self.counts[status] += 1
        self.attempts += item.attempts
        self.lengths.append(len(item.final_result or ""))
        self.groups_of.append(self.failures.add(status, _reason(item)) if status in _FAILURES else -1)
        for moment in filter(None, (item.started_at, item.ended_at)):
            self.first = min(self.first or moment, moment)
            self.last = max(self.last or moment, moment)
        if status in self._seconds and item.started_at and item.ended_at:
            self._seconds[status].append(max(0.0, (item.ended_at - item.started_at).total_seconds()))

    def durations(self) -> dict[str, Any]:
        """Return the distribution of durations."""
        everything = [seconds for some in self._seconds.values() for seconds in some]
        bins = bin_durations(everything)
        counted = {status: Counter(map(bins.index, some)) for status, some in self._seconds.items() if some}
        return {
            "edges": [round(edge, 4) for edge in bins.edges],
            "counts": {
                status: [counter[index] for index in range(len(bins.edges) - 1)] for status, counter in counted.items()
            },
            "percentiles": dict(zip(map(str, _RANKS), percentiles(everything, *_RANKS), strict=False)),
        }


@define
class _ListedItems:
    """The items that the page lists."""

    cap: int
    last: datetime | None
    _rows: list[dict[str, Any]] = field(factory=list[dict[str, Any]], init=False)
    _spans: list[tuple[float, float] | None] = field(factory=list[tuple[float, float] | None], init=False)

    def add(self, item: JournalItem, group: int) -> None:
        result = item.final_result or ""
        request = item.request
        start = item.started_at or item.ended_at
        # The bar of an item that hasn't ended reaches to the last time in the journal.
        end = item.ended_at or (None if start is None else self.last)
        if start is not None and end is not None:
            end = max(start, end)  # the two times may come from two clocks
        self._spans.append(None if start is None or end is None else (start.timestamp(), end.timestamp()))
        self._rows.append(
            {
                "key": item.key,
                "status": STATUSES.index(_status(item)),
                "start": _ms(start),
                "end": _ms(end),
                "attempts": item.attempts,
                "task": item.task_id,
                "workspace": item.workspace_id,
                "how": " ".join(str(request[name]) for name in ("executor", "model") if request.get(name)),
                "prompt": _cut(str(request.get("prompt", "")), _LONGEST_PROMPT),
                "result": result[: self.cap],
                "more": max(0, len(result) - self.cap),
                "error": _cut(item.error or "", _LONGEST_ERROR),
                "group": group,
                "metadata": _fit_metadata(item.metadata),
            }
        )

    def columns(self) -> dict[str, list[Any]]:
        """Return one list for each field."""
        names = self._rows[0] if self._rows else ()
        return {name: [row[name] for row in self._rows] for name in names} | {"lane": assign_lanes(self._spans)}

    def choose_names(self) -> list[str]:
        """Return the names in metadata that have a column: the first ones with short values, and not all empty."""
        widest: dict[str, int] = {}
        for row in self._rows:
            for name, text in row["metadata"]:
                widest[name] = max(widest.get(name, 0), len(text))
        return [name for name, width in widest.items() if 0 < width <= _WIDEST_CELL][:_MOST_COLUMNS]


def _status(item: JournalItem) -> str:
    status = item.status or item.state
    return status if status in STATUSES else "other"


def _reason(item: JournalItem) -> str | None:
    """Return why an item failed: its error, or the first line of its final result if the task reported no error."""
    return item.error or (item.final_result or "").strip().partition("\n")[0] or None


def _fit_metadata(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return metadata as texts, short ones whole."""
    texts = [(name, _to_text(value)) for name, value in islice(metadata.items(), _MOST_NAMES)]
    cap = fair_cap((len(text) for _, text in texts), _LONGEST_METADATA)
    pairs = [(_cut(name, _LONGEST_NAME), _cut(text, cap)) for name, text in texts]
    more = len(metadata) - len(texts)
    return [*pairs, ("…", f"{more:,} more, which an export has")] if more else pairs


def _to_text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else write_json(value, ensure_ascii=False)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … [{len(text) - longest:,} more characters]"


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000)
