"""A batch item is a span above what is done for it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from rebyte_async.batch import BatchRunner
from rebyte_async.emulator import Emulator, fail, faults, hold, text
from rebyte_async.errors import BatchError
from support.batches import items, runner_of
from support.clients import KEY, client_of
from support.traces import Spans, id_of

ITEM = "rebyte.batch.item"


async def test_an_item_is_the_parent_of_its_create_and_its_stream(spans: Spans) -> None:
    """All that is done for an item is below its span, and that is below the span of the run."""
    async with Emulator(pace=0) as emulator:
        emulator.add_key(KEY)
        async with client_of(emulator.url) as client:
            spans.instrument(client)
            with spans.tracer.start_as_current_span("nightly"):
                async for _ in runner_of(client).run(items(3, files=[("notes.txt", b"notes")])):
                    pass
    found = spans.all(ITEM)
    assert sorted(str((span.attributes or {})["rebyte.batch.item.key"]) for span in found) == ["k0", "k1", "k2"]
    assert {span.parent.span_id for span in found if span.parent} == {id_of(spans.one("nightly")).span_id}
    for span in found:
        attributes = span.attributes or {}
        assert span.kind is SpanKind.INTERNAL
        assert {"POST /files", "PUT a signed URL", "POST /tasks", "invoke_agent"} <= {*spans.children(span)}
        assert (attributes["rebyte.batch.item.status"], attributes["rebyte.batch.item.attempts"]) == ("completed", 1)
        assert attributes["gen_ai.conversation.id"]
        assert attributes["gen_ai.agent.id"]


TROUBLES: dict[str, tuple[Any, bool]] = {
    "failed": (None, True),
    "ambiguous": (faults.Drop("after"), True),
    "error": (faults.Status(422), True),
}


@pytest.mark.parametrize("status", TROUBLES)
async def test_an_item_without_success_failed(spans: Spans, status: str) -> None:
    """A failed item is a failed span, with the kind of failure."""
    trouble, is_failure = TROUBLES[status]
    async with Emulator(pace=0) as emulator:
        emulator.add_key(KEY)
        emulator.script(fail("the words of the agent"))
        if trouble is not None:
            emulator.faults.add(trouble, faults.Match("POST", "/tasks"))
        async with client_of(emulator.url) as client:
            run = runner_of(spans.instrument(client), on_ambiguous="report").run(items(1))
            assert [outcome.status async for outcome in run] == [status]
    assert (spans.one(ITEM).status.status_code is StatusCode.ERROR) is is_failure
    assert spans.attributes(ITEM)["error.type"] == f"rebyte.item_{status}"
    assert "words" not in spans.text()


async def test_the_items_of_a_run_that_is_left_end_and_those_of_the_next_run_are_new(
    spans: Spans, tmp_path: Path
) -> None:
    """A run that is cancelled ends the spans of its items; the next run's are of what is done then."""
    async with Emulator(pace=0) as emulator:
        emulator.add_key(KEY)
        emulator.script(text("a"), hold("half"), text("b"), times=None)
        async with client_of(emulator.url) as client:
            spans.instrument(client)
            async with runner_of(client, journal=tmp_path / "journal").run(items(2)) as outcomes:
                reading = asyncio.ensure_future(anext(outcomes))
                await emulator.reached("half", count=2)
                reading.cancel()
                with pytest.raises((asyncio.CancelledError, BatchError)):
                    await reading
            gc.collect()
            assert [(span.attributes or {})["error.type"] for span in spans.all(ITEM)] == ["cancelled"] * 2
            emulator.release("half")
            resumed = BatchRunner(client, journal=tmp_path / "journal").run(items(2))
            assert [outcome.status async for outcome in resumed] == ["completed"] * 2
    for span in spans.all(ITEM)[2:]:
        assert "invoke_agent" in spans.children(span)
        assert "POST /tasks" not in spans.children(span)
    assert len(spans.all(ITEM)) == 4


async def test_an_item_that_never_began_ends(spans: Spans) -> None:
    """The span of an item whose run ends before its first step is ended with it."""
    async with client_of("http://127.0.0.1:1/v1") as client:
        trace = spans.instrument(client)._transport.tracing.start_item("k1")
    del trace
    gc.collect()
    assert spans.attributes(ITEM)["rebyte.batch.item.key"] == "k1"
