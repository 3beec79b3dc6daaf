"""How long to wait for what."""

from __future__ import annotations

import math

from attrs import fields, frozen

from rebyte_async.errors import ConfigurationError

__all__ = ["Timeouts"]


@frozen(kw_only=True)
class Timeouts:
    """The waits of a client, in seconds. Each is more than 0; `math.inf` waits for ever.

    Waiting for a free connection counts against none of them, so load doesn't look like a network failure.

    Raises:
        ConfigurationError: A value is not a number above 0.
    """

    connect: float = 10
    """Making a connection: name look-up, TCP and TLS together."""
    read: float = 60
    """The server's silence during an ordinary call, and the time that the body of its answer may take."""
    create: float = 600
    """The same for calls that provision or wake a machine: creating a task, a prompt or an agent computer."""
    stream_idle: float = 900
    """Silence on an event stream; heartbeats count as life. Minutes of silence are normal while a tool runs."""

    def __attrs_post_init__(self) -> None:
        for item in fields(Timeouts):
            value: object = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0 or math.isnan(value):
                raise ConfigurationError(f"Timeouts.{item.name} must be a number of seconds above 0, not {value!r}")
