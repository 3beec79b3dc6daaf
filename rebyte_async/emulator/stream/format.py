"""How event streams look where the contract leaves it open."""

from __future__ import annotations

from attrs import frozen

__all__ = ["StreamFormat"]


@frozen(kw_only=True)
class StreamFormat:
    """The parts of an event stream that a client may not rely on.

    *Source*: contract, section 4 (observed, and unknown for ids, retry and heartbeats).
    """

    event_keys: bool = True
    """Whether events carry an `eventKey`."""
    first_seq: int = 1
    """The number of a turn's first event: 0 or 1."""
    ids: bool = False
    """Whether event frames have an `id:` line."""
    retry: int | None = None
    """The stream's `retry:` line, in milliseconds; None for none."""
    heartbeat: float | None = None
    """Seconds of silence after which a comment is sent; None for never."""
