"""Delegations: the events of sub-prompts, which a task's own stream doesn't carry (contract §3, observed).

They are read from an endpoint of their own while the turn runs, and once more at its end: late ones can appear after
the delegation's tool result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve

from rebyte_async.errors import DecodeError, NotFoundError, TransportError
from rebyte_async.types.events import ToolResultEvent, ToolUseEvent

if TYPE_CHECKING:
    from rebyte_async.streams._source import TurnSource
    from rebyte_async.types.events import TaskEvent

__all__ = ["SubPrompts"]

_INTERVAL = 1.0
"""Seconds between two reads of the delegations that are under way."""
_QUIET = 3
"""Reads without anything new after its result, until a delegation is left alone up to the end of the turn."""


@define
class _Delegation:
    seen: int = 0
    finished: bool = False
    quiet: int = 0

    @property
    def is_open(self) -> bool:
        return self.quiet < _QUIET


class SubPrompts:
    """The delegations of a turn."""

    def __init__(self, source: TurnSource) -> None:
        self._source = source
        self._known: dict[str, _Delegation] = {}
        self._by_tool: dict[str, str] = {}
        self._next = 0.0

    def __bool__(self) -> bool:
        return bool(self._known)

    def note(self, event: TaskEvent) -> None:
        """Look for a delegation's start or result in an event."""
        if not isinstance(event, ToolUseEvent | ToolResultEvent):
            return
        sub_prompt = event.sub_prompt_id or self._by_tool.get(event.tool_id or "")
        if sub_prompt is None:
            return
        delegation = self._known.setdefault(sub_prompt, _Delegation())
        if isinstance(event, ToolResultEvent):
            delegation.finished = True
        elif event.tool_id:
            self._by_tool[event.tool_id] = sub_prompt

    def due_in(self) -> float | None:
        """Seconds until the next read, or None when no delegation is under way."""
        if not any(delegation.is_open for delegation in self._known.values()):
            return None
        return max(0.0, self._next - self._source.time.clock())

    async def read(self, *, every: bool = False) -> list[tuple[TaskEvent, str]]:
        """The events of the delegations that are under way, or of all, each with its sub-prompt's id.

        Those that were given before come first and again: telling them apart is the stream's work.

        Raises:
            RebyteError: A read failed, after the transport's retries. That a sub-prompt isn't there yet is no error.
        """
        self._next = self._source.time.clock() + _INTERVAL
        found: list[tuple[TaskEvent, str]] = []
        for sub_prompt, delegation in list(self._known.items()):
            if every or delegation.is_open:
                found.extend((event, sub_prompt) for event in await self._read_one(sub_prompt, delegation))
        return found

    async def _read_one(self, sub_prompt: str, delegation: _Delegation) -> tuple[TaskEvent, ...]:
        try:
            events = await self._source.prompt_events(sub_prompt)
        except NotFoundError:
            events = ()
        except DecodeError as error:
            raise TransportError(f"the sub-prompt can't be read: {error}", method="GET") from error
        news = len(events) > delegation.seen
        delegation.seen = max(delegation.seen, len(events))
        if delegation.finished:
            delegation.quiet = 0 if news else delegation.quiet + 1
        return tuple(event if event.prompt_id else evolve(event, prompt_id=sub_prompt) for event in events)
