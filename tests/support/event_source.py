"""An `EventSource` as browsers have it, by the processing model of the WHATWG, for machines without a browser.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
from attrs import define, field

from support.whatwg import EventStream, decode_utf8

__all__ = ["EventSource"]


@define(eq=False)
class EventSource:
    """Reads events, and connects again after every end, until a response refuses it or its page closes it."""

    url: str
    events: list[tuple[str, str, str]] = field(factory=list[tuple[str, str, str]], init=False)
    """Each event's name, data and id."""
    statuses: list[int] = field(factory=list[int], init=False)
    """The status of each response."""
    raw: bytearray = field(factory=bytearray, init=False)
    """Everything that came."""
    _stream: EventStream = field(factory=EventStream, init=False)

    @property
    def last_event_id(self) -> str:
        """The id with which it connects again."""
        return self._stream.last_event_id

    async def run(self, session: aiohttp.ClientSession, *, until: str = "") -> None:
        """Read until a response ends it for good, or until an event has the name with which the page closes it."""
        while True:
            try:
                async with session.get(self.url, headers=self._headers()) as response:
                    self.statuses.append(response.status)
                    if response.status != 200 or response.content_type != "text/event-stream":
                        return
                    if await self._read(response, until):
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.01)  # instead of the reconnection time, which is for people

    def _headers(self) -> dict[str, str]:
        last = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", **last}

    async def _read(self, response: aiohttp.ClientResponse, until: str) -> bool:
        self._stream.data_buffer = self._stream.event_type_buffer = ""
        self._stream.last_event_id_buffer = self._stream.last_event_id
        rest = b""
        async for chunk in response.content.iter_any():
            self.raw += chunk
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._stream.parse(decode_utf8(line + b"\n"))
            new = self._stream.dispatched[len(self.events) :]
            self.events += new
            if until and until in {name for name, _, _ in new}:
                return True
        return False

    def data(self, name: str = "message") -> list[Any]:
        """Return the JSON of all events with this name."""
        return [json.loads(data) for event, data, _ in self.events if event == name]

    def texts(self) -> list[str]:
        """Return the texts of the agent."""
        return [event["payload"]["content"] for event in self.data() if event["eventType"] == "text"]
