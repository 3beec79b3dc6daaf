"""The running counts of a client, which all its views share."""

from __future__ import annotations

from attrs import define

from rebyte_async.types.service import ClientStats

__all__ = ["Counters"]


@define
class Counters:
    """The counts that `ClientStats` shows, as they go up and down."""

    requests: int = 0
    retries: int = 0
    reconnects: int = 0
    in_flight: int = 0
    open_streams: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0

    def snapshot(self, open_bodies: int) -> ClientStats:
        """Return the counts as they are now.

        Args:
            open_bodies: How many bytes the open bodies have received; a body is counted here when it is closed.
        """
        return ClientStats(
            requests=self.requests,
            retries=self.retries,
            reconnects=self.reconnects,
            in_flight=self.in_flight,
            open_streams=self.open_streams,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received + open_bodies,
        )
