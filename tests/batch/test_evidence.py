"""The evidence that bounds and supports the search for an ambiguous create's task."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rebyte_async.batch.evidence import PromptFidelity, Watermark
from rebyte_async.batch.matching import AmbiguousCreate, Candidate
from rebyte_async.types import Task

SLACK = 120.0


def task(name: str, at: float | None) -> Task:
    return Task(id=name, status="running", created_at=None if at is None else datetime.fromtimestamp(at, UTC))


def test_the_watermark_has_all_tasks_of_the_newest_instant() -> None:
    """Several tasks may have been created in the same instant, and tasks without a time don't count."""
    mark = Watermark.of_newest([task("a", 50.0), task("b", 50.0), task("c", 40.0), task("d", None)], 60.0)
    assert mark == Watermark(taken_at=60.0, created_at=50.0, task_ids=("a", "b"))
    assert Watermark.of_newest([], 60.0) == Watermark(taken_at=60.0)


def test_a_watermark_survives_its_note() -> None:
    """The journal's note has the names of its file format, whatever the code calls them."""
    mark = Watermark(taken_at=60.0, created_at=50.0, task_ids=("a", "b"))
    assert mark.as_note() == '{"began": 60.0, "created_at": 50.0, "task_ids": ["a", "b"]}'
    assert Watermark.from_note(mark.as_note()) == mark


@pytest.mark.parametrize("note", [None, "", "free text", "[]", "7", '"text"', "{}", '{"began": 1, "other": 2}'])
def test_another_note_is_no_watermark(note: str | None) -> None:
    """A note that can't be read is as good as none."""
    assert Watermark.from_note(note) is None


def test_an_intent_has_the_latest_watermark_before_it() -> None:
    """The watermark of a create is that of the run that sent it."""
    first, second = Watermark(taken_at=10.0), Watermark(taken_at=20.0)
    assert Watermark.at_intent(15.0, [first, second]) == first
    assert Watermark.at_intent(20.0, [first, second]) == second
    assert Watermark.at_intent(5.0, [first, second]) is None


@pytest.mark.parametrize(
    ("created_at", "offset", "earliest"),
    [
        pytest.param(None, None, 0.0, id="nothing is known"),
        pytest.param(700.0, None, 700.0, id="clocks can't be compared"),
        pytest.param(None, 1.0, 880.0, id="clocks agree"),
        pytest.param(None, -300.0, 580.0, id="the clock of intents is ahead"),
        pytest.param(900.0, 1.0, 900.0, id="the watermark is later"),
    ],
)
def test_the_earliest_time_of_a_task(created_at: float | None, offset: float | None, earliest: float) -> None:
    """A task isn't older than the watermark, nor, where the clocks can be compared, than its intent."""
    assert Watermark(taken_at=0.0, created_at=created_at).earliest_task_time(1000.0, offset, SLACK) == earliest


@pytest.mark.parametrize(
    ("fidelity", "shown", "doubt"),
    [
        pytest.param({"is_violated": True}, [], None, id="no task that could be its own"),
        pytest.param({"is_violated": True}, ["other"], "shows prompts otherwise", id="prompts are altered"),
        pytest.param({}, ["other"], "is not known yet", id="fidelity is unknown"),
        pytest.param({"verified_length": 9}, ["other"], None, id="as long a prompt is shown as sent"),
        pytest.param({"verified_length": 9}, ["Do"], None, id="as long a prompt is shown whole"),
        pytest.param({"verified_length": 2}, ["other"], None, id="a task with quite another prompt"),
        pytest.param({"verified_length": 2}, ["other", "Do"], "the task t1 may be its task", id="cut at its end"),
        pytest.param({"verified_length": 2}, ["it now"], "shown otherwise than it was sent", id="cut at its start"),
        pytest.param({"verified_length": 2}, ["[Do it now]"], "t0 may be its task", id="with something around it"),
    ],
)
def test_absence_is_doubted_where_prompts_prove_nothing(
    fidelity: dict[str, Any], shown: list[str], doubt: str | None
) -> None:
    """A create without a match is absent only if a task of it would show its prompt."""
    create = AmbiguousCreate(
        position=1, prompt_hash=b"", fingerprint=b"", intent_at=0.0, earliest=0.0, prompt="Do it now"
    )
    others = [Candidate(task_id=f"t{number}", prompt=prompt) for number, prompt in enumerate(shown)]
    reason = PromptFidelity(**fidelity).doubt_absence(create, others)
    assert reason is None if doubt is None else doubt in (reason or "")
