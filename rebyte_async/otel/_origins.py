"""The spans that submitted prompts: a stream is linked to the one of its turn, and has the agent's name from it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

from attrs import define, field, frozen
from opentelemetry.trace import Link, Span

_AGENT = {"executor": "gen_ai.agent.name", "model": "gen_ai.request.model", "workspaceId": "gen_ai.agent.id"}
"""The attributes of an agent, by the fields that have them."""


@frozen
class Origin:
    """Where a task's latest turn comes from."""

    link: Link
    agent: Mapping[str, str]


@define(eq=False, repr=False)
class Origins:
    """The origins of tasks that a client has given prompts."""

    limit: int = 10_000  # how many are remembered, the latest ones
    _origins: OrderedDict[str, Origin] = field(factory=OrderedDict[str, Origin], init=False)

    def remember(self, task_id: str, span: Span, agent: Mapping[str, str]) -> None:
        earlier = self._origins.pop(task_id, None)
        known = agent if earlier is None else {**earlier.agent, **agent}
        self._origins[task_id] = Origin(Link(span.get_span_context()), known)
        if len(self._origins) > self.limit:
            self._origins.popitem(last=False)

    def find(self, task_id: str) -> Origin | None:
        return self._origins.get(task_id)


def read_object(body: object) -> Mapping[str, Any]:
    """Return a body's JSON object; an empty one for any other body, about which the client itself complains."""
    try:
        document = json.loads(body) if isinstance(body, bytes) else None
    except ValueError:
        document = None
    return cast("Mapping[str, Any]", document) if isinstance(document, dict) else {}


def agent_attributes(document: Mapping[str, Any]) -> dict[str, str]:
    """Return what a create, or the response to it, says of the agent."""
    return {name: value for key, name in _AGENT.items() if isinstance(value := document.get(key), str)}
