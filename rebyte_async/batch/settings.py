"""How a batch is run: what `BatchRunner` was given, and the numbers that no user has to set."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from rebyte_async.types import TaskCompletionHints


@frozen(kw_only=True)
class Tuning:
    """The limits and intervals of a batch. Times are in seconds.

    `BatchRunner` takes one as `_tuning`, so that tests neither wait nor patch.
    """

    read_ahead: int = 64
    """How many items are read at most before there is a slot for them."""
    unread_outcomes: int = 64
    """How many items, beyond twice the concurrency, may be taken while their outcomes aren't read."""
    max_parallel_creates: int = 64
    """How many creates are in flight at once: each may take minutes, and holds one of the client's 100 permits."""
    max_recreates: int = 3
    """How often a run repeats an item's create after it was shown to have made nothing."""
    create_drain_timeout: float = 5.0
    """How long creates in flight may take when the run is cancelled."""
    outage_timeout: float = 600.0
    """How long failures of the service are waited out without a success in between."""
    first_retry_delay: float = 0.5
    """The first wait in an outage; each wait is twice the one before."""
    longest_retry_delay: float = 30.0
    """The longest wait in an outage."""
    clock_slack: float = 120.0
    """How far the clocks of the service may be apart."""
    newest_tasks: int = 64
    """How many tasks are listed for the watermark: several may have been created in the same instant."""
    max_listings: int = 12
    """How many listings a reconciliation makes at most until two agree."""
    max_parallel_reads: int = 8
    """How many tasks a reconciliation reads at once."""
    inline_matches: int = 200
    """How many ambiguous creates are matched in the event loop; more are matched in a thread."""
    first_poll_interval: float = 1.0
    """The first interval between two reads of a task that has no stream."""
    longest_poll_interval: float = 20.0
    """The longest interval between two reads of a task that has no stream."""
    poll_growth: float = 1.5
    """The factor by which each interval is longer than the one before."""
    poll_jitter: float = 0.1
    """By which part of itself an interval is varied."""
    polls_per_second: float = 50.0
    """How many of these reads are made, over all tasks."""
    max_parallel_polls: int = 16
    """How many of these reads are in flight at once."""
    hint_poll_interval: float = 60.0
    """The interval between two reads of a task that a receiver listens for."""
    not_found_grace: float = 10.0
    """How long a task may be unknown to the service before it counts as deleted."""
    final_read_timeout: float = 30.0
    """How long the stream of a completed task may be read for its final result."""
    max_parallel_cancels: int = 16
    """How many tasks are canceled at once when a run with `cancel_remote` ends early."""
    cancel_timeout: float = 10.0
    """How long canceling them may take."""
    progress_window: float = 60.0
    """The time over which `BatchProgress.rate` is measured."""


@frozen(kw_only=True)
class Settings:
    """What `BatchRunner` was given, checked."""

    concurrency: int
    max_new_tasks: int | None
    on_ambiguous: Literal["reconcile", "report"]
    settle: float
    """Seconds between two listings that have to agree."""
    cancel_remote: bool
    max_streams: int
    workspaces: int | tuple[str, ...] | None
    """How many agent computers to make, or the ids of existing ones."""
    receiver: TaskCompletionHints | None = None
    tuning: Tuning = field(factory=Tuning)
