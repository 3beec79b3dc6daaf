"""The traffic log: every request that reached the emulator, as a record that tests can assert on."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, overload

from attrs import Factory, define, evolve, field, frozen


@frozen(kw_only=True)
class Record:
    """One request and its response."""

    number: int
    """The number of the request, counted from 1 in the order of arrival."""
    time: datetime
    """The real time at which the request's head had arrived."""
    origin: str
    """The origin of the emulator that it came to: `api` or `storage`."""
    method: str
    """The HTTP method; empty if what came isn't HTTP."""
    path: str
    """The path below the base URL, percent-encoded as it came, such as `/tasks/<id>/events`; empty like `method`."""
    query: Mapping[str, str] = field(hash=False)
    """The decoded parameters of the query."""
    headers: Mapping[str, str] = field(hash=False)
    """The request's headers; lookups ignore case."""
    key: str | None
    """The API key that came with it, under any of the header names that the service accepts."""
    connection: int
    """The number of its connection, counted from 1: records with the same number shared one."""
    peer_port: int
    """The client's port."""
    faults: tuple[object, ...] = ()
    """The faults that troubled this request."""
    body: bytes = b""
    """The first MiB of the request's body."""
    body_size: int = 0
    """The size of the whole body, in bytes."""
    status: int | None = None
    """The status of the response; None before it is sent, and always when the connection was dropped."""
    ended: bool = False
    """Whether the response is over: for a stream, whether it is closed."""

    def json(self) -> Any:
        """Decode the request's body.

        Raises:
            ValueError: The body isn't JSON.
        """
        return json.loads(self.body)


@define
class LogEntry:
    """A place in the log; its record is replaced as the exchange proceeds."""

    record: Record
    _on_request: Callable[[Record], object] | None = field(default=None, repr=False)

    def update(self, **changes: Any) -> None:
        self.record = evolve(self.record, **changes)
        if self._on_request is not None and (self.record.status is not None or self.record.ended):
            report, self._on_request = self._on_request, None
            report(self.record)


@define
class TrafficLog:
    """A sequence of `Record`s, oldest first.

    Records are replaced as their exchanges proceed, so read the log again to see how one ended. The log may be read
    from any thread.
    """

    limit: int = 100_000
    """How many records are kept; beyond that, the oldest are dropped."""
    on_request: Callable[[Record], object] | None = field(default=None, repr=False, kw_only=True)
    """Called with the record of a request that gets its response or loses its connection; may be set, until `clear`."""
    _entries: deque[LogEntry] = field(
        init=False, repr=False, default=Factory(lambda log: deque[LogEntry](maxlen=log.limit), takes_self=True)
    )
    _count: int = field(default=0, init=False)

    def open(self, **facts: Any) -> LogEntry:
        """Record a request that has just arrived (for the emulator itself)."""
        self._count += 1
        entry = LogEntry(Record(number=self._count, **facts), self.on_request)
        self._entries.append(entry)
        return entry

    def select(self, method: str | None = None, path: str | None = None) -> tuple[Record, ...]:
        """Return the records of one kind of request.

        Args:
            method: The HTTP method; None for any.
            path: A regular expression for the whole path below the base URL, such as `/tasks/[^/]+/events`; None for
                any.
        """
        pattern = None if path is None else re.compile(path)
        records = [record for record in self if method in (None, record.method)]
        return tuple(record for record in records if pattern is None or pattern.fullmatch(record.path))

    def clear(self) -> None:
        """Drop every record; the numbers continue."""
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
        return tuple(self)[index] if isinstance(index, slice) else self._entries[index].record
