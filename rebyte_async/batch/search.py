"""Looking for the tasks of items whose create is in doubt: lists and reads until two looks agree."""

from __future__ import annotations

import logging
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from anyio import CapacityLimiter, create_task_group, to_thread
from attrs import define, evolve, field

from rebyte_async.batch.evidence import Faith
from rebyte_async.batch.failures import Trouble, is_fatal, is_passing, no_stray_cancel
from rebyte_async.batch.items import plain_prompt, prompt_hash
from rebyte_async.batch.matching import Candidate, judge
from rebyte_async.errors import RebyteError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence

    from rebyte_async._transport.gate import Gate
    from rebyte_async.batch.journal import Journal
    from rebyte_async.batch.matching import Doubt, Verdict
    from rebyte_async.batch.settings import Tuning
    from rebyte_async.resources import Tasks
    from rebyte_async.types import Task

__all__ = ["Search"]

_log = logging.getLogger("rebyte_async")
_PAGE = 100
_RESTLESS = "new tasks kept turning up while looking for this item's"
_MANY = 200
"""How many doubts are too many to be judged in the event loop."""


@define(eq=False, kw_only=True)
class Search:
    """Looks for tasks that no item is known to have."""

    tasks: Tasks
    journal: Journal
    gate: Gate
    tuning: Tuning
    settle: float
    """Seconds between two looks."""
    _prompts: dict[str, str] = field(factory=dict[str, str], init=False)
    """What was read, by task: the first prompt, plain. A task's first prompt stays what it is."""
    _unreadable: set[str] = field(factory=set[str], init=False)
    """Tasks of which even patience brought nothing."""

    async def judged(self, doubts: Sequence[Doubt], *, wait: float = 0.0) -> dict[int, Verdict]:
        """The verdict on each doubt, by the items' positions.

        Args:
            doubts: All that are in doubt.
            wait: How long the second look has to wait at least.

        Raises:
            RebyteError: The tasks can't be listed.
        """
        before: object = None
        candidates: list[Candidate] = []
        texts = {doubt.text for doubt in doubts}
        for look in range(self.tuning.passes):
            if look:
                await self.gate.sleep(max(self.settle, wait if look == 1 else 0.0))
            candidates = await self._look(doubts)
            likely = [one for one in candidates if one.text is None or one.text in texts]
            now = frozenset((candidate.task_id, candidate.text) for candidate in likely)
            if now == before:
                _log.debug("reconciled %d items with %d tasks in %d looks", len(doubts), len(likely), look + 1)
                return await self._judged(doubts, candidates, likely)
            before = now
        return judge(doubts, candidates, slack=self.tuning.slack, unsure=_RESTLESS)

    async def _judged(
        self, doubts: Sequence[Doubt], candidates: Sequence[Candidate], likely: Sequence[Candidate]
    ) -> dict[int, Verdict]:
        texts = {doubt.text for doubt in doubts}
        others = [one for one in candidates if one.text is not None and one.text not in texts]
        sent = await self.journal.known_prompt_hashes([one.text for one in others if one.text is not None])
        ours = [one for one in others if one.text in sent]  # on their way, or a moment ago
        others = [one for one in others if one.text not in sent]
        faith = await self._faith([*likely, *ours]) if others else Faith()
        verdicts = partial(judge, doubts, [*likely, *others], slack=self.tuning.slack, unsure=faith.unsure)
        return await to_thread.run_sync(verdicts) if len(doubts) > _MANY else verdicts()

    async def _faith(self, matching: Sequence[Candidate]) -> Faith:
        """How far tasks show the prompts that were sent: those that match one, and one that is an item's."""
        shown = [len(candidate.prompt) for candidate in matching if candidate.prompt is not None]
        for task_id, text in await self.journal.recent_task_samples():
            await self._read([task_id])
            if (prompt := self._prompts.get(task_id)) is None:
                continue
            if prompt_hash(prompt) != text:
                return Faith(is_broken=True)
            shown.append(len(prompt))
            break
        return Faith(longest=max(shown, default=None))

    async def _look(self, doubts: Sequence[Doubt]) -> list[Candidate]:
        """The tasks that no item is known to have, with the texts of their prompts."""
        slack = self.tuning.slack
        since = min(d.intent_at - slack if d.earliest is None else d.earliest for d in doubts)
        listed = await Trouble(self.tuning, self.gate).outlast(partial(self._listed, since))
        known = await self.journal.owned_task_ids([candidate.task_id for candidate in listed])
        candidates = [candidate for candidate in listed if candidate.task_id not in known]
        await self._read([candidate.task_id for candidate in candidates])
        return await self._placed([self._with_prompt(candidate) for candidate in candidates], doubts)

    def _with_prompt(self, candidate: Candidate) -> Candidate:
        if (prompt := self._prompts.get(candidate.task_id)) is None:
            return candidate
        return evolve(candidate, text=prompt_hash(prompt), prompt=prompt)

    async def _listed(self, since: float) -> list[Candidate]:
        found: list[Candidate] = []
        listing = cast("AsyncGenerator[Task]", aiter(self.tasks.list(limit=_PAGE)))
        async with aclosing(listing):
            async for task in listing:
                candidate = _candidate(task)
                if candidate.created_at is not None and candidate.created_at < since:
                    break
                found.append(candidate)
        return found

    async def _read(self, task_ids: Sequence[str]) -> None:
        slots = CapacityLimiter(self.tuning.reads_at_once)

        async def read(task_id: str) -> None:
            async with slots:
                with no_stray_cancel():
                    await self._read_text(task_id)

        failure: BaseException | None = None
        try:
            async with create_task_group() as group:
                for task_id in task_ids:
                    if task_id not in self._prompts:
                        group.start_soon(read, task_id)
        except BaseExceptionGroup as several:  # pyright: ignore[reportUnknownVariableType]
            failure = several.exceptions[0]  # as it was raised, also where that was a group
        if failure is not None:
            raise failure

    async def _read_text(self, task_id: str) -> None:
        trouble = Trouble(self.tuning if not self._unreadable else evolve(self.tuning, patience=0.0), self.gate)
        try:
            content = await trouble.outlast(lambda: self.tasks.content(task_id))
        except RebyteError as error:
            if is_fatal(error):
                raise
            if is_passing(error):
                self._unreadable.add(task_id)
            return
        if content.prompts and content.prompts[0].user_prompt is not None:
            self._prompts[task_id] = plain_prompt(content.prompts[0].user_prompt)

    async def _placed(self, candidates: Sequence[Candidate], doubts: Collection[Doubt]) -> list[Candidate]:
        """The candidates with the machines that they run on, where that may tell items apart."""
        if all(doubt.workspace_id is None for doubt in doubts):
            return list(candidates)
        texts = {doubt.text for doubt in doubts}
        return [await self._with_machine(one) if one.text in texts else one for one in candidates]

    async def _with_machine(self, candidate: Candidate) -> Candidate:
        if candidate.workspace_id is not None:
            return candidate
        try:
            task = await Trouble(self.tuning, self.gate).outlast(lambda: self.tasks.get(candidate.task_id))
        except RebyteError as error:
            if is_fatal(error):
                raise
            return candidate
        return evolve(candidate, workspace_id=task.workspace_id)


def _candidate(task: Task) -> Candidate:
    facts: dict[str, Any] = {"workspace_id": task.workspace_id, "executor": task.executor, "model": task.model}
    created_at = None if task.created_at is None else task.created_at.timestamp()
    return Candidate(task_id=task.id, created_at=created_at, **facts)
