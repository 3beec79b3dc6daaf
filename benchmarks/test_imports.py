"""What an import costs, in a fresh interpreter: the best of several."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.conftest import Figures

    Run = Callable[..., subprocess.CompletedProcess[str]]

TIMES = 10
PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python with a cache of compiled modules, whatever the environment says: the first run fills it."""
    cache = str(tmp_path_factory.mktemp("pycache"))
    environment = os.environ | {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)

    return run


@pytest.mark.parametrize("module", ["attrs", "rebyte_async", "aiohttp", "openai", "anthropic"])
def test_import(run: Run, figures: Figures, module: str) -> None:
    seconds = min(float(run("-c", PROGRAM.format(module)).stdout) for _ in range(TIMES))
    figures.add(f"import {module}", "ms", seconds * 1000)


def test_import_and_a_client(run: Run, figures: Figures) -> None:
    """In turns with aiohttp, so that a busy machine slows down both."""
    best: dict[str, float] = {}
    for _ in range(TIMES):
        for name, statement in (
            ("ours", "rebyte_async; rebyte_async.AsyncRebyte('rbk_benchmark')"),
            ("aiohttp", "aiohttp"),
        ):
            seconds = float(run("-c", PROGRAM.format(statement)).stdout)
            best[name] = min(best.get(name, seconds), seconds)
    figures.add(
        "import rebyte_async, make a client", "times aiohttp", best["ours"] / best["aiohttp"], aim=0.7, at_most=True
    )


def own_time(report: str, modules: set[str]) -> float:
    """Milliseconds spent in the modules themselves, by the report of `-X importtime`."""
    rows = [line.removeprefix("import time:").split("|") for line in report.splitlines() if line.count("|") == 2]
    return sum(int(own) / 1000 for own, _, name in rows if name.strip() in modules)


def test_defining_the_events(run: Run, figures: Figures) -> None:
    modules = {"rebyte_async.types.events", "rebyte_async._wire.events"}
    reports = [run("-X", "importtime", "-c", "import rebyte_async._wire.events").stderr for _ in range(TIMES)]
    figures.add(
        "the events' own modules", "ms", min(own_time(report, modules) for report in reports), aim=8, at_most=True
    )


def test_nothing_heavy_is_imported(run: Run, figures: Figures) -> None:
    program = "import sys, rebyte_async; print(*{'aiohttp', 'cattrs', 'orjson'}.intersection(sys.modules))"
    figures.add(
        "import rebyte_async",
        "of aiohttp, cattrs, orjson imported",
        len(run("-c", program).stdout.split()),
        aim=0,
        at_most=True,
    )
