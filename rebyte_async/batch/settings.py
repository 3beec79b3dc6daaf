"""The numbers that a batch goes by and that no user has to set."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Tuning"]


@frozen(kw_only=True)
class Tuning:
    """Times in seconds."""

    ahead: int = 64
    """How many items are taken at most before there is a place for them."""
    creates_at_once: int = 64
    """How many creates are under way at once: each may take minutes and holds one of the client's 100 turns."""
    recreates: int = 3
    """How often an item's create is repeated in a run after it was shown to have made nothing."""
    patience: float = 600.0
    """How long trouble with the service is waited out, without any success meanwhile."""
    first_pause: float = 0.5
    """The first pause in trouble; it doubles."""
    longest_pause: float = 30.0
    """The longest pause in trouble."""
    slack: float = 120.0
    """How far the clocks of the service may be apart."""
    passes: int = 12
    """How many listings a reconciliation makes at most until two agree."""
    reads_at_once: int = 8
    """How many tasks are read at once while reconciling."""
    first_poll: float = 1.0
    """The first interval between two reads of a task that has no stream."""
    longest_poll: float = 20.0
    """The longest one; it grows by half each time."""
    polls_a_second: float = 50.0
    """How many such reads there are, over all tasks."""
    polls_at_once: int = 16
    """How many of them are under way at once."""
    untold: float = 60.0
    """The interval between two reads of a task whose end is told."""
    missing: float = 10.0
    """How long a task may be unknown to the service before it is taken to be deleted."""
    last_read: float = 30.0
    """How long the stream of a task that has ended may be read for its answer."""
    landing: float = 5.0
    """How long creates that are under way may take when the run is cancelled."""
    cancelling: float = 10.0
    """How long canceling the remote tasks may take."""
