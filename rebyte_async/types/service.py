"""The service's health, and the counters of a client."""

from __future__ import annotations

from attrs import frozen

__all__ = ["ClientStats", "Health"]


@frozen(kw_only=True)
class Health:
    """What the service says of itself.

    *Source*: contract §1, observed.
    """

    status: str
    """The service's own word, such as `ok`."""


@frozen(kw_only=True)
class ClientStats:
    """The counters of a client and of all views that share its connections."""

    requests: int
    """Requests sent, each attempt and each followed redirect counted."""
    retries: int
    """Attempts beyond the first of a call."""
    reconnects: int
    """Connects of event streams beyond the first of each."""
    in_flight: int
    """Ordinary calls that are under way now, waiting ones included."""
    open_streams: int
    """Streaming connections that are open now."""
    bytes_sent: int
    """Bytes of the bodies sent."""
    bytes_received: int
    """Bytes of the bodies received, after decompression."""
