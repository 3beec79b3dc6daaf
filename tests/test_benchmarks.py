"""A run of the benchmarks says what moved since the kept one of the same machine, and keeps what it measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent))

from benchmarks.record import describe_machine, record

FIGURES: list[dict[str, Any]] = [
    {"what": "streams", "unit": "times aiohttp", "measured": 1.10, "aim": 1.15, "at_most": True},
    {"what": "streams", "unit": "µs of CPU an event", "measured": 20.0, "aim": None, "at_most": False},
    {"what": "calls", "unit": "times aiohttp", "measured": 1.20, "aim": None, "at_most": False},
]


def changed(*measured: float) -> list[dict[str, Any]]:
    """Return the figures as another run would measure them."""
    return [{**figure, "measured": value} for figure, value in zip(FIGURES, measured, strict=False)]


def test_the_first_run_is_kept(tmp_path: Path) -> None:
    """There is nothing to compare with; the next run compares with it."""
    lines = record(FIGURES, keep=False, folder=tmp_path)
    assert "kept for comparison" in lines[-1]
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["figures"] == FIGURES
    assert kept["machine"] == describe_machine()
    assert record(FIGURES, keep=False, folder=tmp_path)[-1].startswith("nothing moved by more than the noise since")


def test_what_moved_by_more_than_the_noise_is_named(tmp_path: Path) -> None:
    """A ratio moves by a tenth from run to run, a time by a quarter; the largest change comes first."""
    record(FIGURES, keep=False, folder=tmp_path)
    moved = record(changed(1.25, 23.0, 0.60), keep=False, folder=tmp_path)[2:]
    assert moved == ["calls: times aiohttp  1.20 -> 0.60  (-50%)", "streams: times aiohttp  1.10 -> 1.25  (+14%)"]
    assert json.loads((tmp_path / "kept.json").read_text())["figures"] == FIGURES
    assert json.loads((tmp_path / "last.json").read_text())["figures"][0]["measured"] == 1.25


def test_a_part_of_the_benchmarks_keeps_the_others_figures(tmp_path: Path) -> None:
    """A run of some benchmarks that is kept leaves what the others had measured."""
    record(FIGURES, keep=False, folder=tmp_path)
    record(changed(1.05), keep=True, folder=tmp_path)
    kept = json.loads((tmp_path / "kept.json").read_text())["figures"]
    assert {(figure["what"], figure["unit"]): figure["measured"] for figure in kept} == {
        ("streams", "times aiohttp"): 1.05,
        ("streams", "µs of CPU an event"): 20.0,
        ("calls", "times aiohttp"): 1.20,
    }


@pytest.mark.parametrize("part", ["python", "cores"])
def test_runs_of_other_machines_are_not_compared(tmp_path: Path, part: str) -> None:
    """Another Python or another machine begins anew."""
    record(FIGURES, keep=False, folder=tmp_path)
    kept = json.loads((tmp_path / "kept.json").read_text())
    kept["machine"][part] = "another"
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    assert "kept for comparison" in record(changed(9.0), keep=False, folder=tmp_path)[-1]
