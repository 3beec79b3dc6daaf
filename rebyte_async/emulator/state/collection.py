"""Collections of things of one kind, found by id and listed by age."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from attrs import define, field

from rebyte_async.emulator.responses import not_found

if TYPE_CHECKING:
    from collections.abc import Sequence


class Member(Protocol):
    """A member of a collection."""

    id: str
    number: int
    """Larger than the numbers of all members added before."""


T = TypeVar("T", bound=Member)


@define(eq=False)
class Collection(Generic[T]):
    """All things of one kind that weren't deleted; the cost of finding and listing doesn't grow with their number."""

    kind: str
    _by_id: dict[str, T] = field(factory=dict[str, T], init=False)
    _oldest_first: list[T] = field(factory=list[T], init=False)
    _count: int = field(default=0, init=False)

    def next_number(self) -> int:
        self._count += 1
        return self._count

    def add(self, member: T) -> None:
        """Add a new member, which must have the latest number."""
        self._by_id[member.id] = member
        self._oldest_first.append(member)

    def get(self, member_id: str) -> T:
        """Return the member with an id, or raise an `ApiError`."""
        if member_id not in self._by_id:
            raise not_found(self.kind)
        return self._by_id[member_id]

    def find(self, member_id: str) -> T | None:
        return self._by_id.get(member_id)

    def remove(self, member: T) -> None:
        """Hide a member from every read."""
        del self._by_id[member.id]
        del self._oldest_first[bisect_left(self._oldest_first, member.number, key=attrgetter("number"))]

    def oldest_first(self) -> Sequence[T]:
        return self._oldest_first
