"""Several calls at once, but not too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, create_task_group

from rebyte_async.errors import RebyteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["AT_ONCE", "bounded", "tell"]

T = TypeVar("T")
AT_ONCE = 4
"""How many transfers of one call run at once."""


async def bounded(
    calls: Sequence[Callable[[], Awaitable[T]]], limit: int = AT_ONCE
) -> tuple[list[T], Exception | None]:
    """Make the calls, so many at once, and start no more after the first failure.

    Returns:
        The results of those that succeeded, in the calls' order, and the first failure.
    """
    slots = CapacityLimiter(limit)
    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def make(index: int) -> None:
        async with slots:
            if failures:
                return
            try:
                results[index] = await calls[index]()
            except Exception as error:  # noqa: BLE001 - handed on as it is, and not in a group
                failures.append(error)

    async with create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(make, index)
    return [results[index] for index in sorted(results)], failures[0] if failures else None


def tell(failure: Exception, name: str, done: Sequence[object]) -> None:
    """Have a failure say what was done before it: an error of this package by an attribute, any other by a note."""
    if isinstance(failure, RebyteError):
        setattr(failure, name, tuple(done))
    elif done:
        failure.add_note(f"{name} before that: {', '.join(map(str, done))}")
