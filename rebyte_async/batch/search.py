"""Search for the tasks of ambiguous creates: list and read tasks until two listings agree."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import cast

from anyio import CapacityLimiter, create_task_group, to_thread
from attrs import define, evolve, field

from rebyte_async.batch.context import Outage, RunContext
from rebyte_async.batch.evidence import PromptFidelity
from rebyte_async.batch.failures import is_fatal, is_transient, reject_foreign_cancellation
from rebyte_async.batch.items import plain_prompt, prompt_hash
from rebyte_async.batch.matching import AmbiguousCreate, Candidate, Verdict, match_tasks
from rebyte_async.errors import RebyteError
from rebyte_async.types import Task

_log = logging.getLogger("rebyte_async")
_PAGE_SIZE = 100
_UNSTABLE = "new tasks kept appearing while this item's task was searched for"


@define(eq=False)
class TaskSearch:
    """Finds the tasks that belong to no known item, with their prompts, and matches them to ambiguous creates.

    A task may become visible some time after its create. So nothing is decided by one listing: the tasks that may
    match have to be the same in two listings, `Settings.settle` seconds apart.
    """

    context: RunContext
    _prompts: dict[str, str] = field(factory=dict[str, str], init=False)  # first prompts by task id: they don't change
    _unreadable: set[str] = field(factory=set[str], init=False)  # tasks that couldn't be read through an outage

    async def decide(
        self, creates: Sequence[AmbiguousCreate], rivals: Sequence[AmbiguousCreate] = (), *, min_wait: float = 0.0
    ) -> dict[int, Verdict]:
        """Return the verdicts by the items' positions. The first two listings are at least `min_wait` seconds apart."""
        previous: object = None
        candidates: list[Candidate] = []
        hashes = {create.prompt_hash for create in creates}
        for number in range(self.context.tuning.max_listings):
            if number:
                await self.context.time.sleep(max(self.context.settings.settle, min_wait if number == 1 else 0.0))
            candidates = await self._find_candidates(creates, hashes)
            likely = [one for one in candidates if one.prompt_hash is None or one.prompt_hash in hashes]
            current = frozenset((candidate.task_id, candidate.prompt_hash) for candidate in likely)
            if current == previous:
                _log.debug("reconciled %d items with %d tasks in %d listings", len(creates), len(likely), number + 1)
                others = [one for one in candidates if one.prompt_hash is not None and one.prompt_hash not in hashes]
                return await self._match(creates, rivals, likely, others)
            previous = current
        return match_tasks(creates, candidates, lambda _create, _others: _UNSTABLE, rivals)

    async def _match(
        self,
        creates: Sequence[AmbiguousCreate],
        rivals: Sequence[AmbiguousCreate],
        likely: Sequence[Candidate],
        others: Sequence[Candidate],
    ) -> dict[int, Verdict]:
        shown = [one.prompt_hash for one in others if one.prompt_hash]
        known = await self.context.journal.store.known_prompt_hashes(shown)
        # Tasks of items whose create is in flight, or succeeded a moment ago.
        ours = [one for one in others if one.prompt_hash in known]
        others = [one for one in others if one.prompt_hash not in known]
        fidelity = await self._check_fidelity([*likely, *ours]) if others else PromptFidelity()
        match = partial(match_tasks, creates, [*likely, *others], fidelity.doubt_absence, rivals)
        return await to_thread.run_sync(match) if len(creates) > self.context.tuning.inline_matches else match()

    async def _check_fidelity(self, matching: Sequence[Candidate]) -> PromptFidelity:
        """Check whether prompts are shown as sent: by tasks that match one, and by one recent task of an item."""
        shown = [len(candidate.prompt) for candidate in matching if candidate.prompt is not None]
        for task_id, sent_hash in await self.context.journal.store.recent_task_samples():
            await self._read_prompts([task_id])
            if (prompt := self._prompts.get(task_id)) is None:
                continue
            if prompt_hash(prompt) != sent_hash:
                return PromptFidelity(is_violated=True)
            shown.append(len(prompt))
            break
        return PromptFidelity(verified_length=max(shown, default=None))

    async def _find_candidates(self, creates: Sequence[AmbiguousCreate], hashes: set[bytes]) -> list[Candidate]:
        """List the tasks that belong to no known item, and read their prompts."""
        since = min(create.earliest for create in creates)
        listed = await self.context.new_outage().retry_through(partial(self._list_since, since))
        owned = await self.context.journal.store.owned_task_ids([task.id for task in listed])
        unowned = [task for task in listed if task.id not in owned]
        await self._read_prompts([task.id for task in unowned])
        candidates = [_to_candidate(task, self._prompts.get(task.id)) for task in unowned]
        if all(create.workspace_id is None for create in creates):
            return candidates  # agent computers can't distinguish these creates, so they needn't be known
        return [await self._with_workspace(one) if one.prompt_hash in hashes else one for one in candidates]

    async def _list_since(self, since: float) -> list[Task]:
        """List tasks, the newest first, until one that was created before `since`."""
        found: list[Task] = []
        listing = cast("AsyncGenerator[Task]", aiter(self.context.tasks.list(limit=_PAGE_SIZE)))
        async with aclosing(listing):
            async for task in listing:
                if task.created_at is not None and task.created_at.timestamp() < since:
                    break
                found.append(task)
        return found

    async def _read_prompts(self, task_ids: Sequence[str]) -> None:
        slots = CapacityLimiter(self.context.tuning.max_parallel_reads)

        async def read(task_id: str) -> None:
            async with slots:
                with reject_foreign_cancellation():
                    await self._read_prompt(task_id)

        failure: BaseException | None = None
        try:
            async with create_task_group() as group:
                for task_id in task_ids:
                    if task_id not in self._prompts:
                        group.start_soon(read, task_id)
        except BaseExceptionGroup as several:  # pyright: ignore[reportUnknownVariableType]
            failure = several.exceptions[0]  # as it was raised, even if that was a group
        if failure is not None:
            raise failure

    async def _read_prompt(self, task_id: str) -> None:
        # Once a task stayed unreadable through a whole outage, others get one attempt each, else many would add up.
        tuning = evolve(self.context.tuning, outage_timeout=0.0) if self._unreadable else self.context.tuning
        try:
            content = await Outage(self.context.time, tuning).retry_through(lambda: self.context.tasks.content(task_id))
        except RebyteError as error:
            if is_fatal(error):
                raise
            if is_transient(error):
                self._unreadable.add(task_id)
            return
        if content.prompts and content.prompts[0].user_prompt is not None:
            self._prompts[task_id] = plain_prompt(content.prompts[0].user_prompt)

    async def _with_workspace(self, candidate: Candidate) -> Candidate:
        if candidate.workspace_id is not None:
            return candidate
        try:
            task = await self.context.new_outage().retry_through(lambda: self.context.tasks.get(candidate.task_id))
        except RebyteError as error:
            if is_fatal(error):
                raise
            return candidate
        return evolve(candidate, workspace_id=task.workspace_id)


def _to_candidate(task: Task, prompt: str | None) -> Candidate:
    return Candidate(
        task_id=task.id,
        created_at=None if task.created_at is None else task.created_at.timestamp(),
        prompt_hash=None if prompt is None else prompt_hash(prompt),
        prompt=prompt,
        workspace_id=task.workspace_id,
        executor=task.executor,
        model=task.model,
    )
