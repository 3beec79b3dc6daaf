"""Draws the picture of a trace from a real run of a client against the emulator.

    python docs/trace_picture.py         # into docs/assets
    python docs/trace_picture.py --fast  # without the time that an agent takes

It needs the extra `otel` and opentelemetry-sdk. A new run changes times, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async.emulator import Emulator, artifact, pause, text, tool_result, tool_use
from rebyte_async.emulator.faults import Cut, Match, Status
from rebyte_async.otel import instrument

ASSETS = Path(__file__).parent / "assets"
WIDTH, ROW, NAMES, TIMELINE = 960, 26, 24, (470, 860)
"""The width of the picture, the height of a row, the left edge of names, and the edges of the timeline."""
COLORS = {
    "application": "#9aa5b1",
    "call": "#5b9dff",
    "stream": "#7ed491",
    "connect": "#7ed491",
    "trouble": "#ffb454",
}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
Row = tuple[int, str, str, float, float | None]
"""A row's depth, label, color, start, and end in seconds; an event has no end."""


async def run(pace: float) -> list[ReadableSpan]:
    """Let an agent write a report over a bad network, and return the spans of it."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with Emulator(pace=0) as emulator:
        emulator.script(
            text("Let me see."),
            pause(pace),
            tool_use("Bash", {"command": "wc -l data.csv"}),
            pause(2 * pace),
            tool_result("1000 data.csv"),
            pause(pace),
            artifact("report.md", "# 1,000 rows"),
            text("The report is written."),
        )
        emulator.faults.add(Cut(events=3))
        emulator.faults.add(Status(503), Match("GET", "/workspaces/.+"))
        retry = RetryPolicy(base_delay=pace)
        async with AsyncRebyte(
            emulator.api_key, base_url=emulator.url, retry=retry
        ) as client:
            instrument(client, tracer_provider=provider)
            tracer = provider.get_tracer("my.application")
            with tracer.start_as_current_span("POST /reports"):
                table = ("data.csv", b"name,amount\n")
                task = client.tasks.run("Write a report", executor="claude", files=[table])
                await task
                await client.artifacts.read(task.workspace_id or "", "report.md")
    return list(exporter.get_finished_spans())


def rows_of(spans: list[ReadableSpan], parent: int | None, depth: int = 0) -> Iterator[Row]:
    """Yield the rows of the spans below another one, in the order of their starts, with their events."""
    below = [
        span for span in spans if (span.parent.span_id if span.parent else None) == parent
    ]
    for span in sorted(below, key=lambda span: span.start_time or 0):
        is_stream = span.name.startswith("invoke_agent")
        color = "application" if parent is None else "stream" if is_stream else "call"
        yield (
            depth,
            span.name,
            color,
            (span.start_time or 0) / 1e9,
            (span.end_time or 0) / 1e9,
        )
        for event in span.events:
            label, event_color = describe(event.name, event.attributes or {})
            yield depth + 1, label, event_color, event.timestamp / 1e9, None
        assert span.context is not None
        yield from rows_of(spans, span.context.span_id, depth + 1)


def describe(name: str, attributes: Mapping[str, Any]) -> tuple[str, str]:
    """Return the label and the color of an event."""
    if "error.type" not in attributes:
        return name, "connect"
    reason = str(attributes["error.type"]).rpartition(".")[2]
    return f"{name}: {reason}, next in {attributes['rebyte.retry.delay']:.2f} s", "trouble"


def draw(rows: list[Row]) -> str:
    """Return the picture of rows."""
    begin = rows[0][3]
    whole = max((rows[0][4] or begin) - begin, 1e-9)
    left, right = TIMELINE
    height = ROW * len(rows) + 32
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="{FONT}" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#292929"/>',
    ]
    for number, (depth, label, color, start, end) in enumerate(rows):
        middle = 16 + ROW * number + ROW / 2
        x = left + (right - left) * (start - begin) / whole
        fill = COLORS[color]
        shade = fill if end is None else "#e6e6e6"
        parts.append(
            f'<text x="{NAMES + 18 * depth}" y="{middle + 4:g}" fill="{shade}">{escape(label)}</text>'
        )
        if end is None:
            parts.append(f'<circle cx="{x:.1f}" cy="{middle:g}" r="4" fill="{fill}"/>')
            continue
        width = max(2.0, (right - left) * (end - start) / whole)
        parts.append(
            f'<rect x="{x:.1f}" y="{middle - 6:g}" width="{width:.1f}" height="12" rx="3" fill="{fill}"/>'
        )
        took = f"{1000 * (end - start):.0f} ms"
        parts.append(
            f'<text x="{WIDTH - 24}" y="{middle + 4:g}" fill="#9aa5b1" text-anchor="end">{took}</text>'
        )
    return "\n".join((*parts, "</svg>\n"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--folder", type=Path, default=ASSETS)
    chosen = parser.parse_args()
    found = asyncio.run(run(0.001 if chosen.fast else 0.4))
    (chosen.folder / "trace.svg").write_text(
        draw(list(rows_of(found, None))), encoding="utf-8"
    )
