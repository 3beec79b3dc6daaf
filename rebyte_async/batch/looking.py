"""Looking for the tasks of items whose create is in doubt: lists and reads until two looks agree."""

from __future__ import annotations

import logging
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from anyio import CapacityLimiter, create_task_group
from attrs import define, evolve, field

from rebyte_async.batch.items import prompt_hash
from rebyte_async.batch.reconcile import Candidate, judge
from rebyte_async.batch.trouble import Trouble, is_fatal, is_passing
from rebyte_async.errors import RebyteError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence

    from rebyte_async._transport.gate import Gate
    from rebyte_async.batch.journal import Journal
    from rebyte_async.batch.reconcile import Doubt, Verdict
    from rebyte_async.batch.tuning import Tuning
    from rebyte_async.resources import Tasks
    from rebyte_async.types import Task

__all__ = ["Search"]

_log = logging.getLogger("rebyte_async")
_PAGE = 100
_RESTLESS = "new tasks kept turning up while looking for this item's"
_UNFAITHFUL = "the service shows prompts otherwise than they were sent, so its tasks can't be told by them"


@define(eq=False, kw_only=True)
class Search:
    """Looks for tasks that no item is known to have."""

    tasks: Tasks
    journal: Journal
    gate: Gate
    tuning: Tuning
    settle: float
    """Seconds between two looks."""
    _texts: dict[str, bytes] = field(factory=dict[str, bytes], init=False)
    """What was read, by task: the hash of the first prompt. A task's first prompt stays what it is."""
    _unreadable: set[str] = field(factory=set[str], init=False)
    """Tasks of which even patience brought nothing."""

    async def judged(self, doubts: Sequence[Doubt]) -> dict[int, Verdict]:
        """The verdict on each doubt, by the items' positions.

        Raises:
            RebyteError: The tasks can't be listed.
        """
        before: object = None
        candidates: list[Candidate] = []
        texts = {doubt.text for doubt in doubts}
        for look in range(self.tuning.passes):
            if look:
                await self.gate.sleep(self.settle)
            candidates = await self._look(doubts)
            likely = [one for one in candidates if one.text is None or one.text in texts]
            now = frozenset((candidate.task_id, candidate.text) for candidate in likely)
            if now == before:
                _log.debug("reconciled %d items with %d tasks in %d looks", len(doubts), len(likely), look + 1)
                unsure = None if len(likely) == len(candidates) else await self._unsure()
                return judge(doubts, likely, slack=self.tuning.slack, unsure=unsure)
            before = now
        return judge(doubts, candidates, slack=self.tuning.slack, unsure=_RESTLESS)

    async def _look(self, doubts: Sequence[Doubt]) -> list[Candidate]:
        """The tasks that no item is known to have, with the texts of their prompts."""
        since = min(doubt.intent_at for doubt in doubts) - self.tuning.slack
        listed = await Trouble(self.tuning, self.gate).outlast(partial(self._listed, since))
        known = await self.journal.known([candidate.task_id for candidate in listed])
        candidates = [candidate for candidate in listed if candidate.task_id not in known]
        await self._read([candidate.task_id for candidate in candidates])
        found = [evolve(candidate, text=self._texts.get(candidate.task_id)) for candidate in candidates]
        return await self._placed(found, doubts)

    async def _unsure(self) -> str | None:
        """Why tasks whose text is another may be the items' all the same: because the service changes texts.

        That shows in a task that is known to be an item's.
        """
        if (sample := await self.journal.sample()) is None:
            return None
        task_id, text = sample
        await self._read([task_id])
        return None if self._texts.get(task_id, text) == text else _UNFAITHFUL

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
                await self._read_text(task_id)

        async with create_task_group() as group:
            for task_id in task_ids:
                if task_id not in self._texts:
                    group.start_soon(read, task_id)

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
            self._texts[task_id] = prompt_hash(content.prompts[0].user_prompt)

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
