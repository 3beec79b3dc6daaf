"""A shelf: things that are found by id, and listed by age."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import define, field

from rebyte_async.emulator.errors import not_found

if TYPE_CHECKING:
    from collections.abc import Sequence


class Member(Protocol):
    """What can stand on a shelf."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def number(self) -> int:
        """Its number on the shelf, larger than those of all before it."""
        ...


T = TypeVar("T", bound=Member)


@define(eq=False)
class Collection(Generic[T]):
    """Everything of one kind that wasn't deleted; finding and listing cost the same however much there is."""

    kind: str
    _by_id: dict[str, T] = field(factory=dict[str, T], init=False)
    _oldest_first: list[T] = field(factory=list[T], init=False)
    _made: int = field(default=0, init=False)

    def next_number(self) -> int:
        """A number for something new."""
        self._made += 1
        return self._made

    def add(self, thing: T) -> None:
        """Take in something new, which has the newest number."""
        self._by_id[thing.id] = thing
        self._oldest_first.append(thing)

    def get(self, thing_id: str) -> T:
        """What has an id.

        Raises:
            ApiError: Nothing has it.
        """
        if thing_id not in self._by_id:
            raise not_found(self.kind)
        return self._by_id[thing_id]

    def find(self, thing_id: str) -> T | None:
        """What has an id, if anything has it."""
        return self._by_id.get(thing_id)

    def remove(self, thing: T) -> None:
        """Hide something from every read."""
        del self._by_id[thing.id]
        del self._oldest_first[bisect_left(self._oldest_first, thing.number, key=attrgetter("number"))]

    def oldest_first(self) -> Sequence[T]:
        """All of it, in the order in which it was made."""
        return self._oldest_first
