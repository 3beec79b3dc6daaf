"""Which task is whose: the rule by which tasks are given to items whose create is in doubt. Pure.

The rule, for items and tasks with one prompt text: a task belongs to one item only; a stranger's task may be among
them; and what can't be told apart is not guessed at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

from attrs import define, field, frozen

from rebyte_async.batch.items import plain_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from rebyte_async.batch.journal.records import ItemRecord

__all__ = ["Candidate", "Doubt", "Verdict", "judge", "names_of"]

_NAMED = 5
"""How many tasks an error names."""


@frozen(kw_only=True)
class Doubt:
    """An item whose create may have made a task."""

    position: int
    text: bytes
    """The hash of its prompt."""
    fingerprint: bytes
    intent_at: float
    workspace_id: str | None = None
    """The machine that the create asked for; None if it asked for a new one."""
    executor: str | None = None
    model: str | None = None
    prompt: str = ""
    """Its prompt, plain."""
    earliest: float | None = None
    """When its task can have been made at the earliest, by the clock of tasks; None where that is the intents'."""
    before: tuple[str, ...] = ()
    """Tasks of that time that were there before."""

    @classmethod
    def of(cls, entry: ItemRecord) -> Self:
        """The doubt about an entry that is `creating`."""
        request = json.loads(entry.request)
        return cls(
            position=entry.position,
            text=entry.prompt_hash,
            fingerprint=entry.fingerprint,
            intent_at=entry.intent_at or 0.0,
            workspace_id=entry.workspace_id,
            executor=request.get("executor"),
            model=request.get("model"),
            prompt=plain_prompt(request.get("prompt", "")),
        )


@frozen(kw_only=True)
class Candidate:
    """A task that no item is known to have."""

    task_id: str
    created_at: float | None = None
    text: bytes | None = None
    """The hash of its first prompt; None where it can't be read."""
    prompt: str | None = None
    """That prompt, plain."""
    workspace_id: str | None = None
    executor: str | None = None
    model: str | None = None


@frozen
class Verdict:
    """What is known of a doubt: its task, or that there is none, or why it can't be told."""

    task: Candidate | None = None
    unclear: str | None = None


@define(eq=False)
class _Group:
    """Doubts and candidates of which none can be told apart from another by its text alone."""

    doubts: list[Doubt] = field(factory=list[Doubt])
    candidates: list[Candidate] = field(factory=list[Candidate])


def judge(
    doubts: Sequence[Doubt],
    candidates: Sequence[Candidate],
    *,
    slack: float,
    unsure: str | Callable[[Doubt, Sequence[Candidate]], str | None] | None = None,
) -> dict[int, Verdict]:
    """Give each doubt its verdict, by the items' positions.

    Args:
        doubts: All that are in doubt.
        candidates: All tasks that may be theirs: made since, and no item's.
        slack: How many seconds the clock of the tasks may be behind that of the intents.
        unsure: Why no doubt may be taken to have made nothing, if none may; or what says so of a doubt, and of the
            tasks of no doubt's text that may be its own otherwise.
    """
    verdicts: dict[int, Verdict] = {}
    theirs, unread, others = _by_text(doubts, candidates)
    for text, mine in _together(doubts).items():
        fits = _Fits(frozenset(doubt.workspace_id for doubt in mine), slack)
        for group in _groups(mine, theirs.get(text, []), fits):
            verdicts |= _judge_group(group, fits)
        for doubt in mine:
            if verdicts[doubt.position] == Verdict():
                left = [c for c in others if fits(doubt, c)] if callable(unsure) else []
                why = unsure(doubt, left) if callable(unsure) else unsure
                verdicts[doubt.position] = _remaining([c for c in unread if fits(doubt, c)], why)
    return verdicts


def _together(doubts: Iterable[Doubt]) -> dict[bytes, list[Doubt]]:
    by_text: dict[bytes, list[Doubt]] = {}
    for doubt in doubts:
        by_text.setdefault(doubt.text, []).append(doubt)
    return by_text


def _by_text(
    doubts: Iterable[Doubt], candidates: Iterable[Candidate]
) -> tuple[dict[bytes, list[Candidate]], list[Candidate], list[Candidate]]:
    """The candidates with the text of a doubt, by text; those that can't be read; and the others."""
    matching: dict[bytes, list[Candidate]] = {doubt.text: [] for doubt in doubts}
    unread: list[Candidate] = []
    others: list[Candidate] = []
    for candidate in candidates:
        if candidate.text is None:
            unread.append(candidate)
        else:
            matching.get(candidate.text, others).append(candidate)
    return matching, unread, others


def _remaining(unread: Sequence[Candidate], unsure: str | None) -> Verdict:
    """What is left for a doubt that no task matches."""
    if unread:
        return Verdict(unclear=f"what was asked of {names_of(unread)} can't be read, and it may be this item's task")
    return Verdict(unclear=unsure)


