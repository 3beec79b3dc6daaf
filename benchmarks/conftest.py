"""Races: what the package does beside what its peers do, in the same run, with a table of ratios at the end.

A benchmark takes the fixture `race` and hands it the contenders, ours first:

    def test_sse(race):
        race("100-byte events", {"rebyte-async": ours, "httpx-sse": theirs}, units=1000, aims={"httpx-sse": 3.3})

or notes a figure that it measured itself, such as one of an event loop or a subprocess, with the fixture `figures`:

    figures.add("calls on one connection", "per second", 2_100, aim=2_000)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import pytest

from benchmarks.record import record

Contender = Callable[[], object]
Row = tuple[str, str, float, float | None, bool]
Race = Callable[..., dict[str, float]]

ROUNDS_SECONDS = 1.5  # for one race, all contenders together
_FIGURES = pytest.StashKey["Figures"]()


@dataclass
class Figures:
    """What was measured, and what was aimed at."""

    rows: list[Row] = field(default_factory=list[Row])

    def add(self, what: str, unit: str, measured: float, *, aim: float | None = None, at_most: bool = False) -> None:
        """Note one figure. The aim is a lower bound, or with `at_most` an upper one."""
        self.rows.append((what, unit, measured, aim, at_most))

    def lines(self) -> list[str]:
        width = max(len(f"{what}: {unit}") for what, unit, *_ in self.rows)
        return [self._line(width, *row) for row in self.rows]

    def documents(self) -> list[dict[str, Any]]:
        """The figures as they are written to a file."""
        return [
            {"what": what, "unit": unit, "measured": measured, "aim": aim, "at_most": at_most}
            for what, unit, measured, aim, at_most in self.rows
        ]

    @staticmethod
    def _line(width: int, what: str, unit: str, measured: float, aim: float | None, at_most: bool) -> str:
        line = f"{f'{what}: {unit}':<{width}}  {measured:>12,.2f}"
        if aim is None:
            return line
        met = measured <= aim if at_most else measured >= aim
        return f"{line}   aim {'<=' if at_most else '>='} {aim:>10,.2f}   {'met' if met else 'MISSED'}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep", action="store_true", help="keep the figures of this run for later ones to compare with")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    figures = config.stash[_FIGURES]
    if figures.rows:
        terminalreporter.section("measured against the aims")
        for line in figures.lines():
            terminalreporter.write_line(line)
        for line in record(figures.documents(), keep=bool(config.getoption("--keep"))):
            terminalreporter.write_line(line)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[_FIGURES]


def take_turns(contenders: Mapping[str, Contender], seconds: float = ROUNDS_SECONDS) -> dict[str, float]:
    """The best time of each, in seconds. They take turns, so that a busy machine slows down all of them alike."""
    best = dict.fromkeys(contenders, float("inf"))
    end = perf_counter() + seconds
    rounds = 0
    while rounds < 5 or perf_counter() < end:
        for name, run in contenders.items():
            start = perf_counter()
            run()
            best[name] = min(best[name], perf_counter() - start)
        rounds += 1
    return best


@pytest.fixture
def race(benchmark: Any, figures: Figures) -> Race:
    """Let contenders do the same work, ours first, and note how many times as fast as each other one ours is.

    `units` is how many of something (events) a run handles; `aims` has the ratio to reach, for some of the peers, and
    `rate` the number of units a second.
    """

    def run(
        what: str,
        contenders: Mapping[str, Contender],
        *,
        units: int,
        aims: Mapping[str, float] | None = None,
        rate: float | None = None,
    ) -> dict[str, float]:
        ours, *peers = contenders
        best = take_turns(contenders)
        figures.add(what, f"{ours}, thousands a second", units / best[ours] / 1000, aim=rate and rate / 1000)
        for peer in peers:
            figures.add(what, f"times {peer}", best[peer] / best[ours], aim=(aims or {}).get(peer))
        benchmark.group = what
        benchmark.extra_info.update({name: units / seconds for name, seconds in best.items()})
        benchmark(contenders[ours])
        return best

    return run
