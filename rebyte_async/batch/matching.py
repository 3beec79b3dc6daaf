"""Decide which task belongs to which ambiguous create. Pure: values in, verdicts out.

The rule, for creates and tasks with the same prompt: a task belongs to at most one item; any task may be a stranger's;
and where two answers are possible, none is given. So a task is never made twice, and never shared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

_MAX_NAMED = 5
"""How many tasks an error message names."""


@frozen(kw_only=True)
class AmbiguousCreate:
    """A create whose response was lost: its task may exist or not."""

    position: int
    """The item's position in the journal."""
    prompt_hash: bytes
    fingerprint: bytes
    """The hash of everything that the item asks for. Items with equal fingerprints are interchangeable."""
    intent_at: float
    workspace_id: str | None = None
    """The agent computer that the create asked for; None if it asked for a new one."""
    executor: str | None = None
    model: str | None = None
    prompt: str = ""
    """The prompt, as `plain_prompt` returns it."""
    earliest: float | None = None
    """The earliest creation time of its task, by the clock of tasks; None for the intent less the slack."""
    older_task_ids: tuple[str, ...] = ()
    """Tasks that were created at about `earliest`, but before the run."""


@frozen(kw_only=True)
class Candidate:
    """A task that belongs to no known item, so that it may be the one of an ambiguous create."""

    task_id: str
    created_at: float | None = None
    prompt_hash: bytes | None = None
    """The hash of the task's first prompt; None where the prompt can't be read."""
    prompt: str | None = None
    """That prompt, as `plain_prompt` returns it."""
    workspace_id: str | None = None
    executor: str | None = None
    model: str | None = None


@frozen
class Verdict:
    """The decision on one ambiguous create: matched, absent or undecidable."""

    task: Candidate | None = None
    """The task of the create."""
    reason: str | None = None
    """Why it can't be decided."""

    @property
    def is_absent(self) -> bool:
        """Whether the create certainly made no task."""
        return self.task is None and self.reason is None


_Fits: TypeAlias = "Callable[[AmbiguousCreate, Candidate], bool]"
"""Whether a task may belong to a create, apart from its prompt."""
_DoubtAbsence: TypeAlias = "Callable[[AmbiguousCreate, Sequence[Candidate]], str | None]"


@define(eq=False)
class _Component:
    """A connected component of ambiguous creates and candidate tasks that share one prompt hash."""

    creates: list[AmbiguousCreate] = field(factory=list[AmbiguousCreate])
    candidates: list[Candidate] = field(factory=list[Candidate])


def match_tasks(
    creates: Sequence[AmbiguousCreate],
    candidates: Sequence[Candidate],
    *,
    slack: float,
    doubt_absence: _DoubtAbsence | None = None,
) -> dict[int, Verdict]:
    """Return the verdicts on all ambiguous creates, by the items' positions.

    Args:
        creates: All ambiguous creates.
        candidates: All tasks that may be theirs: created since, and of no known item.
        slack: How many seconds the clock of the tasks may be behind the clock of the intents.
        doubt_absence: Says why a create without a match may still have made a task, or returns None. It is given the
            create, and those tasks with another prompt that fit it otherwise.
    """
    verdicts: dict[int, Verdict] = {}
    matching, unreadable, others = _partition(creates, candidates)
    by_prompt: dict[bytes, list[AmbiguousCreate]] = {}
    for create in creates:
        by_prompt.setdefault(create.prompt_hash, []).append(create)
    for prompt_hash, same in by_prompt.items():
        fits = _fit_rule(same, slack)
        for component in _connect(same, matching.get(prompt_hash, []), fits):
            verdicts |= _match_component(component, fits)
        for create in same:
            if verdicts[create.position].is_absent:
                verdicts[create.position] = _confirm_absence(create, unreadable, others, fits, doubt_absence)
    return verdicts


def _partition(
    creates: Iterable[AmbiguousCreate], candidates: Iterable[Candidate]
) -> tuple[dict[bytes, list[Candidate]], list[Candidate], list[Candidate]]:
    """Part the candidates into those with a create's prompt, by its hash, those without a known prompt, and others."""
    matching: dict[bytes, list[Candidate]] = {create.prompt_hash: [] for create in creates}
    unreadable: list[Candidate] = []
    others: list[Candidate] = []
    for candidate in candidates:
        if candidate.prompt_hash is None:
            unreadable.append(candidate)
        else:
            matching.get(candidate.prompt_hash, others).append(candidate)
    return matching, unreadable, others


