"""Which task belongs to which ambiguous create."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.batch.matching import AmbiguousCreate, Candidate, Verdict, describe_tasks, match_tasks

SLACK = 120.0


def create(position: int, prompt: str = "t", like: str = "same", at: float = 1000.0, **fields: Any) -> AmbiguousCreate:
    """An ambiguous create; those with one `prompt` and one `like` are of equal items."""
    fields = {"earliest": at - SLACK} | fields
    fingerprint = (prompt + like).encode()
    return AmbiguousCreate(
        position=position, prompt_hash=prompt.encode(), fingerprint=fingerprint, intent_at=at, **fields
    )


def task(name: str, prompt: str | None = "t", at: float | None = 1000.0, **fields: Any) -> Candidate:
    """A candidate; without a prompt it is unreadable."""
    prompt_hash = None if prompt is None else prompt.encode()
    return Candidate(task_id=name, prompt_hash=prompt_hash, created_at=at, **fields)


def match(
    creates: list[AmbiguousCreate], tasks: list[Candidate], *, doubt: str | None = None, rivals: Any = ()
) -> dict[int, str | None]:
    """The verdicts in short: a task's id, `?` for undecidable, or None for absent."""
    verdicts = match_tasks(creates, tasks, lambda _create, _others: doubt, rivals)
    return {
        position: "?" if verdict.reason else verdict.task.task_id if verdict.task else None
        for position, verdict in verdicts.items()
    }


@pytest.mark.parametrize(
    ("creates", "tasks", "verdicts"),
    [
        pytest.param([create(1)], [], {1: None}, id="no task: absent"),
        pytest.param([create(1)], [task("a")], {1: "a"}, id="one task"),
        pytest.param([create(1)], [task("a", "u")], {1: None}, id="another prompt"),
        pytest.param([create(1), create(2)], [task("a")], {1: "a", 2: None}, id="equal items, one task: one gets it"),
        pytest.param([create(1), create(2)], [task("a"), task("b", at=1001)], {1: "a", 2: "b"}, id="one to one"),
        pytest.param([create(1)], [task("a"), task("b")], {1: "?"}, id="a stranger's task may be among them"),
        pytest.param([create(1), create(2)], [task("a"), task("b"), task("c")], {1: "?", 2: "?"}, id="too many"),
        pytest.param([create(1, like="x"), create(2, like="y")], [task("a")], {1: "?", 2: "?"}, id="differing items"),
        pytest.param([create(1, like="x"), create(2, like="y")], [], {1: None, 2: None}, id="differing, and no task"),
        pytest.param(
            [create(1, like="x", model="m"), create(2, like="y", model="n")],
            [task("a", model="n")],
            {1: None, 2: "a"},
            id="distinguished by the model",
        ),
        pytest.param(
            [create(1, like="x"), create(2, like="y", executor="codex")],
            [task("a", executor="claude")],
            {1: "a", 2: None},
            id="distinguished by what the task is not",
        ),
        pytest.param(
            [create(1, like="x", model="m"), create(2, like="y", model="n")],
            [task("a", model="o")],
            {1: "?", 2: "?"},
            id="a model that no item asked for makes no task a stranger's",
        ),
        pytest.param([create(1, model="m")], [task("a", model="o")], {1: "a"}, id="the model is no proof"),
        pytest.param(
            [create(1, like="x"), create(2, like="y", executor="claude")],
            [task("a", executor="claude"), task("b", executor="claude")],
            {1: "?", 2: "?"},
            id="the default and the same by name tell no tasks apart",
        ),
        pytest.param(
            [create(1, like="x"), create(2, like="y", model="m")],
            [task("a", model="m")],
            {1: "?", 2: "?"},
            id="one task that may be of the item that names no model",
        ),
        pytest.param(
            [create(1, like="x"), create(2, like="y", executor="codex")],
            [task("a", executor="codex"), task("b", executor="claude")],
            {1: "b", 2: "a"},
            id="what one task is not decides on the other",
        ),
        pytest.param(
            [create(1, like="x", model="m"), create(2, like="y", model="n"), create(3, like="z")],
            [task("a", model="n")],
            {1: "?", 2: "?", 3: "?"},
            id="while a task has no item, none of its prompt is absent",
        ),
        pytest.param(
            [create(1, like="x", model="m", rest=b"1"), create(2, like="y", model="n", rest=b"2")],
            [task("a", model="n")],
            {1: "?", 2: "?"},
            id="the model doesn't tell apart items that differ in more",
        ),
        pytest.param(
            [create(1, workspace_id="v"), create(2, workspace_id="w")],
            [task("a", workspace_id="w")],
            {1: None, 2: "a"},
            id="distinguished by the agent computer",
        ),
        pytest.param(
            [create(1, workspace_id="v")], [task("a", workspace_id="w")], {1: None}, id="a stranger's agent computer"
        ),
        pytest.param(
            [create(1, like="x"), create(2, like="y", workspace_id="w")],
            [task("a", workspace_id="w"), task("b", workspace_id="z")],
            {1: "b", 2: "a"},
            id="the item that named an agent computer has its task",
        ),
        pytest.param([create(1, at=1000)], [task("a", at=800)], {1: None}, id="made before the intent"),
        pytest.param([create(1, at=1000)], [task("a", at=900)], {1: "a"}, id="within the clocks' slack"),
        pytest.param([create(1)], [task("a", at=None)], {1: "a"}, id="creation time unknown"),
        pytest.param(
            [create(1, at=1000), create(2, at=2000)],
            [task("a", at=1000), task("b", at=1010)],
            {1: "?", 2: None},
            id="two tasks at the time of one create",
        ),
        pytest.param(
            [create(1, at=1000), create(2, at=2000)], [task("b", at=2000)], {1: "b", 2: None}, id="equal items: either"
        ),
        pytest.param(
            [create(1, at=1000), create(2, at=2000), create(3, at=2000)],
            [task("a", at=1000), task("b", at=1010), task("c", at=2000)],
            {1: "?", 2: "?", 3: "?"},
            id="no more tasks than creates, but two fit one create only",
        ),
        pytest.param([create(1)], [task("a", None)], {1: "?"}, id="unreadable"),
        pytest.param([create(1)], [task("a", None), task("b")], {1: "b"}, id="unreadable, and another that fits"),
        pytest.param([create(1)], [task("a", None, at=10)], {1: None}, id="unreadable, and too old"),
        pytest.param(
            [create(1), create(2, "u")], [task("a"), task("b", None)], {1: "a", 2: "?"}, id="unreadable, for the rest"
        ),
    ],
)
def test_the_rule(creates: list[AmbiguousCreate], tasks: list[Candidate], verdicts: dict[int, str | None]) -> None:
    """A task belongs to one item, and where two answers are possible none is given."""
    assert match(creates, tasks) == verdicts


