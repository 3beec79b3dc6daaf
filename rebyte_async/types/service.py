"""The service's health, and the counters of a client."""

from __future__ import annotations

from attrs import frozen

from rebyte_async.types.values import Value


@frozen(kw_only=True, repr=False)
class Health(Value):
    """The service's own report of its health.

    *Source*: contract §1, observed.
    """

    status: str
    """The service's own status, such as `ok`."""


@frozen(kw_only=True, repr=False)
class ClientStats(Value):
    """The counters of a client, together with all views of it that share its connections."""

    requests: int
    """Requests sent; each attempt and each redirect counts."""
    retries: int
    """Attempts after the first one of each call."""
    reconnects: int
    """Connects after the first one of each event stream."""
    in_flight: int
    """Ordinary calls that are in flight now, waiting ones included."""
    open_streams: int
    """Streaming connections that are open now."""
    bytes_sent: int
    """Bytes sent as bodies."""
    bytes_received: int
    """Bytes received as bodies, after decompression."""
