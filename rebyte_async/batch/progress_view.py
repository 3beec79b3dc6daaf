"""Show the progress of a run while it is read: a bar where one can be drawn, and lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any, cast

from anyio import CancelScope

from rebyte_async._terminal import is_terminal
from rebyte_async.batch.progress_lines import LineView, ProgressView
from rebyte_async.batch.runner import BatchRun

_LOST = (OSError, ValueError)
"""What is raised where an output is closed or its reader has left; a run doesn't fail for that."""


@asynccontextmanager
async def show_progress(run: BatchRun, *, interval: float = 10) -> AsyncGenerator[None]:
    """Show the progress of a run until the block is left.

        run = runner.run(items)
        async with show_progress(run):
            async for outcome in run:
                print(outcome.key)

    In a terminal it is a bar at its end, with what is printed above it, and in a notebook an output of the cell; both
    need rich, of the extra `cli`. Elsewhere, and without rich, a line is written now and then. All but the output of a
    cell is on stderr. Where that can't be written, nothing is shown, and the run continues.

    Args:
        run: The run. It may have started or not.
        interval: Seconds between two lines, where lines are written.

    Yields:
        Nothing.
    """
    view = await asyncio.to_thread(_make_view, interval)  # importing rich takes time
    with suppress(*_LOST):
        view.__enter__()
    refresher = asyncio.create_task(_refresh(view, run), name="rebyte-progress")
    try:
        yield
    finally:
        refresher.cancel()
        with CancelScope(shield=True):
            await asyncio.wait([refresher])
        with suppress(*_LOST):
            view.finish(run.progress)
        with suppress(*_LOST):
            view.__exit__(None, None, None)


async def _refresh(view: ProgressView, run: BatchRun) -> None:
    with suppress(*_LOST):
        while True:
            view.show(run.progress)
            await asyncio.sleep(view.refresh_interval)


def _make_view(interval: float) -> ProgressView:
    display = _find_display()
    if find_spec("rich") is not None:
        from rebyte_async.batch import progress_bar  # noqa: PLC0415 - rich isn't always installed

        if display is not None:
            return progress_bar.NotebookBar(display)
        if _is_open(sys.stderr) and is_terminal(sys.stderr):
            return progress_bar.TerminalBar()
    return LineView(interval) if _is_open(sys.stderr) else ProgressView()


def _is_open(out: Any) -> bool:
    return out is not None and not out.closed  # a program without a console has none


def _find_display() -> Callable[..., Any] | None:
    """Return IPython's `display` where this runs in the kernel of a notebook."""
    ipython = cast("Any", sys.modules.get("IPython"))
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None
    return cast("Callable[..., Any]", ipython.display.display)
