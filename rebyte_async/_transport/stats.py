"""What a client has done so far."""

from __future__ import annotations

from attrs import define, frozen

__all__ = ["ClientStats", "Counters"]


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


@define
class Counters:
    """The running numbers behind `ClientStats`."""

    requests: int = 0
    retries: int = 0
    reconnects: int = 0
    in_flight: int = 0
    open_streams: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def snapshot(self) -> ClientStats:
        """The numbers as they are now."""
        return ClientStats(
            requests=self.requests,
            retries=self.retries,
            reconnects=self.reconnects,
            in_flight=self.in_flight,
            open_streams=self.open_streams,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
        )