RIVAL = create(9, like="rival", model="m")


@pytest.mark.parametrize(
    ("creates", "tasks", "verdicts"),
    [
        pytest.param([create(1)], [], {1: None}, id="no task"),
        pytest.param([create(1)], [task("a")], {1: "?"}, id="a task of either"),
        pytest.param([create(1), create(2)], [task("a")], {1: "?", 2: "?"}, id="a task of any"),
        pytest.param([create(1, model="n")], [task("a", model="n")], {1: "a"}, id="a task that isn't the rival's"),
        pytest.param([create(1, model="n")], [task("a", model="m")], {1: "?"}, id="a task that is the rival's"),
        pytest.param([create(1, like="rival", model="m")], [task("a")], {1: "a"}, id="an equal item: either"),
        pytest.param([create(1, at=2000)], [task("a", at=1500)], {1: None}, id="too old for all but the rival"),
        pytest.param([create(1, "u")], [task("a", "u")], {1: "a"}, id="another prompt"),
        pytest.param([create(1)], [task("a"), task("b")], {1: "?"}, id="a rival makes no room for a task too many"),
        pytest.param(
            [create(1, like="rival", model="m")], [task("a"), task("b")], {1: "?"}, id="nor does a rival that is equal"
        ),
        pytest.param(
            [create(1, workspace_id="v")], [task("a", workspace_id="v")], {1: "a"}, id="on a machine of the item's own"
        ),
    ],
)
def test_tasks_that_may_be_of_undecided_items_are_left_to_them(
    creates: list[AmbiguousCreate], tasks: list[Candidate], verdicts: dict[int, str | None]
) -> None:
    """An item that ended `ambiguous` may have a task, which is no other item's."""
    assert match(creates, tasks, rivals=[RIVAL]) == verdicts


def test_absence_is_doubted_by_tasks_that_fit() -> None:
    """Tasks with another prompt count where nothing else rules them out."""
    seen: list[str] = []

    def doubt(_create: AmbiguousCreate, others: Sequence[Candidate]) -> None:
        seen.extend(one.task_id for one in others)

    match_tasks([create(1)], [task("a", "u"), task("b", "u", at=10), task("c", None)], doubt)
    assert seen == []
    match_tasks([create(1)], [task("a", "u"), task("b", "u", at=10)], doubt)
    assert seen == ["a"]


def test_no_create_is_absent_while_that_is_doubted() -> None:
    """Where the listings never agreed, no create counts as having made nothing."""
    assert match([create(1), create(2)], [task("a")], doubt="why") == {1: "a", 2: "?"}


def test_a_doubt_holds_for_equal_items_whose_tasks_may_be_exchanged() -> None:
    """The task of one of them may be the other's if the first may have made another one."""
    early, late = create(1, at=1000.0), create(2, at=1300.0)
    assert match([early, late], [task("readable", at=1301), task("unreadable", None, at=1001)]) == {
        1: "readable",
        2: "?",
    }
    assert match([early, late], [task("readable", at=1301), task("early", "u", at=1001)]) == {1: "readable", 2: None}
    chain = [create(number, at=1000.0 + 100 * number) for number in range(4)]
    tasks = [task(f"t{number}", at=1001.0 + 100 * number) for number in range(1, 4)]
    assert match(chain, [*tasks, task("x", None, at=1001)]) == {0: "t1", 1: "t2", 2: "t3", 3: "?"}


