"""The settings of a client: how long it waits, and how often it tries again."""

from __future__ import annotations

import math

from attrs import fields, frozen

from rebyte_async.errors import ConfigurationError

__all__ = ["RetryPolicy", "Timeouts"]


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


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a client tries again.

    What may be tried again at all is not a setting: a request that starts an agent is repeated only when the server
    can't have acted on it.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    max_attempts: int = 4
    """Attempts in all, at least 1. For an event stream: failed connects and broken connections in a row that brought
    nothing new."""
    base_delay: float = 0.5
    """The upper bound of the first delay, in seconds; it doubles with each attempt. The delay is drawn evenly from
    0 to the bound (full jitter)."""
    max_delay: float = 8
    """The highest bound, in seconds."""
    max_retry_after: float = 120
    """The longest `Retry-After` that is waited out, in seconds; a longer one is raised."""
    budget: float = 50
    """How many retries all calls of a client may spend together; a success gives back 0.2. It keeps a fleet from
    multiplying the load of a sick service."""

    def __attrs_post_init__(self) -> None:
        for item in fields(RetryPolicy):
            value: object = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigurationError(f"RetryPolicy.{item.name} must be a number, at least 0, not {value!r}")
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ConfigurationError(
                f"RetryPolicy.max_attempts must be a whole number, at least 1, not {self.max_attempts!r}"
            )
