"""Answers that describe a task in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from rebyte_async.emulator.faults.match import Match
from rebyte_async.emulator.json_types import is_array, is_object
from rebyte_async.emulator.responses import json_response, read_json
from rebyte_async.emulator.stream.frames import Done

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer
    from rebyte_async.emulator.stream.frames import Frame
    from rebyte_async.emulator.stream.sinks import FrameSink

__all__ = ["EagerCompletedAt", "Respell", "Rewrite"]

_READS = Match("GET", r"/tasks/[^/]+(/content)?")


@frozen
class Rewrite:
    """The answer's JSON is changed by a function; it may return another value, or change the one that it gets."""

    change: Callable[[Any], Any]
    """Takes the JSON, and returns what is answered instead."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the changed JSON."""
        del exchange
        response = await answer()
        data = None if response.prepared else read_json(response)
        return response if data is None else json_response(self.change(data), response.status)


@frozen
class EagerCompletedAt:
    """Prompts that run have a `completedAt` already: it is their `submittedAt`."""

    where: ClassVar[Match] = _READS

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the eager times."""
        return await Rewrite(_complete).around(exchange, answer)


@frozen
class Respell:
    """A status is spelled in another way, in answers and in the streams' last frames."""

    old: str = "canceled"
    """The status as it should be."""
    new: str = "cancelled"
    """The status as it comes."""

    where: ClassVar[Match] = Match(None, r"/tasks/.*")

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the other spelling."""
        return await Rewrite(self._respelled).around(exchange, answer)

    def frames(self, sink: FrameSink) -> FrameSink:
        """Spell the last frame's status in the other way."""

        async def respell(frame: Frame) -> None:
            await sink(evolve(frame, data=self._respelled(frame.data)) if isinstance(frame, Done) else frame)

        return respell

    def _respelled(self, data: Any) -> Any:
        if is_object(data):
            return {name: self._value(name, value) for name, value in data.items()}
        if is_array(data):
            return [self._respelled(item) for item in data]
        return data

    def _value(self, name: str, value: Any) -> Any:
        return self.new if name == "status" and value == self.old else self._respelled(value)


def _complete(data: dict[str, Any]) -> dict[str, Any]:
    for prompt in data["prompts"]:
        prompt["completedAt"] = prompt["completedAt"] or prompt["submittedAt"]
    return data
