"""The matching of ambiguous creates against random truths: which creates made a task, and which tasks are others'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from attrs import Factory, evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.batch.matching import AmbiguousCreate, Candidate, Verdict, match_tasks

EXECUTORS = st.sampled_from([None, "claude", "codex"])
MODELS = st.sampled_from([None, "m", "n"])
NAMED_EXECUTORS = st.sampled_from(["claude", "codex"])
NAMED_MODELS = st.sampled_from(["m", "n"])
TIMES = st.sampled_from([1000.0, 1100.0, 1300.0])
SLACK = 120.0


def _item(executor: str | None, model: str | None) -> AmbiguousCreate:
    return AmbiguousCreate(
        position=0,
        prompt_hash=b"t",
        fingerprint=repr((executor, model)).encode(),
        intent_at=1000.0,
        earliest=1000.0 - SLACK,
        executor=executor,
        model=model,
    )


ANY_OPTIONS = st.builds(_item, EXECUTORS, MODELS)
"""Items with one prompt at one time, so that each task fits all of them."""


@frozen
class Service:
    """What a service makes of the options of a create."""

    executor: str
    model: str
    ignores_options: bool = False

    def run(self, create: AmbiguousCreate) -> Candidate:
        """The task of a create, with all evidence."""
        named = (None, None) if self.ignores_options else (create.executor, create.model)
        return Candidate(
            task_id=f"task{create.position}",
            created_at=create.intent_at + 1,
            prompt_hash=create.prompt_hash,
            workspace_id=create.workspace_id or f"own{create.position}",
            executor=named[0] or self.executor,
            model=named[1] or self.model,
        )


@frozen
class Truth:
    """What really happened."""

    creates: tuple[AmbiguousCreate, ...]
    rivals: tuple[AmbiguousCreate, ...]  # creates of items that ended without a decision
    tasks: tuple[Candidate, ...]  # in the order in which they are listed, with the evidence that there is
    made: dict[str, AmbiguousCreate]  # the creates that made a task, by its id
    verdicts: dict[int, Verdict] = field(
        default=Factory(lambda truth: match_tasks(truth.creates, truth.tasks, rivals=truth.rivals), takes_self=True),
        init=False,
    )

    def absent(self) -> list[AmbiguousCreate]:
        """The creates of which the verdict says that they made no task, so that they are sent again."""
        return [create for create in self.creates if self.verdicts[create.position].is_absent]

    def unmade(self) -> list[AmbiguousCreate]:
        """The creates that made no task."""
        return [create for create in self.creates if create not in self.made.values()]


@st.composite
def asked_for(draw: st.DrawFn) -> AmbiguousCreate:
    """A create of any item; items with the same prompt and options are equal."""
    prompt, rest = draw(st.sampled_from(["t", "t", "u"])), draw(st.sampled_from(["", "", "files"]))
    executor, model, workspace, at = (
        draw(EXECUTORS),
        draw(MODELS),
        draw(st.sampled_from([None, None, "v"])),
        draw(TIMES),
    )
    return AmbiguousCreate(
        position=0,
        prompt_hash=prompt.encode(),
        fingerprint=repr((prompt, rest, executor, model, workspace)).encode(),
        intent_at=at,
        earliest=at - SLACK,
        workspace_id=workspace,
        executor=executor,
        model=model,
        rest=repr((rest, workspace)).encode(),
    )


@st.composite
def truths(
    draw: st.DrawFn,
    *,
    items: st.SearchStrategy[AmbiguousCreate] | None = None,
    rivals: int = 0,
    strangers: int = 0,
    ignores_options: bool = False,
    is_evidence_whole: bool = False,
) -> Truth:
    """A random truth: items, the tasks that some of their creates made, and tasks that others made."""
    if items is None:
        items = draw(st.sampled_from([asked_for(), ANY_OPTIONS]))
    asked = draw(st.lists(items, min_size=1, max_size=6))
    creates = [evolve(create, position=number) for number, create in enumerate(asked)]
    service = Service(draw(NAMED_EXECUTORS), draw(NAMED_MODELS), ignores_options)
    made = {f"task{create.position}": create for create in creates if draw(st.booleans())}
    others = draw(st.lists(items, max_size=strangers))
    theirs = [service.run(evolve(other, position=100 + number)) for number, other in enumerate(others)]
    tasks = [*(service.run(create) for create in made.values()), *theirs]
    if not is_evidence_whole:
        names = st.lists(st.sampled_from(["executor", "model", "workspace_id", "created_at"]), max_size=2)
        tasks = [evolve(one, **without(draw(names))) for one in tasks]
        tasks = [evolve(one, prompt_hash=draw(st.sampled_from([one.prompt_hash] * 4 + [None]))) for one in tasks]
    undecided = draw(st.integers(0, min(rivals, len(creates) - 1)))
    return Truth(tuple(creates[undecided:]), tuple(creates[:undecided]), tuple(draw(st.permutations(tasks))), made)


def count_kinds(creates: Iterable[AmbiguousCreate]) -> Counter[bytes]:
    """Count creates by what they ask for."""
    return Counter(create.fingerprint for create in creates)


def without(names: Iterable[str]) -> dict[str, Any]:
    """Take some evidence from a candidate."""
    return dict.fromkeys(names)


def check_ownership(truth: Truth) -> None:
    """Check that each task goes to one item at most, and only where it fits."""
    given_out = Counter(verdict.task.task_id for verdict in truth.verdicts.values() if verdict.task is not None)
    assert set(given_out.values()) <= {1}
    for create in truth.creates:
        task = truth.verdicts[create.position].task
        if task is not None:
            assert task.prompt_hash == create.prompt_hash
            assert task.created_at is None or task.created_at >= create.earliest
            assert create.workspace_id is None or task.workspace_id in (None, create.workspace_id)


@given(truths(rivals=2, strangers=3))
def test_no_item_is_made_again_while_its_task_exists(truth: Truth) -> None:
    """Of equal items no more are made again than made no task, also where strangers' tasks have the same prompt."""
    check_ownership(truth)
    again, unmade = count_kinds(truth.absent()), count_kinds(truth.unmade())
    assert again <= unmade


