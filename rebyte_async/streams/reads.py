"""The reads of a task beside its stream, which the streams and the resources share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rebyte_async._wire import endpoints, models
from rebyte_async.errors import RebyteError
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.tasks import Task, TaskContent

if TYPE_CHECKING:
    from collections.abc import Generator

    from rebyte_async._transport import Transport

__all__ = ["about", "read_content", "read_prompt_events", "read_task"]


@contextmanager
def about(task_id: str) -> Generator[None]:
    """Have the errors of a block name their task."""
    try:
        yield
    except RebyteError as error:
        error.task_id = error.task_id or task_id
        raise


async def read_task(transport: Transport, task_id: str) -> Task:
    """Read a task with its turns. Raises as `Transport.call`, and `DecodeError`."""
    with about(task_id):
        answer = await transport.call(endpoints.GET_TASK, ids={"task_id": task_id})
        return models.decode(Task, answer.json())


async def read_content(transport: Transport, task_id: str, *, include_events: bool) -> TaskContent:
    """Read a task's questions and answers. Raises as `Transport.call`, and `DecodeError`."""
    query = {"include": "events"} if include_events else None
    with about(task_id):
        answer = await transport.call(endpoints.GET_CONTENT, ids={"task_id": task_id}, query=query)
        return models.decode(TaskContent, answer.json())


async def read_prompt_events(transport: Transport, task_id: str, prompt_id: str) -> tuple[TaskEvent, ...]:
    """Read the events of a delegated sub-prompt. Raises as `Transport.call`, and `DecodeError`."""
    ids = {"task_id": task_id, "prompt_id": prompt_id}
    with about(task_id):
        answer = await transport.call(endpoints.LIST_PROMPT_EVENTS, ids=ids)
        return models.decode_items(TaskEvent, answer.json(), ("events",))