def _fit_rule(creates: Iterable[AmbiguousCreate], slack: float) -> _Fits:
    """Return the test whether a task fits one of `creates`, which have the same prompt."""
    named = frozenset(create.workspace_id for create in creates)

    def fits(create: AmbiguousCreate, candidate: Candidate) -> bool:
        earliest = create.intent_at - slack if create.earliest is None else create.earliest
        if candidate.created_at is not None and candidate.created_at < earliest:
            return False
        if candidate.task_id in create.older_task_ids:
            return False
        if candidate.workspace_id is None:
            return True
        if create.workspace_id is None:
            # The create asked for a new agent computer, so its task can't run on one that another create named.
            return candidate.workspace_id not in named
        return create.workspace_id == candidate.workspace_id

    return fits


def _confirm_absence(
    create: AmbiguousCreate,
    unreadable: Iterable[Candidate],
    others: Iterable[Candidate],
    fits: _Fits,
    doubt_absence: _DoubtAbsence | None,
) -> Verdict:
    """Decide whether a create that no task matches has really made none."""
    if suspects := [candidate for candidate in unreadable if fits(create, candidate)]:
        return Verdict(reason=f"{describe_tasks(suspects)} may be its task, and the prompt can't be read")
    if doubt_absence is None:
        return Verdict()
    return Verdict(reason=doubt_absence(create, [candidate for candidate in others if fits(create, candidate)]))


def _connect(creates: Sequence[AmbiguousCreate], candidates: Sequence[Candidate], fits: _Fits) -> list[_Component]:
    """Return the connected components: creates that share a candidate, directly or through others, are together."""
    components: list[_Component] = [_Component([create]) for create in creates]
    for candidate in candidates:
        touched = [one for one in components if any(fits(create, candidate) for create in one.creates)]
        if not touched:
            continue  # it fits no create, so it is certainly a stranger's
        components = [one for one in components if one not in touched]
        components.append(
            _Component(
                [create for one in touched for create in one.creates],
                [*(other for one in touched for other in one.candidates), candidate],
            )
        )
    return components


def _match_component(component: _Component, fits: _Fits) -> dict[int, Verdict]:
    if len(component.candidates) > len(component.creates):
        # At least one is a stranger's, and nothing says which.
        names = describe_tasks(component.candidates)
        return _undecidable(component, f"{names} may be its task, more than there are items that they may belong to")
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
        return _undecidable(
            component, f"{describe_tasks(candidates)} may be its task, and they don't fit the ambiguous creates"
        )
    return {create.position: Verdict(owners.get(create.position)) for create in creates}


def _match_by_options(component: _Component, fits: _Fits) -> dict[int, Verdict]:
    """Match items that differ by the executor and the model that the tasks report.

    These two only choose among the items. They never make a task a stranger's: some deployments ignore them.
    """
    preferred = {one.task_id: _preferred_positions(component.creates, one, fits) for one in component.candidates}
    parts = _connect(
        component.creates,
        component.candidates,
        lambda create, candidate: create.position in preferred[candidate.task_id],
    )
    verdicts: dict[int, Verdict] = {}
    for part in parts:
        are_equal = len({create.fingerprint for create in part.creates}) == 1
        if are_equal and len(part.candidates) <= len(part.creates):
            verdicts |= _match_interchangeable(part, fits)
        else:
            verdicts |= _undecidable(
                part, f"{describe_tasks(part.candidates)} may be its task, or that of an item with the same prompt"
            )
    return verdicts


def _preferred_positions(creates: Iterable[AmbiguousCreate], candidate: Candidate, fits: _Fits) -> Collection[int]:
    """Return the positions of the creates that agree best with a task: all that fit, if the task reports nothing."""
    scores = {create.position: _score_options(create, candidate) for create in creates if fits(create, candidate)}
    top = max(scores.values(), default=0)
    return {position for position, score in scores.items() if score == top}


def _score_options(create: AmbiguousCreate, candidate: Candidate) -> int:
    """Count the options in which a task agrees with a create, less those in which it differs."""
    pairs = ((create.executor, candidate.executor), (create.model, candidate.model))
    return sum((1 if wanted == has else -1) for wanted, has in pairs if wanted is not None and has is not None)


def _undecidable(component: _Component, reason: str) -> dict[int, Verdict]:
    return {create.position: Verdict(reason=reason) for create in component.creates}


def describe_tasks(candidates: Sequence[Candidate]) -> str:
    """Name some tasks for a message."""
    names = ", ".join(candidate.task_id for candidate in candidates[:_MAX_NAMED])
    more = f" and {len(candidates) - _MAX_NAMED} more" if len(candidates) > _MAX_NAMED else ""
    return f"the task {names}" if len(candidates) == 1 else f"the tasks {names}{more}"