@given(truths(rivals=3))
def test_no_item_gets_the_task_of_an_item_of_another_kind(truth: Truth) -> None:
    """Where no stranger uses the prompts, an item's task is its own, or that of an equal item."""
    check_ownership(truth)
    for create in truth.creates:
        task = truth.verdicts[create.position].task
        assert task is None or truth.made[task.task_id].fingerprint == create.fingerprint
    assert count_kinds(truth.absent()) <= count_kinds(truth.unmade())


@given(truths(rivals=2, ignores_options=True))
def test_a_service_that_ignores_options_mixes_up_only_what_it_makes_equal(truth: Truth) -> None:
    """Where the executor and the model are ignored, items that differ by these alone have interchangeable tasks."""
    check_ownership(truth)
    for create in truth.creates:
        task = truth.verdicts[create.position].task
        assert task is None or truth.made[task.task_id].rest == create.rest
    again, unmade = (Counter((one.prompt_hash, one.rest) for one in some) for some in (truth.absent(), truth.unmade()))
    assert again <= unmade


@given(truths(items=st.builds(_item, NAMED_EXECUTORS, NAMED_MODELS), is_evidence_whole=True))
def test_items_that_name_their_options_are_decided(truth: Truth) -> None:
    """One prompt for several executors and models: each item that has a task gets one of its kind."""
    assert not [verdict.reason for verdict in truth.verdicts.values() if verdict.reason is not None]
    assert count_kinds(truth.absent()) == count_kinds(truth.unmade())
    check_ownership(truth)


@given(truths(is_evidence_whole=True), st.data())
def test_items_with_prompts_of_their_own_are_decided(truth: Truth, data: st.DataObject) -> None:
    """Whatever else the items ask for, an item with a prompt of its own has its task, or is known to have none."""
    kind = data.draw(st.booleans())  # whether equal items share a prompt
    prompts = {
        create.position: create.fingerprint + (b"" if kind else str(create.position).encode())
        for create in truth.creates
        if create.workspace_id is None
    }
    creates = [evolve(one, prompt_hash=prompts[one.position]) for one in truth.creates if one.position in prompts]
    tasks = [
        evolve(one, prompt_hash=prompts[truth.made[one.task_id].position])
        for one in truth.tasks
        if truth.made[one.task_id].position in prompts
    ]
    verdicts = match_tasks(creates, tasks)
    assert not [verdict.reason for verdict in verdicts.values() if verdict.reason is not None]
    found = {verdict.task.task_id for verdict in verdicts.values() if verdict.task is not None}
    assert found == {one.task_id for one in tasks}


@given(truths(rivals=2, strangers=2))
def test_no_create_is_absent_while_a_task_that_fits_it_has_no_item(truth: Truth) -> None:
    """A task with an item's prompt that is given to none may be the item's, so the item isn't made again."""
    given_out = {verdict.task.task_id for verdict in truth.verdicts.values() if verdict.task is not None}
    named = {(create.prompt_hash, create.workspace_id) for create in (*truth.creates, *truth.rivals)}
    for task in truth.tasks:
        if task.task_id in given_out:
            continue
        for create in truth.absent():
            is_too_old = task.created_at is not None and task.created_at < create.earliest
            is_elsewhere = task.workspace_id not in (None, create.workspace_id) and (
                create.workspace_id is not None or (create.prompt_hash, task.workspace_id) in named
            )
            assert task.prompt_hash != create.prompt_hash or is_too_old or is_elsewhere


@given(
    truths(items=ANY_OPTIONS),
    st.lists(ANY_OPTIONS, min_size=7, max_size=7),
    st.sampled_from([None, "own"]),
)
def test_a_task_too_many_makes_all_that_it_fits_undecidable(
    truth: Truth, others: list[AmbiguousCreate], workspace_id: str | None
) -> None:
    """Where there is one task more than there are items, whatever options the tasks report, nothing is decided."""
    known = [one for one in truth.tasks if one.prompt_hash is not None]
    missing = len(truth.creates) + 1 - len(known)
    theirs = [
        evolve(Service("codex", "n").run(evolve(other, position=100 + number)), workspace_id=workspace_id)
        for number, other in enumerate(others[:missing])
    ]
    verdicts = match_tasks(truth.creates, [*known, *theirs])
    assert all(verdict.reason is not None for verdict in verdicts.values())
