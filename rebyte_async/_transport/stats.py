"""The running numbers of a client."""

from __future__ import annotations

from attrs import define

from rebyte_async.types.service import ClientStats

__all__ = ["Counters"]


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

    def snapshot(self, reading: int) -> ClientStats:
        """The numbers as they are now.

        Args:
            reading: The bytes that were received of the bodies that are open, which aren't counted here yet.
        """
        return ClientStats(
            requests=self.requests,
            retries=self.retries,
            reconnects=self.reconnects,
            in_flight=self.in_flight,
            open_streams=self.open_streams,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received + reading,
        )
