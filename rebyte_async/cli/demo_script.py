"""The data that the agent of the demo gets, and what it does with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rebyte_async import emulator
from rebyte_async.emulator import Step, Steps, Turn, pause

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
"""The file that is uploaded. What the agent says of it below is true: medians before Thu and since."""

_REPORT = """\
# Why the shop got slow on Thu

p95 of each endpoint in ms, before Thu and since:

```
/cart       121  122  ███
/checkout   241  244  ██████
/login       87   87  ██
/search     152  908  ████████████████████████
```

- Only **/search** got slower: 152 ms became 908 ms.
- `9c41e07` ranks by similarity and computes it for each request.
- Compute it once a night instead, and revert the commit until then.
"""
_COMMITS = """\
9c41e07 Thu 08:52  search: rank by similarity, computed for each request
51d0b3a Tue 16:20  cart: fix rounding of vouchers"""
_FINAL_RESULT = (
    "**/search is 6.0 times as slow since Thu**; everything else is as fast as before. "
    f"The cause is commit `9c41e07`.\n\nThe numbers, and what I'd do, are in `{REPORT_NAME}`."
)
_WORD, _THOUGHT, _TOOL = 0.03, 0.5, 0.4
"""Seconds that a word, a thought and a tool take."""


def agent(*, pace: float) -> Iterator[Steps]:
    """Yield the steps of the agent.

    Args:
        pace: How much time it takes: 1 for some seconds in all, 0 for none.
    """
    yield from (emulator.init("demo", model="claude", cwd="/code"), pause(0.3 * pace))
    yield from _think("First the numbers: is everything slow, or one thing?", pace)
    yield from _say("I'll look at the measurements that you sent.", pace)
    yield lambda turn: [*_work(turn, pace)]


def _work(turn: Turn, pace: float) -> Iterator[Step]:
    name = turn.files[0]
    yield from _use("Read", {"file_path": f"/code/{name}"}, turn.read_text(name), pace * 1.5)
    yield from _say("Only /search changed: from 152 ms to 908 ms, on Thu. What was deployed then?", pace)
    yield from _use("Bash", {"command": "git log --since=Mon --format='%h %ad  %s'"}, _COMMITS, pace * 2)
    thought = "Similarity for each request: that is the whole catalog, every time. It can be computed once a night."
    yield from _think(thought, pace)
    change = {"file_path": f"/code/{REPORT_NAME}", "content": _REPORT}
    yield from _use("Write", change, f"The file /code/{REPORT_NAME} has been written.", pace * 1.5)
    yield emulator.artifact(REPORT_NAME, _REPORT, content_type="text/markdown")
    yield from _say(_FINAL_RESULT, pace)
    yield emulator.result(_FINAL_RESULT, status="success", usage={"input_tokens": 18_204, "output_tokens": 1_127})
    yield emulator.succeed(_FINAL_RESULT)


def _think(text: str, pace: float) -> tuple[Step, Step]:
    return emulator.thinking(text), pause(pace * _THOUGHT)


def _say(text: str, pace: float) -> Iterator[Step]:
    for word in re.findall(r"\S+\s*", text):
        yield from (emulator.delta(word), pause(pace * _WORD))


def _use(name: str, arguments: Mapping[str, object], output: str, pace: float) -> Iterator[Step]:
    yield from (emulator.tool_use(name, arguments), pause(pace * _TOOL))
    yield from (emulator.tool_result(output, is_error=False), pause(pace * 0.2))