@frozen
class _Fits:
    """Whether a task may be the one of a doubt, text apart."""

    named: Collection[str | None]
    """The machines that the doubted creates asked for."""
    slack: float

    def __call__(self, doubt: Doubt, candidate: Candidate) -> bool:
        earliest = doubt.intent_at - self.slack if doubt.earliest is None else doubt.earliest
        if candidate.created_at is not None and candidate.created_at < earliest:
            return False
        if candidate.task_id in doubt.before:
            return False
        if candidate.workspace_id is None:
            return True
        if doubt.workspace_id is None:
            # It asked for a machine of its own, so not for one that another one named.
            return candidate.workspace_id not in self.named
        return doubt.workspace_id == candidate.workspace_id


def _groups(
    doubts: Sequence[Doubt], candidates: Sequence[Candidate], fits: Callable[[Doubt, Candidate], bool]
) -> list[_Group]:
    """The connected parts: doubts that share a candidate, directly or by way of others, stand together."""
    groups: list[_Group] = [_Group([doubt]) for doubt in doubts]
    for candidate in candidates:
        touched = [group for group in groups if any(fits(doubt, candidate) for doubt in group.doubts)]
        if not touched:
            continue  # surely a stranger's
        groups = [group for group in groups if group not in touched]
        groups.append(
            _Group(
                [doubt for group in touched for doubt in group.doubts],
                [*(other for group in touched for other in group.candidates), candidate],
            )
        )
    return groups


def _judge_group(group: _Group, fits: Callable[[Doubt, Candidate], bool]) -> dict[int, Verdict]:
    if len(group.candidates) > len(group.doubts):
        return _unclear(
            group, f"{names_of(group.candidates)} may be its task, more than there are items that they may belong to"
        )
    if len({doubt.fingerprint for doubt in group.doubts}) > 1:
        return _told_apart(group, fits)
    return _matched(group, fits)


def _matched(group: _Group, fits: Callable[[Doubt, Candidate], bool]) -> dict[int, Verdict]:
    """Equal items get a task each, in order, and some may go without; but no task goes without an item."""
    doubts = sorted(group.doubts, key=lambda doubt: (doubt.intent_at, doubt.position))
    candidates = sorted(group.candidates, key=lambda candidate: (candidate.created_at or 0.0, candidate.task_id))
    owners: dict[int, Candidate] = {}

    def place(candidate: Candidate, tried: set[int]) -> bool:
        fitting = [doubt.position for doubt in doubts if fits(doubt, candidate) and doubt.position not in tried]
        for position in sorted(fitting, key=owners.__contains__):  # the free ones first, else others have to move
            tried.add(position)
            if position not in owners or place(owners[position], tried):
                owners[position] = candidate
                return True
        return False

    if not all(place(candidate, set()) for candidate in candidates):
        return _unclear(
            group, f"{names_of(candidates)} may be its task, and they don't fit the items that are in doubt"
        )
    return {doubt.position: Verdict(owners.get(doubt.position)) for doubt in doubts}


def _told_apart(group: _Group, fits: Callable[[Doubt, Candidate], bool]) -> dict[int, Verdict]:
    """Items that differ: by the executor and the model that the tasks say they have, else not at all.

    These words only choose among the items. They never make a task a stranger's: some deployments ignore them.
    """
    said = {candidate.task_id: _best(group.doubts, candidate, fits) for candidate in group.candidates}
    parts = _groups(group.doubts, group.candidates, lambda doubt, candidate: doubt.position in said[candidate.task_id])
    verdicts: dict[int, Verdict] = {}
    for part in parts:
        alike = len({doubt.fingerprint for doubt in part.doubts}) == 1
        if alike and len(part.candidates) <= len(part.doubts):
            verdicts |= _matched(part, fits)
        else:
            verdicts |= _unclear(
                part, f"{names_of(part.candidates)} may be its task, or that of an item with the same prompt"
            )
    return verdicts


def _best(doubts: Iterable[Doubt], candidate: Candidate, fits: Callable[[Doubt, Candidate], bool]) -> Collection[int]:
    """The doubts that a candidate speaks for most clearly: all that it may be, if it says nothing."""
    scores = {doubt.position: _score(doubt, candidate) for doubt in doubts if fits(doubt, candidate)}
    top = max(scores.values(), default=0)
    return {position for position, score in scores.items() if score == top}


def _score(doubt: Doubt, candidate: Candidate) -> int:
    """How many of the words that were asked for the task has, less those that it has otherwise."""
    pairs = ((doubt.executor, candidate.executor), (doubt.model, candidate.model))
    return sum((1 if wanted == has else -1) for wanted, has in pairs if wanted is not None and has is not None)


def _unclear(group: _Group, why: str) -> dict[int, Verdict]:
    return {doubt.position: Verdict(unclear=why) for doubt in group.doubts}


def names_of(candidates: Sequence[Candidate]) -> str:
    """Some tasks, in words."""
    names = ", ".join(candidate.task_id for candidate in candidates[:_NAMED])
    more = f" and {len(candidates) - _NAMED} more" if len(candidates) > _NAMED else ""
    return f"the task {names}" if len(candidates) == 1 else f"the tasks {names}{more}"
