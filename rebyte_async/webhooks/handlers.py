"""Functions that are called with events."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from anyio import to_thread
from attrs import define, field, frozen

from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks.event import WebhookEvent

__all__ = ["EventHandler", "Handler", "Handlers"]

EventHandler: TypeAlias = Callable[[WebhookEvent], Any]
"""A function that takes an event: a coroutine function, or a plain one, which runs in a thread."""

EVERY = "*"


@frozen
class Handler:
    """A function, and the events that it is for."""

    function: EventHandler
    names: frozenset[str]

    def wants(self, event: WebhookEvent) -> bool:
        """Whether it is for an event."""
        return EVERY in self.names or (event.event is not None and str(event.event) in self.names)

    async def __call__(self, event: WebhookEvent) -> None:
        """Call it."""
        if _is_async(self.function):
            result = self.function(event)
        else:  # a thread can't be stopped: what doesn't end while the receiver is closed is left to itself
            result = await to_thread.run_sync(self.function, event, abandon_on_cancel=True)
        if inspect.isawaitable(result):
            await cast("Awaitable[object]", result)

    @property
    def name(self) -> str:
        """What it is called in logs."""
        return getattr(self.function, "__qualname__", None) or type(self.function).__name__


@define(eq=False)
class Handlers:
    """All of them, in the order in which they were added."""

    _handlers: list[Handler] = field(factory=list[Handler], init=False)

    def add(self, function: object, names: tuple[str, ...]) -> None:
        """Add one.

        Raises:
            ConfigurationError: It can't be called.
        """
        if not callable(function):
            raise ConfigurationError(f"a handler must be a function that takes an event, not {function!r:.80}")
        self._handlers.append(Handler(function, frozenset(names) or frozenset({EVERY})))

    def of(self, event: WebhookEvent) -> list[Handler]:
        """Those for an event."""
        return [handler for handler in self._handlers if handler.wants(event)]


def event_names(names: tuple[object, ...]) -> tuple[str, ...]:
    """Names of events that handlers may be for.

    Raises:
        ConfigurationError: One is none.
    """
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"on() takes names of events, such as 'task.completed', not {name!r:.80}")
    return tuple(str(name) for name in names)


def _is_async(function: object) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - its kind is asked for, not whether it is there