def test_an_undecidable_verdict_names_the_tasks() -> None:
    """The reason says which tasks to look at."""
    verdict = match_tasks([create(1)], [task("a"), task("b")])[1]
    assert verdict.reason is not None
    assert "the tasks a, b may be its task, more than there are items" in verdict.reason
    many = match_tasks([create(1)], [task(f"t{number}") for number in range(9)])[1]
    assert "and 4 more" in (many.reason or "")


@pytest.mark.parametrize(
    ("number", "names"),
    [
        (1, "the task t0"),
        (2, "the tasks t0, t1"),
        (5, "the tasks t0, t1, t2, t3, t4"),
        (7, "the tasks t0, t1, t2, t3, t4 and 2 more"),
    ],
)
def test_up_to_five_tasks_are_named(number: int, names: str) -> None:
    """A message names a task, or several, and doesn't grow with their number."""
    assert describe_tasks([task(f"t{one}") for one in range(number)]) == names


def test_an_undecidable_verdict_says_whether_there_are_too_many_tasks() -> None:
    """Where there are no more tasks than items, the tasks may still be of fewer items than there are tasks."""
    creates = [create(number, workspace_id=f"w{number}") for number in range(3)]
    tasks = [task("a"), *(task(name, workspace_id="w0") for name in ("b", "c", "d"))]
    few, many = match_tasks(creates, tasks[:3]), match_tasks(creates, tasks)
    assert {str(verdict.reason) for verdict in few.values()} == {
        "the tasks a, b, c may be its task, or that of an item with the same prompt"
    }
    assert {str(verdict.reason) for verdict in many.values()} == {
        "the tasks a, b, c, d may be its task, more than there are items that they may belong to"
    }


def test_many_equal_items_are_matched() -> None:
    """A thousand ambiguous creates with one prompt are matched within a test's time limit."""
    creates = [create(number, at=1000.0 + number) for number in range(1000)]
    tasks = [task(f"t{number:04}", at=1000.0 + number) for number in range(1000)]
    verdicts = match(creates, tasks)
    assert sorted(str(name) for name in verdicts.values()) == [f"t{number:04}" for number in range(1000)]


TIMES = st.sampled_from([1000.0, 1100.0, 1300.0, 1500.0])
WORKSPACES = st.sampled_from([None, "v", "w"])
MODELS = st.sampled_from([None, "m", "n"])
PROMPTS = st.sampled_from(["t", "u"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[AmbiguousCreate], list[Candidate]]:
    """Ambiguous creates, and the tasks that some of them have made."""
    creates: list[AmbiguousCreate] = []
    tasks: list[Candidate] = []
    for position in range(draw(st.integers(1, 6))):
        prompt, at, workspace, model = draw(PROMPTS), draw(TIMES), draw(WORKSPACES), draw(MODELS)
        creates.append(create(position, prompt, f"{workspace}{model}", at, workspace_id=workspace, model=model))
        if draw(st.booleans()):
            tasks.append(
                task(
                    f"task{position}",
                    draw(st.sampled_from([prompt, prompt, prompt, None])),
                    at + draw(st.sampled_from([0.0, 50.0, -100.0])),
                    workspace_id=draw(st.sampled_from([None, workspace or f"own{position}"])),
                    model=draw(st.sampled_from([None, model])),
                )
            )
    return creates, draw(st.permutations(tasks))


@given(worlds())
def test_no_task_is_doubled_shared_or_lost(world: tuple[list[AmbiguousCreate], list[Candidate]]) -> None:
    """No task is given to two items, and while a task has no item, every item that it may belong to stays undecided."""
    creates, tasks = world
    verdicts = match_tasks(creates, tasks)
    given_out = [verdict.task.task_id for verdict in verdicts.values() if verdict.task]
    assert len(given_out) == len(set(given_out))
    for prompt_hash in (b"t", b"u"):
        mine = [verdicts[one.position] for one in creates if one.prompt_hash == prompt_hash]
        without = [one for one in tasks if one.prompt_hash == prompt_hash and one.task_id not in given_out]
        unreadable = [one for one in tasks if one.prompt_hash is None]
        undecidable = sum(1 for verdict in mine if verdict.reason)
        assert len(without) <= undecidable
        if not without and not unreadable:
            assert undecidable == 0
    for one in creates:
        found = verdicts[one.position].task
        assert found is None or found.prompt_hash == one.prompt_hash
        assert found is None or None in {found.workspace_id, one.workspace_id} or found.workspace_id == one.workspace_id


def test_an_empty_verdict_is_absent() -> None:
    """A verdict without task and reason says that the create made nothing."""
    assert match_tasks([create(1)], []) == {1: Verdict()}
    assert Verdict().is_absent


def test_tasks_from_before_the_run_belong_to_no_item() -> None:
    """Of the tasks created at the watermark's time, those it names are excluded, and later ones are not."""
    one = create(1, earliest=1000.0, older_task_ids=("a", "b"))
    assert match([one], [task("a"), task("b"), task("z", at=999)]) == {1: None}
    assert match([one], [task("a"), task("c")]) == {1: "c"}
