"""Decide which task belongs to which ambiguous create. Pure: values in, verdicts out.

The rule, for creates and tasks with the same prompt: a task goes only where it fits, and to one item; no task goes
without an item, or all that it fits is undecidable; and where two answers are possible, none is given. So a task is
never made twice, and never shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from attrs import frozen

from rebyte_async.batch.assignment import assign, find_alternatives

_MAX_NAMED = 5  # tasks in an error message
_TOO_MANY = "more than there are items that they may belong to"
_SHARED_PROMPT = "or that of an item with the same prompt"


@frozen(kw_only=True)
class AmbiguousCreate:
    """A create whose response was lost: its task may exist or not."""

    position: int  # the item's position in the journal
    prompt_hash: bytes
    fingerprint: bytes  # the hash of all that the item asks for: items with equal ones are interchangeable
    intent_at: float
    earliest: float  # the earliest creation time of its task, by the clock of tasks
    workspace_id: str | None = None  # the agent computer that the create asked for; None if it asked for a new one
    executor: str | None = None
    model: str | None = None
    rest: bytes = b""  # the hash of all that the item asks for but its executor and model
    prompt: str = ""  # the prompt, as `plain_prompt` returns it
    older_task_ids: tuple[str, ...] = ()  # tasks that were created at about `earliest`, but before the run


@frozen(kw_only=True)
class Candidate:
    """A task that belongs to no known item, so that it may be the one of an ambiguous create."""

    task_id: str
    created_at: float | None = None
    prompt_hash: bytes | None = None  # the hash of the task's first prompt; None where the prompt can't be read
    prompt: str | None = None  # that prompt, as `plain_prompt` returns it
    workspace_id: str | None = None
    executor: str | None = None
    model: str | None = None


@frozen
class Verdict:
    """The decision on one ambiguous create: matched, absent or undecidable."""

    task: Candidate | None = None  # the task of the create
    reason: str | None = None  # why it can't be decided

    @property
    def is_absent(self) -> bool:
        """Whether the create certainly made no task."""
        return self.task is None and self.reason is None


_Fits: TypeAlias = Callable[[AmbiguousCreate, Candidate], bool]
"""Whether a task may belong to a create, apart from its prompt."""
_DoubtAbsence: TypeAlias = Callable[[AmbiguousCreate, Sequence[Candidate]], str | None]


@frozen(eq=False)
class _Component:
    """A connected component of ambiguous creates and candidate tasks that share one prompt hash."""

    creates: Sequence[AmbiguousCreate]
    candidates: Sequence[Candidate]


def match_tasks(
    creates: Sequence[AmbiguousCreate],
    candidates: Sequence[Candidate],
    doubt_absence: _DoubtAbsence = lambda _create, _others: None,
    rivals: Sequence[AmbiguousCreate] = (),
) -> dict[int, Verdict]:
    """Return the verdicts on all ambiguous creates, by the items' positions.

    Args:
        creates: The creates to decide on.
        candidates: All tasks that may be theirs: created since, and of no known item.
        doubt_absence: Says why a create without a match may still have made a task, or returns None. It is given the
            create, and those tasks with another prompt that fit it otherwise.
        rivals: Creates that stayed undecided earlier, so that candidates may be theirs.
    """
    verdicts: dict[int, Verdict] = {}
    creates_of, rivals_of = _group_by_prompt(creates), _group_by_prompt(rivals)
    tasks_of: dict[bytes, list[Candidate]] = {prompt_hash: [] for prompt_hash in creates_of}
    unreadable: list[Candidate] = []
    others: list[Candidate] = []
    for candidate in candidates:
        known = candidate.prompt_hash
        (unreadable if known is None else tasks_of.get(known, others)).append(candidate)
    for prompt_hash, same in creates_of.items():
        undecided = rivals_of.get(prompt_hash, [])
        fits = _fit_rule([*same, *undecided])
        for component in _connect(same, tasks_of[prompt_hash], fits):
            verdicts |= _match_component(component, undecided, fits)
        owned = {task.task_id for create in same if (task := verdicts[create.position].task) is not None}
        unowned = [one for one in tasks_of[prompt_hash] if one.task_id not in owned]
        absent = [create for create in same if verdicts[create.position].is_absent]
        if not absent:
            continue
        # No task matches these: have they really made none?
        doubts: dict[int, str] = {}
        matched = {create.position: task for create in same if (task := verdicts[create.position].task) is not None}
        for create in same:
            reason = _doubt(create, unowned, fits, _SHARED_PROMPT)
            reason = reason or _doubt(create, unreadable, fits, "and the prompt can't be read")
            reason = reason or doubt_absence(create, [one for one in others if fits(create, one)])
            if reason is not None and not verdicts[create.position].reason:
                doubts[create.position] = reason
        _spread_doubts(doubts, same, matched, fits)
        verdicts |= {create.position: Verdict(reason=doubts.get(create.position)) for create in absent}
    return verdicts


def _spread_doubts(
    doubts: dict[int, str], creates: Sequence[AmbiguousCreate], matched: Mapping[int, Candidate], fits: _Fits
) -> None:
    """Have a doubt hold for each create that the task of a doubtful one fits.

    Which of some equal creates a task is given to is arbitrary: if one of them may have made another task, the task
    that it was given may be that of another.
    """
    left = [create for create in creates if create.position not in doubts]
    spreading = [position for position in doubts if position in matched]
    for position in spreading:  # which grows on the way
        reached = [create for create in left if fits(create, matched[position])]
        left = [create for create in left if not fits(create, matched[position])]
        doubts |= dict.fromkeys((create.position for create in reached), doubts[position])
        spreading += [create.position for create in reached if create.position in matched]


def _group_by_prompt(creates: Iterable[AmbiguousCreate]) -> dict[bytes, list[AmbiguousCreate]]:
    groups: dict[bytes, list[AmbiguousCreate]] = {}
    for create in creates:
        groups.setdefault(create.prompt_hash, []).append(create)
    return groups


def _doubt(create: AmbiguousCreate, suspects: Iterable[Candidate], fits: _Fits, why: str) -> str | None:
    """Say which of some tasks may be a create's, so that it isn't absent; None where none of them fits it."""
    fitting = [one for one in suspects if fits(create, one)]
    return f"{describe_tasks(fitting)} may be its task, {why}" if fitting else None


def _fit_rule(creates: Iterable[AmbiguousCreate]) -> _Fits:
    """Return the test whether a task fits one of `creates`, which have the same prompt."""
    named = frozenset(create.workspace_id for create in creates)

    def fits(create: AmbiguousCreate, candidate: Candidate) -> bool:
        is_older = candidate.created_at is not None and candidate.created_at < create.earliest
        if is_older or candidate.task_id in create.older_task_ids:
            return False
        if candidate.workspace_id is None:
            return True
        if create.workspace_id is None:
            # The create asked for a new agent computer, so its task can't run on one that another create named.
            return candidate.workspace_id not in named
        return create.workspace_id == candidate.workspace_id

    return fits


def _connect(creates: Sequence[AmbiguousCreate], candidates: Sequence[Candidate], fits: _Fits) -> list[_Component]:
    """Return the connected components: creates that share a candidate, directly or through others, are together."""
    components = [_Component([create], []) for create in creates]
    for candidate in candidates:
        touched = [one for one in components if any(fits(create, candidate) for create in one.creates)]
        if not touched:
            continue  # it fits no create, so it is certainly a stranger's
        components = [one for one in components if one not in touched]
        joined = [create for one in touched for create in one.creates]
        components.append(_Component(joined, [*(other for one in touched for other in one.candidates), candidate]))
    return components


def _match_component(component: _Component, rivals: Sequence[AmbiguousCreate], fits: _Fits) -> dict[int, Verdict]:
    """Decide on one component: where all its tasks have an item, and every way to place them gives the same.

    A task too many is a stranger's, and nothing says which one it is. So it makes all that it may be undecidable.
    """
    creates = sorted(component.creates, key=lambda create: (create.intent_at, create.position))
    candidates = sorted(component.candidates, key=lambda candidate: (candidate.created_at or 0.0, candidate.task_id))
    owners = [*creates, *(rival for rival in rivals if any(fits(rival, one) for one in candidates))]
    fitting = _find_fitting(owners, candidates, fits)
    assigned = assign([[number for number in some if number < len(creates)] for some in fitting])
    if assigned is None:
        return _undecidable(component, _TOO_MANY if len(candidates) > len(creates) else _SHARED_PROMPT)
    task_of = dict(zip(assigned, candidates, strict=True))
    verdicts = {create.position: Verdict(task_of.get(number)) for number, create in enumerate(creates)}
    if not _are_equal(owners):
        possible = find_alternatives(fitting, assigned, range(len(owners)))
        places = {
            one.task_id: {owners[number].position for number in some}
            for one, some in zip(candidates, possible, strict=True)
        }
        for part in _connect(owners, candidates, lambda owner, one: owner.position in places[one.task_id]):
            if not _are_equal(part.creates):
                verdicts |= _undecidable(part, _SHARED_PROMPT)
    return {create.position: verdicts[create.position] for create in creates}


def _are_equal(creates: Sequence[AmbiguousCreate]) -> bool:
    return len({create.fingerprint for create in creates}) == 1


def _find_fitting(creates: Sequence[AmbiguousCreate], candidates: Sequence[Candidate], fits: _Fits) -> list[list[int]]:
    """Return for each task the numbers of the creates that it fits.

    Where the creates differ by their executors and models alone, a task doesn't fit one that names another of these
    than it reports. An option that a create doesn't name is the service's to choose, so it tells no tasks apart. And
    for a single kind of item the two prove nothing: some deployments ignore them, or report other names.
    """
    uses_options = not _are_equal(creates) and len({create.rest for create in creates}) == 1
    return [
        [
            number
            for number, create in enumerate(creates)
            if fits(create, one) and (not uses_options or _may_report(create, one))
        ]
        for one in candidates
    ]


def _may_report(create: AmbiguousCreate, candidate: Candidate) -> bool:
    """Return whether a create's task may report a candidate's executor and model."""
    pairs = ((create.executor, candidate.executor), (create.model, candidate.model))
    return all(named is None or reported is None or named == reported for named, reported in pairs)


def _undecidable(component: _Component, why: str) -> dict[int, Verdict]:
    verdict = Verdict(reason=f"{describe_tasks(component.candidates)} may be its task, {why}")
    return {create.position: verdict for create in component.creates}


def describe_tasks(candidates: Sequence[Candidate]) -> str:
    names = ", ".join(candidate.task_id for candidate in candidates[:_MAX_NAMED])
    more = f" and {len(candidates) - _MAX_NAMED} more" if len(candidates) > _MAX_NAMED else ""
    return f"the task {names}" if len(candidates) == 1 else f"the tasks {names}{more}"
