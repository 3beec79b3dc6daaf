"""The rule by which tasks are given to items whose create is in doubt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.batch.matching import Candidate, Doubt, Verdict, judge

SLACK = 120.0


def doubt(position: int, text: str = "t", like: str = "same", at: float = 1000.0, **facts: Any) -> Doubt:
    """An item in doubt."""
    return Doubt(position=position, text=text.encode(), fingerprint=(text + like).encode(), intent_at=at, **facts)


def task(name: str, text: str | None = "t", at: float | None = 1000.0, **facts: Any) -> Candidate:
    """A task that may be an item's."""
    return Candidate(task_id=name, text=None if text is None else text.encode(), created_at=at, **facts)


def said(doubts: list[Doubt], tasks: list[Candidate], *, unsure: str | None = None) -> dict[int, str | None]:
    """The verdicts in short: a task's id, `?`, or None for certainly absent."""
    verdicts = judge(doubts, tasks, slack=SLACK, unsure=unsure)
    return {
        position: "?" if verdict.unclear else verdict.task.task_id if verdict.task else None
        for position, verdict in verdicts.items()
    }


@pytest.mark.parametrize(
    ("doubts", "tasks", "verdicts"),
    [
        pytest.param([doubt(1)], [], {1: None}, id="no task: it made none"),
        pytest.param([doubt(1)], [task("a")], {1: "a"}, id="one task"),
        pytest.param([doubt(1)], [task("a", "u")], {1: None}, id="another text"),
        pytest.param([doubt(1), doubt(2)], [task("a")], {1: "a", 2: None}, id="equal items, one task: one gets it"),
        pytest.param([doubt(1), doubt(2)], [task("a"), task("b", at=1001)], {1: "a", 2: "b"}, id="one to one"),
        pytest.param([doubt(1)], [task("a"), task("b")], {1: "?"}, id="a stranger's task may be among them"),
        pytest.param([doubt(1), doubt(2)], [task("a"), task("b"), task("c")], {1: "?", 2: "?"}, id="too many"),
        pytest.param([doubt(1, like="x"), doubt(2, like="y")], [task("a")], {1: "?", 2: "?"}, id="differing items"),
        pytest.param([doubt(1, like="x"), doubt(2, like="y")], [], {1: None, 2: None}, id="differing, and no task"),
        pytest.param(
            [doubt(1, like="x", model="m"), doubt(2, like="y", model="n")],
            [task("a", model="n")],
            {1: None, 2: "a"},
            id="told apart by the model",
        ),
        pytest.param(
            [doubt(1, like="x"), doubt(2, like="y", executor="codex")],
            [task("a", executor="claude")],
            {1: "a", 2: None},
            id="told apart by what it isn't",
        ),
        pytest.param(
            [doubt(1, like="x", model="m"), doubt(2, like="y", model="n")],
            [task("a", model="o")],
            {1: "?", 2: "?"},
            id="a model that nobody asked for makes no task a stranger's",
        ),
        pytest.param([doubt(1, model="m")], [task("a", model="o")], {1: "a"}, id="the model is no proof"),
        pytest.param(
            [doubt(1, workspace_id="v"), doubt(2, workspace_id="w")],
            [task("a", workspace_id="w")],
            {1: None, 2: "a"},
            id="told apart by the machine",
        ),
        pytest.param([doubt(1, workspace_id="v")], [task("a", workspace_id="w")], {1: None}, id="a stranger's machine"),
        pytest.param(
            [doubt(1, like="x"), doubt(2, like="y", workspace_id="w")],
            [task("a", workspace_id="w"), task("b", workspace_id="z")],
            {1: "b", 2: "a"},
            id="who named a machine has its task",
        ),
        pytest.param([doubt(1, at=1000)], [task("a", at=800)], {1: None}, id="made before the intent"),
        pytest.param([doubt(1, at=1000)], [task("a", at=900)], {1: "a"}, id="within the clocks' slack"),
        pytest.param([doubt(1)], [task("a", at=None)], {1: "a"}, id="of an unknown time"),
        pytest.param(
            [doubt(1, at=1000), doubt(2, at=2000)],
            [task("a", at=1000), task("b", at=1010)],
            {1: "?", 2: None},
            id="two tasks of the time of one",
        ),
        pytest.param(
            [doubt(1, at=1000), doubt(2, at=2000)], [task("b", at=2000)], {1: "b", 2: None}, id="equal items: either"
        ),
        pytest.param([doubt(1)], [task("a", None)], {1: "?"}, id="unread"),
        pytest.param([doubt(1)], [task("a", None), task("b")], {1: "b"}, id="unread, and another that fits"),
        pytest.param([doubt(1)], [task("a", None, at=10)], {1: None}, id="unread, and too old"),
        pytest.param(
            [doubt(1), doubt(2, "u")], [task("a"), task("b", None)], {1: "a", 2: "?"}, id="unread, for the rest"
        ),
    ],
)
def test_the_rule(doubts: list[Doubt], tasks: list[Candidate], verdicts: dict[int, str | None]) -> None:
    """A task belongs to one item; what can't be told is not guessed."""
    assert said(doubts, tasks) == verdicts


