"""A scripted server for one task: what each connect to its stream and each read of it brings."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from attrs import define, field

from support.raw_server import DROP, RawRequest, Sign, chunk, json_response, stream_head

__all__ = ["CLOSE", "SILENCE", "TASK_ID", "TaskServer", "done", "event", "text", "tool_result", "tool_use"]

TASK_ID = "t1"
CLOSE = Sign.CLOSE
"""Close the connection in an orderly way, without a done frame."""
SILENCE = Sign.SILENCE
"""Send nothing more, and leave the connection open."""


def event(
    seq: int | None, event_type: str = "text", *, prompt: str | None = "p1", key: str | None = None, **payload: Any
) -> bytes:
    """Return an event's frame."""
    document: dict[str, Any] = {"eventType": event_type, "payload": payload, "timestamp": "2026-01-02T03:04:05.678Z"}
    if seq is not None:
        document["seq"] = seq
    if prompt is not None:
        document["promptId"] = prompt
    if key is not None:
        document["eventKey"] = key
    return f"event: event\ndata: {json.dumps(document)}\n\n".encode()


def text(seq: int, content: str, **more: Any) -> bytes:
    """Return the frame of a text."""
    return event(seq, "text", content=content, **more)


def tool_use(seq: int, tool_id: str = "tool1", **more: Any) -> bytes:
    """Return the frame of a tool call."""
    return event(seq, "tool_use", id=tool_id, name="Bash", input={"command": "ls"}, **more)


def tool_result(seq: int, tool_id: str = "tool1", **more: Any) -> bytes:
    """Return the frame of a tool result."""
    return event(seq, "tool_result", id=tool_id, output="README.md", **more)


def done(status: str = "succeeded", last_seq: int | None = None, final_result: str = "") -> bytes:
    """Return a done frame."""
    document = {"status": status, "lastSeq": last_seq, "finalResult": final_result}
    return f"event: done\ndata: {json.dumps(document)}\n\n".encode()


def _chunked(data: bytes) -> list[bytes]:
    return [data]


@define(eq=False)
class TaskServer:
    """The handler of a task's endpoints.

    Each connect to the stream takes the next of `connects`: frames, `DROP`, `CLOSE`, `SILENCE`, or a whole response
    (bytes that begin with HTTP). The last one is taken again and again. Each read of the task takes the next of
    `tasks` in the same way.
    """

    connects: list[list[Any]]
    tasks: list[Any] = field(factory=lambda: [{"status": "running"}])
    content: Any = None
    prompt_events: list[Any] = field(factory=list[Any])
    cut: Callable[[bytes], list[bytes]] = _chunked
    streams: int = field(default=0, init=False)
    reads: int = field(default=0, init=False)

    async def __call__(self, request: RawRequest) -> Any:
        path = request.path.removeprefix(f"/v1/tasks/{TASK_ID}")
        if path == "/events":
            pieces = self.connects[min(self.streams, len(self.connects) - 1)]
            self.streams += 1
            if pieces and isinstance(pieces[0], bytes) and pieces[0].startswith(b"HTTP"):
                return pieces[0]
            return self._stream(pieces)
        if path == "/content":
            return (
                self.content
                if isinstance(self.content, bytes)
                else json_response(self.content or {}, 200 if self.content else 404)
            )
        if path.startswith("/prompts/"):
            found = self.prompt_events.pop(0) if len(self.prompt_events) > 1 else self.prompt_events[0]
            return found if isinstance(found, bytes) else json_response({"promptId": "s1", "events": found})
        task = self.tasks[min(self.reads, len(self.tasks) - 1)]
        self.reads += 1
        return task if isinstance(task, bytes) or task is DROP else json_response({"id": TASK_ID, **task})

    async def _stream(self, pieces: list[Any]) -> AsyncIterator[Any]:
        yield stream_head()
        for piece in pieces:
            if piece is DROP:
                yield DROP
            elif piece is SILENCE:
                await anyio.sleep_forever()
            elif piece is CLOSE:
                break
            else:
                for part in self.cut(piece):
                    yield chunk(part)
        yield chunk(b"")
