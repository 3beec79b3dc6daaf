"""The memory of the tasks that a client has given prompts."""

from __future__ import annotations

from rebyte_async.otel._origins import Origins
from support.traces import Spans


def test_a_memory_of_tasks_has_a_limit(spans: Spans) -> None:
    """The tasks that were given prompts longest ago are forgotten first."""
    origins = Origins(limit=2)
    for task_id in ("t1", "t2", "t1", "t3"):
        origins.remember(task_id, spans.tracer.start_span(task_id), {})
    assert [origins.find(task_id) is not None for task_id in ("t1", "t2", "t3")] == [True, False, True]
