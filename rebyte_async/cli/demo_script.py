"""What the agent of the demo does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rebyte_async.emulator import delta, init, pause, result, succeed, thinking, tool_result, tool_use

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rebyte_async.emulator import Step

__all__ = ["agent"]

_WORD = 0.02
_THOUGHT = 0.5
_TOOL = 0.4

_PROFILE = """\
         412,618 function calls in 38.214 seconds
   ncalls  tottime  cumtime  filename:lineno(function)
   40,000   37.406   37.406  db.py:31(query)
   40,000    0.402   37.911  report.py:88(customer_of)
        1    0.211   38.214  report.py:61(build)
        1    0.090    0.090  render.py:12(to_pdf)
        1    0.004    0.004  mail.py:9(send)"""

_SOURCE = """\
88  def customer_of(order):
89      return db.query("SELECT * FROM customers WHERE id = ?", order.customer_id)"""

_TESTS = """\
................................                                         [100%]
32 passed in 1.94s
report built in 1.1 s (before: 38.2 s)"""

_ANSWER = """\
The report is slow because `customer_of` asks the database **once per order**: 40,000 queries of about 1 ms each.

- I load all customers with one query before the loop, in `report.py`.
- On the sample data the report now takes **1.1 s instead of 38.2 s**; the nightly run should take a minute.
- All 32 tests pass.

The change is on the branch `faster-report`."""


def agent(*, pace: float) -> Iterator[Step]:
    """The steps of the agent.

    Args:
        pace: How long it takes its time: 1 for some seconds in all, 0 for none.
    """
    yield from (init("demo", model="claude", cwd="/code"), pause(0.3 * pace))
    yield from (
        thinking("40 minutes for one report: most likely it waits for something. Measure first."),
        pause(pace * _THOUGHT),
    )
    yield from _say("I'll profile the report on a sample before I change anything.", pace)
    yield from _use("Bash", {"command": "python -m cProfile -s tottime report.py --sample"}, _PROFILE, pace * 2)
    yield from _say("Nearly all of the time goes into 40,000 single queries. Where do they come from?", pace)
    yield from _use("Read", {"file_path": "/code/report.py", "offset": 88, "limit": 2}, _SOURCE, pace)
    yield from (
        thinking("One query per order: the classic N+1. One query for all of them, and a dict."),
        pause(pace * _THOUGHT),
    )
    change = {
        "file_path": "/code/report.py",
        "old_string": "return db.query(...)",
        "new_string": "return customers[order.customer_id]",
    }
    yield from _use("Edit", change, "The file /code/report.py has been updated.", pace)
    yield from _use("Bash", {"command": "pytest -q && python report.py --sample"}, _TESTS, pace * 2.5)
    yield from _say(_ANSWER, pace)
    yield result(_ANSWER, status="success", usage={"input_tokens": 18_204, "output_tokens": 1_127})
    yield succeed(_ANSWER)


def _say(text: str, pace: float) -> Iterator[Step]:
    for word in re.findall(r"\S+\s*", text):
        yield from (delta(word), pause(pace * _WORD))


def _use(name: str, arguments: Mapping[str, object], output: str, pace: float) -> Iterator[Step]:
    yield from (tool_use(name, arguments), pause(pace * _TOOL), tool_result(output, is_error=False), pause(pace * 0.2))
