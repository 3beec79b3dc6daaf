"""Delegations: the events of sub-prompts, which a task's own stream doesn't carry (contract §3, observed).

They are read from an endpoint of their own while the turn runs, and once more at its end: late events can appear after
the delegation's tool result.
"""

from __future__ import annotations

from attrs import define, evolve, field

from rebyte_async.errors import DecodeError, NotFoundError, TransportError
from rebyte_async.streams._source import TurnSource
from rebyte_async.types.events import TaskEvent, ToolResultEvent, ToolUseEvent

_INTERVAL = 1.0  # seconds between two reads of the delegations that are under way
_MAX_QUIET_READS = 3
"""Reads in a row without a new event, after a delegation's result, until it is left alone up to the turn's end."""


@define(eq=False, repr=False)
class _Delegation:
    events: int = 0  # how many the longest read had
    is_finished: bool = False  # its tool result has come
    quiet_reads: int = 0

    @property
    def is_open(self) -> bool:
        return self.quiet_reads < _MAX_QUIET_READS


@define(eq=False, repr=False)
class SubPrompts:
    """The delegations of a turn."""

    _source: TurnSource
    _known: dict[str, _Delegation] = field(factory=dict[str, _Delegation], init=False)
    _by_tool: dict[str, str] = field(factory=dict[str, str], init=False)  # the sub-prompt that each call delegates to
    _next_read: float = field(default=0.0, init=False)

    def __bool__(self) -> bool:
        return bool(self._known)

    def note(self, event: ToolUseEvent | ToolResultEvent) -> None:
        """Take note of an event if it begins a delegation or brings its result."""
        # A result needn't name the sub-prompt: its call did.
        sub_prompt = event.sub_prompt_id or self._by_tool.get(event.tool_id or "")
        if sub_prompt is None:
            return
        delegation = self._known.setdefault(sub_prompt, _Delegation())
        if isinstance(event, ToolResultEvent):
            delegation.is_finished = True
        elif event.tool_id:
            self._by_tool[event.tool_id] = sub_prompt

    def due_in(self) -> float | None:
        """Return the seconds until the next read, or None when no delegation is under way."""
        if not any(delegation.is_open for delegation in self._known.values()):
            return None
        return max(0.0, self._next_read - self._source.time.clock())

    async def read(self, *, include_quiet: bool = False) -> list[tuple[TaskEvent, str]]:
        """Read the events of the delegations, each with its sub-prompt's id; of the quiet ones if `include_quiet`.

        A read brings all events of a delegation; `TurnState` leaves out those that were delivered before. It raises
        what the transport raises after its retries. That a sub-prompt isn't there yet is no failure.
        """
        self._next_read = self._source.time.clock() + _INTERVAL
        found: list[tuple[TaskEvent, str]] = []
        for sub_prompt, delegation in list(self._known.items()):
            if include_quiet or delegation.is_open:
                found.extend((event, sub_prompt) for event in await self._read_one(sub_prompt, delegation))
        return found

    async def _read_one(self, sub_prompt: str, delegation: _Delegation) -> tuple[TaskEvent, ...]:
        try:
            events = await self._source.read_prompt_events(sub_prompt)
        except NotFoundError:
            events = ()
        except DecodeError as error:  # likely a gateway's page, which passes: a stream isn't ended by one
            message = f"the events of sub-prompt {sub_prompt} can't be read: {error}"
            raise TransportError(message, method="GET") from error
        if delegation.is_finished:
            delegation.quiet_reads = 0 if len(events) > delegation.events else delegation.quiet_reads + 1
        delegation.events = max(delegation.events, len(events))
        return tuple(event if event.prompt_id else evolve(event, prompt_id=sub_prompt) for event in events)
