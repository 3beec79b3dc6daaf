"""Batches: thousands of tasks, with none lost and none made twice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

from rebyte_async._validate import count, seconds
from rebyte_async.batch.agent_computers import check_workspaces
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.inputs import Items, check_items
from rebyte_async.batch.journal import RunJournal, store_at
from rebyte_async.batch.run import BatchRun
from rebyte_async.batch.settings import Settings, Tuning
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import ConfigurationError
from rebyte_async.types import TaskCompletionHints


class BatchRunner:
    """Runs batches of tasks: several at once, and each item once, even if this process is killed.

        runner = BatchRunner(client, journal="run.sqlite3", concurrency=64)
        async for outcome in runner.run(items):
            print(outcome.key, outcome.status, outcome.final_result)

    With a journal, a killed run continues where it stopped when the same items are given again: items that have ended
    give their stored outcomes, tasks that run are waited for, and items that weren't started are started. A create that
    was in flight is first looked for among the service's tasks.

    Args:
        client: The client. It has to stay open during the run.
        concurrency: How many tasks may be open at once, at least 1. Those that an earlier run left open count.
        journal: The path of the journal, which is created if it doesn't exist. None keeps the journal only during the
            run, so that nothing survives this process.
        max_new_tasks: How many tasks one run may make; items beyond it end `skipped`, and the next run starts them.
            An ambiguous create that can't be decided counts.
        on_ambiguous: What happens to an item whose create is ambiguous: `reconcile` looks for its task, `report` ends
            the item as `ambiguous`.
        reconcile_settle: Seconds between two listings of tasks. Both have to show the same before a create counts as
            having made nothing.
        cancel_remote: Whether ending a run early cancels the tasks that are open.
        max_streams: How many tasks are followed by an event stream each. Those beyond it are read at intervals.
        workspaces: How many agent computers to create for the batch, or the ids of existing ones: items then run on
            these, one at a time on each. None has the service provision one for each item without a `workspace_id`.
        receiver: A `WebhookReceiver` that gets the deliveries about these tasks. No stream is held open then: a task is
            read when a delivery reports its end, and once a minute in case none comes.
        _tuning: Limits and intervals, for tests.

    Raises:
        ConfigurationError: A setting can't be right.
    """

    def __init__(
        self,
        client: AsyncRebyte,
        *,
        concurrency: int = 32,
        journal: str | os.PathLike[str] | None = None,
        max_new_tasks: int | None = None,
        on_ambiguous: Literal["reconcile", "report"] = "reconcile",
        reconcile_settle: float = 5,
        cancel_remote: bool = False,
        max_streams: int = 256,
        workspaces: int | Sequence[str] | None = None,
        receiver: TaskCompletionHints | None = None,
        _tuning: Tuning | None = None,
    ) -> None:
        if not isinstance(client, AsyncRebyte):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"client must be an AsyncRebyte, not {type(client).__name__}")
        if on_ambiguous not in ("reconcile", "report"):
            raise ConfigurationError(f"on_ambiguous must be 'reconcile' or 'report', not {on_ambiguous!r:.80}")
        if receiver is not None and not callable(getattr(receiver, "ended", None)):
            raise ConfigurationError(f"receiver must be a WebhookReceiver, not {type(receiver).__name__}")
        store_at(journal)  # checks the path
        self._client = client
        self._journal = journal
        self._settings = Settings(
            concurrency=_count("concurrency", concurrency, minimum=1),
            max_new_tasks=None if max_new_tasks is None else _count("max_new_tasks", max_new_tasks, minimum=0),
            on_ambiguous=on_ambiguous,
            settle=seconds("reconcile_settle", reconcile_settle, finite=True, error=ConfigurationError),
            cancel_remote=bool(cancel_remote),
            max_streams=_count("max_streams", max_streams, minimum=0),
            workspaces=check_workspaces(workspaces),
            receiver=receiver,
            tuning=_tuning or Tuning(),
        )

    def run(self, items: Items, *, ordered: bool = False) -> BatchRun:
        """Run a batch.

        Args:
            items: The items, which are read as there is room for them. An iterable that is neither a list, tuple or
                deque nor async is read in a thread.
            ordered: Whether outcomes come in the order of their items. An item that takes long then holds up later
                outcomes, and in the end the taking of new items.

        Returns:
            The run: iterate over it for the outcomes, one for each item. It starts when it is first read from.

        Raises:
            InvalidRequestError: `items` can't be iterated over.
        """
        check_items(items)
        transport = self._client._transport  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package
        journal = RunJournal(store_at(self._journal), base_url=str(transport.base_url))
        return BatchRun(RunContext(self._client, transport, self._settings, journal), items, ordered=ordered)


def _count(name: str, value: object, *, minimum: int) -> int:
    return count(name, value, minimum=minimum, error=ConfigurationError)
