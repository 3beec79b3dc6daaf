"""Batches: thousands of tasks, of which none is lost and none is made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rebyte_async.batch.agent_computers import checked_workspaces
from rebyte_async.batch.journal import Journal
from rebyte_async.batch.plan import Plan
from rebyte_async.batch.run import BatchRun
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rebyte_async.batch.inputs import Items
    from rebyte_async.types import TaskCompletionHints

__all__ = ["BatchRunner"]


class BatchRunner:
    """Runs batches of tasks: so many at once, each item once, whatever happens to this process.

        runner = BatchRunner(client, journal="run.sqlite3", concurrency=64)
        async for outcome in runner.run(items):
            print(outcome.key, outcome.status, outcome.final_result)

    With a journal, a run that was killed goes on where it stopped when the same items are given again: what has ended
    gives its stored outcome, what runs is waited for, what wasn't started starts, and a create that was under way is
    looked for among the service's tasks before anything is made again.

    Args:
        client: The client, which has to stay open for as long as the run.
        concurrency: How many tasks may be open at once, at least 1. Those that an earlier run left open count.
        journal: The file of the journal, which is made if there is none; None keeps what is known for as long as the
            run, so that nothing survives this process.
        max_new_tasks: How many tasks one run may make; items beyond it end `skipped`, and the next run starts them.
            A create whose fate can't be told counts.
        on_ambiguous: What becomes of an item whose create got lost: `reconcile` looks for its task, `report` ends it
            as `ambiguous`.
        reconcile_settle: Seconds apart that two looks have to agree before a create is taken to have made nothing.
        cancel_remote: Whether ending a run before its end cancels the tasks that are open.
        max_streams: How many tasks are followed by an event stream each; those beyond it are read from time to time.
        workspaces: How many agent computers to make for the batch, or the ids of some: items then run on these, one
            at a time on each. None has the service provision one for each item without a `workspace_id`.
        receiver: A `WebhookReceiver` that is told of the ends of tasks. No stream is held open then: a task is read
            when a delivery tells to, and once a minute in case none comes.

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
    ) -> None:
        if not isinstance(client, AsyncRebyte):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"client must be an AsyncRebyte, not {type(client).__name__}")
        if on_ambiguous not in ("reconcile", "report"):
            raise ConfigurationError(f"on_ambiguous must be 'reconcile' or 'report', not {on_ambiguous!r:.80}")
        if receiver is not None and not callable(getattr(receiver, "ended", None)):
            raise ConfigurationError(f"receiver must be a WebhookReceiver, not {type(receiver).__name__}")
        Journal(journal)
        self._client = client
        self._journal = journal
        self._plan = Plan(
            concurrency=_whole("concurrency", concurrency, least=1),
            max_new_tasks=None if max_new_tasks is None else _whole("max_new_tasks", max_new_tasks, least=0),
            on_ambiguous=on_ambiguous,
            settle=_seconds("reconcile_settle", reconcile_settle),
            cancel_remote=bool(cancel_remote),
            max_streams=_whole("max_streams", max_streams, least=0),
            workspaces=checked_workspaces(workspaces),
            receiver=receiver,
        )

    def run(self, items: Items, *, ordered: bool = False) -> BatchRun:
        """Run a batch.

        Args:
            items: The items, read as there is room for them. What is no list is read in a thread of its own, unless
                it is an async iterable.
            ordered: Whether outcomes come in the order of their items. An item that takes long then holds up, in the
                end, the taking of new ones.

        Returns:
            The run: iterate over it for the outcomes, one for each item. It starts when it is first read from.

        Raises:
            InvalidRequestError: `items` can't be iterated over.
        """
        transport = self._client._transport  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package
        return BatchRun(self._client, transport, self._plan, self._journal, items, ordered=ordered)


def _whole(name: str, value: object, *, least: int) -> int:
    if type(value) is not int or value < least:
        raise ConfigurationError(f"{name} must be a whole number, at least {least}, not {value!r:.80}")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigurationError(f"{name} must be a number of seconds, at least 0, not {value!r:.80}")
    return value
