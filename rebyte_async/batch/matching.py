"""Decide which task belongs to which ambiguous create. Pure: values in, verdicts out.

The rule, for creates and tasks with the same prompt: a task belongs to at most one item; any task may be a stranger's;
and where two answers are possible, none is given. So a task is never made twice, and never shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

_MAX_NAMED = 5  # tasks in an error message


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

    creates: list[AmbiguousCreate]
    candidates: list[Candidate]


def match_tasks(
    creates: Sequence[AmbiguousCreate],
    candidates: Sequence[Candidate],
    doubt_absence: _DoubtAbsence = lambda _create, _others: None,
) -> dict[int, Verdict]:
    """Return the verdicts on all ambiguous creates, by the items' positions.

    The candidates are all tasks that may be theirs: created since, and of no known item. `doubt_absence` says why a
    create without a match may still have made a task, or returns None. It is given the create, and those tasks with
    another prompt that fit it otherwise.
    """
    verdicts: dict[int, Verdict] = {}
    creates_of: dict[bytes, list[AmbiguousCreate]] = {}
    for create in creates:
        creates_of.setdefault(create.prompt_hash, []).append(create)
    tasks_of: dict[bytes, list[Candidate]] = {prompt_hash: [] for prompt_hash in creates_of}
    unreadable: list[Candidate] = []
    others: list[Candidate] = []
    for candidate in candidates:
        known = candidate.prompt_hash
        (unreadable if known is None else tasks_of.get(known, others)).append(candidate)
    for prompt_hash, same in creates_of.items():
        fits = _fit_rule(same)
        for component in _connect(same, tasks_of[prompt_hash], fits):
            verdicts |= _match_component(component, fits)
        for create in same:
            if verdicts[create.position].is_absent:  # no task matches it: has it really made none?
                reason = _doubt_unreadable([one for one in unreadable if fits(create, one)])
                reason = reason or doubt_absence(create, [one for one in others if fits(create, one)])
                verdicts[create.position] = Verdict(reason=reason)
    return verdicts


def _doubt_unreadable(suspects: Sequence[Candidate]) -> str | None:
    return f"{describe_tasks(suspects)} may be its task, and the prompt can't be read" if suspects else None


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


def _match_component(component: _Component, fits: _Fits) -> dict[int, Verdict]:
    if len(component.candidates) > len(component.creates):  # at least one is a stranger's, and nothing says which
        return _undecidable(component, "more than there are items that they may belong to")
    if len({create.fingerprint for create in component.creates}) > 1:
        return _match_by_options(component, fits)
    return _match_interchangeable(component, fits)


def _match_interchangeable(component: _Component, fits: _Fits) -> dict[int, Verdict]:
    """Give equal items one task each, in order. Some items may stay without a task, but no task without an item.

    This is a maximum bipartite matching by augmenting paths: a task whose fitting items are all taken may move the
    task of one of them to another item.
    """
    creates = sorted(component.creates, key=lambda create: (create.intent_at, create.position))
    candidates = sorted(component.candidates, key=lambda candidate: (candidate.created_at or 0.0, candidate.task_id))
    owners: dict[int, Candidate] = {}

    def place(candidate: Candidate, tried: set[int]) -> bool:
        fitting = [create.position for create in creates if fits(create, candidate) and create.position not in tried]
        for position in sorted(fitting, key=owners.__contains__):  # free items first, so that few tasks move
            tried.add(position)
            if position not in owners or place(owners[position], tried):
                owners[position] = candidate
                return True
        return False

    if not all(place(candidate, set()) for candidate in candidates):
        return _undecidable(component, "and they don't fit the ambiguous creates")
    return {create.position: Verdict(owners.get(create.position)) for create in creates}


def _match_by_options(component: _Component, fits: _Fits) -> dict[int, Verdict]:
    """Match items that differ by the executor and the model that the tasks report.

    These two only choose among the items. They never make a task a stranger's: some deployments ignore them.
    """
    creates, candidates = component.creates, component.candidates
    preferred: dict[str, set[int]] = {}  # the creates that agree best with a task: all that fit if it reports nothing
    for one in candidates:
        scores = {create.position: _score_options(create, one) for create in creates if fits(create, one)}
        top = max(scores.values(), default=0)
        preferred[one.task_id] = {position for position, score in scores.items() if score == top}
    verdicts: dict[int, Verdict] = {}
    for part in _connect(creates, candidates, lambda create, one: create.position in preferred[one.task_id]):
        are_equal = len({create.fingerprint for create in part.creates}) == 1
        if are_equal and len(part.candidates) <= len(part.creates):
            verdicts |= _match_interchangeable(part, fits)
        else:
            verdicts |= _undecidable(part, "or that of an item with the same prompt")
    return verdicts


def _score_options(create: AmbiguousCreate, candidate: Candidate) -> int:
    """Count the options in which a task agrees with a create, less those in which it differs."""
    pairs = ((create.executor, candidate.executor), (create.model, candidate.model))
    return sum((1 if wanted == has else -1) for wanted, has in pairs if wanted is not None and has is not None)


def _undecidable(component: _Component, why: str) -> dict[int, Verdict]:
    reason = f"{describe_tasks(component.candidates)} may be its task, {why}"
    return {create.position: Verdict(reason=reason) for create in component.creates}


def describe_tasks(candidates: Sequence[Candidate]) -> str:
    names = ", ".join(candidate.task_id for candidate in candidates[:_MAX_NAMED])
    more = f" and {len(candidates) - _MAX_NAMED} more" if len(candidates) > _MAX_NAMED else ""
    return f"the task {names}" if len(candidates) == 1 else f"the tasks {names}{more}"