def test_nothing_is_absent_while_tasks_turn_up() -> None:
    """Where the looks never agreed, no create is taken to have made nothing."""
    assert said([doubt(1), doubt(2)], [task("a")], unsure="why") == {1: "a", 2: "?"}


def test_an_unclear_verdict_names_the_tasks() -> None:
    """Whoever looks into it knows where."""
    verdict = judge([doubt(1)], [task("a"), task("b")], slack=SLACK)[1]
    assert verdict.unclear is not None
    assert "the tasks a, b" in verdict.unclear
    many = judge([doubt(1)], [task(f"t{number}") for number in range(9)], slack=SLACK)[1]
    assert "and 4 more" in (many.unclear or "")


def test_many_equal_items_are_matched_quickly() -> None:
    """A thousand creates of one prompt, in doubt together, are no trouble."""
    doubts = [doubt(number, at=1000.0 + number) for number in range(1000)]
    tasks = [task(f"t{number:04}", at=1000.0 + number) for number in range(1000)]
    verdicts = said(doubts, tasks)
    assert sorted(str(name) for name in verdicts.values()) == [f"t{number:04}" for number in range(1000)]


TIMES = st.sampled_from([1000.0, 1100.0, 1300.0, 1500.0])
PLACES = st.sampled_from([None, "v", "w"])
MODELS = st.sampled_from([None, "m", "n"])
TEXTS = st.sampled_from(["t", "u"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Doubt], list[Candidate], dict[str, int]]:
    """Items in doubt, the tasks that their creates have made, and whose each is."""
    doubts: list[Doubt] = []
    tasks: list[Candidate] = []
    owners: dict[str, int] = {}
    for position in range(draw(st.integers(1, 6))):
        text, at, place, model = draw(TEXTS), draw(TIMES), draw(PLACES), draw(MODELS)
        doubts.append(doubt(position, text, f"{place}{model}", at, workspace_id=place, model=model))
        if draw(st.booleans()):
            name = f"task{position}"
            owners[name] = position
            tasks.append(
                task(
                    name,
                    draw(st.sampled_from([text, text, text, None])),
                    at + draw(st.sampled_from([0.0, 50.0, -100.0])),
                    workspace_id=draw(st.sampled_from([None, place or f"own{position}"])),
                    model=draw(st.sampled_from([None, model])),
                )
            )
    return doubts, draw(st.permutations(tasks)), owners


@given(worlds())
def test_no_task_is_doubled_shared_or_lost(world: tuple[list[Doubt], list[Candidate], dict[str, int]]) -> None:
    """Whatever was made: as many items are made anew as have none, unless it can't be told, and none is shared."""
    doubts, tasks, _ = world
    verdicts = judge(doubts, tasks, slack=SLACK)
    given_out = [verdict.task.task_id for verdict in verdicts.values() if verdict.task]
    assert len(given_out) == len(set(given_out))
    for text in (b"t", b"u"):
        mine = [verdicts[one.position] for one in doubts if one.text == text]
        # Every task has an item, or the items that may have it are left alone: nobody makes a second one.
        without = [one for one in tasks if one.text == text and one.task_id not in given_out]
        unread = [one for one in tasks if one.text is None]
        unclear = sum(1 for verdict in mine if verdict.unclear)
        assert len(without) <= unclear
        if not without and not unread:
            assert unclear == 0
    for one in doubts:
        found = verdicts[one.position].task
        assert found is None or found.text == one.text
        assert found is None or None in {found.workspace_id, one.workspace_id} or found.workspace_id == one.workspace_id


def test_a_verdict_of_nothing_is_absent() -> None:
    """The empty verdict is the one of a create that made nothing."""
    assert judge([doubt(1)], [], slack=SLACK) == {1: Verdict()}


def test_what_was_there_before_the_first_create_is_no_ones() -> None:
    """The mark of a run: the tasks of its instant are told by their ids, later ones may be an item's."""
    one = doubt(1, earliest=1000.0, before=("a", "b"))
    assert said([one], [task("a"), task("b"), task("z", at=999)]) == {1: None}
    assert said([one], [task("a"), task("c")]) == {1: "c"}
