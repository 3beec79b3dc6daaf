"""A `TurnSource` without a socket, and tasks as values."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from attrs import define, field

from rebyte_async import RetryPolicy, errors
from rebyte_async._clock import Time
from rebyte_async._tracing import NO_STREAM, StreamTrace
from rebyte_async._wire.models import decode, decode_items
from rebyte_async.types import Task, TaskContent, TaskEvent
from support.clients import SkippedTime
from support.task_server import TASK_ID

__all__ = ["ChunkedBody", "FakeSource", "task"]

T = TypeVar("T")


def task(status: str = "running", *turns: str, final_result: str | None = None) -> Task:
    """Return a task whose prompts all have one status."""
    spelled = status.replace("completed", "succeeded")
    prompts = [{"id": turn, "status": spelled} for turn in turns or ("p1",)]
    return decode(Task, {"id": TASK_ID, "status": status, "prompts": prompts, "finalResult": final_result})


@define
class ChunkedBody:
    """The body of the connection that is open, in chunks that come one by one; an error among them stays."""

    _chunks: list[bytes | Exception] = field(factory=list[bytes | Exception], init=False, kw_only=True)

    async def read(self) -> bytes:
        """Read the next chunk; the end comes after the last."""
        await asyncio.sleep(0)
        if not self._chunks:
            return b""
        if isinstance(self._chunks[0], Exception):
            raise self._chunks[0]
        return self._chunks.pop(0)  # type: ignore[return-value]  # pyright: ignore[reportReturnType] - as checked

    read_raw = read

    def close(self) -> None:
        """Forget the connection."""
        self._chunks = []


@define
class FakeSource(ChunkedBody):
    """A `TurnSource` and its bodies: each connect takes the next list of chunks, each read of the task the next one."""

    connects: list[list[bytes | Exception]]
    tasks: list[Task | Exception] = field(factory=lambda: [task("running")])
    contents: list[TaskContent | Exception] = field(factory=lambda: [errors.NotFoundError(404)])
    sub_events: list[list[dict[str, Any]] | Exception] = field(factory=lambda: [[]])
    task_id: str = TASK_ID
    trace: StreamTrace = NO_STREAM
    retry: RetryPolicy = field(factory=lambda: RetryPolicy(base_delay=0))
    skipped: SkippedTime = field(factory=SkippedTime)
    log: list[str] = field(factory=list[str])

    @property
    def time(self) -> Time:
        """A clock whose sleeps take no time."""
        return self.skipped.time

    async def connect(self, *, idle_timeout: float, last_event_id: str, is_reconnect: bool) -> FakeSource:
        """Open the next connection."""
        assert is_reconnect == bool(self.log)
        self.log.append(f"connect {idle_timeout:g} {last_event_id}".strip())
        if isinstance(self.connects[0][0], errors.RequestTimeoutError):
            raise self.connects.pop(0)[0]  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues] - as checked
        self._chunks = list(self.connects.pop(0) if len(self.connects) > 1 else self.connects[0])
        return self

    async def read_task(self) -> Task:
        """Read the task."""
        self.log.append("task")
        return take(self.tasks)

    async def read_content(self) -> TaskContent:
        """Read the content."""
        self.log.append("content")
        return take(self.contents)

    async def read_prompt_events(self, prompt_id: str) -> tuple[TaskEvent, ...]:
        """Read the events of a sub-prompt."""
        self.log.append(prompt_id)
        return decode_items(TaskEvent, {"events": take(self.sub_events)}, ("events",))


def take(replies: list[T | Exception]) -> T:
    """Take the next reply of a list, of which the last one is repeated."""
    reply = replies.pop(0) if len(replies) > 1 else replies[0]
    if isinstance(reply, Exception):
        raise reply
    return reply
