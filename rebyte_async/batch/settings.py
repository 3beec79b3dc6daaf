"""The settings of a batch: those of `BatchRunner`, and the numbers that no user has to set."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from rebyte_async.types import TaskCompletionHints


@frozen(kw_only=True)
class Tuning:
    """The limits and intervals of a batch. Times are in seconds. Tests give `BatchRunner` their own as `_tuning`."""

    # Taking items
    read_ahead: int = 64  # items that are read at most before there is a slot for them
    unread_outcomes: int = 64  # items, beyond twice the concurrency, that may be taken while no outcome is read
    # Creates
    max_parallel_creates: int = 64  # each may take minutes, and holds one of the client's 100 permits
    max_recreates: int = 3  # how often an item's create is repeated after it was shown to have made nothing
    create_drain_timeout: float = 5.0  # for creates in flight when the run is cancelled
    # Workers
    send_timeout: float = 15.0  # how long after its intent a worker's create may be sent
    claim_interval: float = 1.0  # between two looks for a shard, while others have them all
    full_batch_interval: float = 1.0  # between two tries to make a task, while the batch has as many open as it may
    session_timeout: float = 30.0  # of silence, after which the database ends a worker's session
    # Outages
    outage_timeout: float = 600.0  # how long failures are waited out without a success in between
    first_retry_delay: float = 0.5  # each wait is twice the one before
    longest_retry_delay: float = 30.0
    # Reconciliation
    clock_slack: float = 120.0  # how far the clocks of the service may be apart
    newest_tasks: int = 64  # listed for the watermark: several may have been created in the same instant
    max_listings: int = 12  # made at most until two agree
    max_parallel_reads: int = 8  # reads of tasks
    inline_matches: int = 200  # ambiguous creates matched in the event loop; more are matched in a thread
    # Waiting for tasks
    first_poll_interval: float = 1.0  # between two reads of a task that has no stream
    longest_poll_interval: float = 20.0
    poll_growth: float = 1.5  # the factor by which each interval is longer than the one before
    poll_jitter: float = 0.1  # by which part of itself an interval is varied
    polls_per_second: float = 50.0  # over all tasks
    max_parallel_polls: int = 16
    hint_poll_interval: float = 60.0  # between two reads of a task that a receiver listens for
    not_found_grace: float = 10.0  # how long a task may be unknown to the service before it counts as deleted
    final_read_timeout: float = 30.0  # for reading the final result from the stream of a completed task
    # Ends and figures
    max_parallel_cancels: int = 16  # of tasks when a run with `cancel_remote` ends early
    cancel_timeout: float = 10.0  # for all of these cancels
    progress_window: float = 60.0  # over which `BatchProgress.rate` is measured


@frozen(kw_only=True)
class Settings:
    """The arguments of `BatchRunner`, checked."""

    concurrency: int
    max_new_tasks: int | None
    on_ambiguous: Literal["reconcile", "report"]
    settle: float  # seconds between two listings that have to agree
    cancel_remote: bool
    max_streams: int
    workspaces: int | tuple[str, ...] | None  # how many agent computers to make, or the ids of existing ones
    receiver: TaskCompletionHints | None = None
    is_shared: bool = False  # whether other workers have parts of the same batch
    tuning: Tuning = field(factory=Tuning)
