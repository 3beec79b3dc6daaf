"""The service's health, and the counters of a client."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from rebyte_async.types.values import Value


@frozen(kw_only=True, repr=False)
class Health(Value):
    """The service's own report of its health.

    *Source*: contract §1, observed.
    """

    status: str
    """The service's own status, such as `ok`."""


@frozen(kw_only=True, repr=False)
class ResponseInfo(Value):
    """One attempt of a call or a stream that got a response, for logs and metrics: what `on_response` is called with.

    The key, and the address of a signed URL, are in none of its fields.
    """

    method: str
    """The HTTP method."""
    path: str
    """The path below the base URL with the names of ids in place of ids, such as `/tasks/{task_id}`; `a signed URL` for
    an upload to one."""
    status: int
    """The HTTP status."""
    headers: Mapping[str, str] = field(hash=False, repr=False)
    """The headers of the response, whose names may be written in any case."""
    request_id: str | None
    """The server's id of the request; None when it sent none."""
    attempt: int
    """The number of the attempt, from 1 on; 1 for each connect of a stream."""
    elapsed: float
    """The seconds until the response's head had come, redirects included."""
    task_id: str | None
    """The task that the call is about, where its path names one."""


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
