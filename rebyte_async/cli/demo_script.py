"""The data that the agent of the demo gets, and what it does with them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from statistics import median

from rebyte_async.emulator import (
    Step,
    Steps,
    Turn,
    artifact,
    delta,
    init,
    pause,
    result,
    succeed,
    thinking,
    tool_result,
    tool_use,
)

PROMPT = "Customers say the shop got slow. Find out what changed, and write report.md."
DATA_NAME = "latency.csv"
REPORT_NAME = "report.md"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
_MEASURED = {
    "/cart": (118, 124, 121, 119, 126),
    "/checkout": (241, 236, 244, 239, 248),
    "/login": (87, 85, 91, 88, 86),
    "/search": (152, 149, 158, 894, 921),
}
DATA = "day,endpoint,p95_ms\n" + "".join(
    f"{day},{endpoint},{times[number]}\n" for number, day in enumerate(_DAYS) for endpoint, times in _MEASURED.items()
)
"""What is uploaded."""

_WORD = 0.03
_THOUGHT = 0.5
_TOOL = 0.4
_BAR = 24

_COMMITS = """\
9c41e07 Thu 08:52  search: rank by similarity, computed for each request
51d0b3a Tue 16:20  cart: fix rounding of vouchers"""


def agent(*, pace: float) -> Iterator[Steps]:
    """The steps of the agent.

    Args:
        pace: How long it takes its time: 1 for some seconds in all, 0 for none.
    """
    yield from (init("demo", model="claude", cwd="/code"), pause(0.3 * pace))
    yield from (thinking("First the numbers: is everything slow, or one thing?"), pause(pace * _THOUGHT))
    yield from _say("I'll look at the measurements that you sent.", pace)

    def work(turn: Turn) -> Steps:
        """What follows from the file, which is really read."""
        return [*_look(turn, pace), *_conclude(turn, pace)]

    yield work


def _look(turn: Turn, pace: float) -> Iterator[Step]:
    name = turn.files[0]
    text = turn.read_text(name)
    yield from _use("Read", {"file_path": f"/code/{name}"}, text, pace * 1.5)
    endpoint, day, before, after = _culprit(text)
    said = f"Only {endpoint} changed: from {before} ms to {after} ms, on {day}. What was deployed then?"
    yield from _say(said, pace)
    yield from _use("Bash", {"command": "git log --since=Mon --format='%h %ad  %s'"}, _COMMITS, pace * 2)
    thought = "Similarity for each request: that is the whole catalog, every time. It can be computed once a night."
    yield from (thinking(thought), pause(pace * _THOUGHT))


def _conclude(turn: Turn, pace: float) -> Iterator[Step]:
    report = _report(turn.read_text(turn.files[0]))
    change = {"file_path": f"/code/{REPORT_NAME}", "content": report}
    yield from _use("Write", change, f"The file /code/{REPORT_NAME} has been written.", pace * 1.5)
    yield artifact(REPORT_NAME, report, content_type="text/markdown")
    endpoint, day, before, after = _culprit(turn.read_text(turn.files[0]))
    answer = (
        f"**{endpoint} is {after / before:.1f} times as slow since {day}**; everything else is as fast as before. "
        f"The cause is commit `9c41e07`.\n\nThe numbers, and what I'd do, are in `{REPORT_NAME}`."
    )
    yield from _say(answer, pace)
    yield result(answer, status="success", usage={"input_tokens": 18_204, "output_tokens": 1_127})
    yield succeed(answer)


def _report(text: str) -> str:
    endpoint, day, before, after = _culprit(text)
    lines = [
        f"# Why the shop got slow on {day}",
        "",
        f"p95 of each endpoint in ms, before {day} and since:",
        "",
        "```",
        *_chart(text, day),
        "```",
        "",
        f"- Only **{endpoint}** got slower: {before} ms became {after} ms.",
        "- `9c41e07` ranks by similarity and computes it for each request.",
        "- Compute it once a night instead, and revert the commit until then.",
    ]
    return "\n".join(lines) + "\n"


def _chart(text: str, day: str) -> Iterator[str]:
    parted = {endpoint: _parted(times, day) for endpoint, times in _times(text).items()}
    slowest = max(after for _, after in parted.values())
    for endpoint, (before, after) in parted.items():
        yield f"{endpoint:<10} {before:>4} {after:>4}  {'█' * round(_BAR * after / slowest)}"


def _culprit(text: str) -> tuple[str, str, int, int]:
    """The endpoint that got slower, since when, and how fast it was before and after."""
    found: list[tuple[float, str, str]] = []
    for endpoint, times in _times(text).items():
        days = list(times)
        found += [(times[day] / times[last], endpoint, day) for last, day in pairwise(days)]
    _, endpoint, day = max(found)
    return (endpoint, day, *_parted(_times(text)[endpoint], day))


def _parted(times: Mapping[str, int], day: str) -> tuple[int, int]:
    """How long it took before a day, and since."""
    days = list(times)
    place = days.index(day)
    return round(median(times[name] for name in days[:place])), round(median(times[name] for name in days[place:]))


def _times(text: str) -> dict[str, dict[str, int]]:
    times: dict[str, dict[str, int]] = {}
    for row in csv.DictReader(text.splitlines()):
        times.setdefault(row["endpoint"], {})[row["day"]] = int(row["p95_ms"])
    return times


def _say(text: str, pace: float) -> Iterator[Step]:
    for word in re.findall(r"\S+\s*", text):
        yield from (delta(word), pause(pace * _WORD))


def _use(name: str, arguments: Mapping[str, object], output: str, pace: float) -> Iterator[Step]:
    yield from (tool_use(name, arguments), pause(pace * _TOOL), tool_result(output, is_error=False), pause(pace * 0.2))
