"""The traffic log: every request that reached the emulator, as a record to assert on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, overload

from attrs import define, evolve, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

__all__ = ["Record", "TrafficLog"]


@frozen(kw_only=True)
class Record:
    """One request and what became of it."""

    number: int
    """Counts the requests from 1, in the order in which they came."""
    time: datetime
    """When the request's head had come, in real time."""
    origin: str
    """Which of the emulator's origins it came to: `api` or `storage`."""
    method: str
    """The HTTP method."""
    path: str
    """The path below the base URL, percent-encoded as it came: `/tasks`, `/tasks/<id>/events`."""
    query: Mapping[str, str]
    """The query's parameters, decoded."""
    headers: Mapping[str, str]
    """The request's headers; a look-up ignores case."""
    key: str | None
    """The API key that came with it, under whichever header name."""
    connection: int
    """Which connection it came on, counted from 1: two records with the same number shared one."""
    peer_port: int
    """The client's port."""
    faults: tuple[object, ...] = ()
    """The faults that were put on this request."""
    body: bytes = b""
    """The request's body, its first MiB."""
    body_size: int = 0
    """The size of the whole body, in bytes."""
    status: int | None = None
    """The status that was answered; None while there is no answer, and for good when the connection was dropped."""
    ended: bool = False
    """Whether the answer is over: for a stream, whether it is closed."""

    def json(self) -> Any:
        """The request's body, decoded.

        Raises:
            ValueError: It is no JSON.
        """
        return json.loads(self.body)


@define
class Entry:
    """A place in the log whose record is replaced as the request goes on."""

    record: Record

    def update(self, **changes: Any) -> None:
        """Replace the record by a changed one."""
        self.record = evolve(self.record, **changes)


@define
class TrafficLog:
    """A sequence of `Record`s, oldest first.

    Records are replaced as their requests go on, so ask again to see what became of one. It may be read from any
    thread.
    """

    limit: int = 100_000
    """How many records are kept; then the oldest go."""
    _entries: list[Entry] = field(factory=list[Entry], init=False, repr=False)
    _count: int = field(default=0, init=False)

    def open(self, **facts: Any) -> Entry:
        """Write down a request that has just come (the emulator's own use)."""
        self._count += 1
        entry = Entry(Record(number=self._count, **facts))
        self._entries.append(entry)
        if len(self._entries) > self.limit:
            del self._entries[: max(1, self.limit // 10)]
        return entry

    def select(self, method: str | None = None, path: str | None = None) -> tuple[Record, ...]:
        """The records of one kind of request.

        Args:
            method: The HTTP method; None for any.
            path: A regular expression for the whole path below the base URL, such as `/tasks/[^/]+/events`; None for
                any.
        """
        pattern = None if path is None else re.compile(path)
        return tuple(record for record in self if _fits(record, method, pattern))

    def clear(self) -> None:
        """Forget every record."""
        self._entries.clear()

    def __iter__(self) -> Iterator[Record]:
        return iter([entry.record for entry in tuple(self._entries)])

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, slice):
            return tuple(entry.record for entry in self._entries[index])
        return self._entries[index].record


def _fits(record: Record, method: str | None, path: re.Pattern[str] | None) -> bool:
    return method in (None, record.method) and (path is None or path.fullmatch(record.path) is not None)
