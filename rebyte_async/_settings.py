"""The settings of a client: how long it waits, and how often it tries again."""

from __future__ import annotations

from attrs import fields, frozen

from rebyte_async import _validate
from rebyte_async.errors import ConfigurationError

__all__ = ["RetryPolicy", "Timeouts"]


@frozen(kw_only=True)
class Timeouts:
    """The timeouts of a client, in seconds. Each is above 0; `math.inf` waits forever.

    Waiting for a free connection counts against none of them, so load doesn't look like a network failure.

    Raises:
        ConfigurationError: A value is not a number above 0.
    """

    connect: float = 10
    """How long making a connection may take: name look-up, TCP and TLS together."""
    read: float = 60
    """How long the server may send nothing during an ordinary call, and how long the body of its response may take."""
    create: float = 600
    """The same for calls that provision or wake an agent computer: creating a task, a prompt or an agent computer."""
    stream_idle: float = 900
    """How long an event stream may bring nothing, not even a heartbeat. Minutes of silence are normal while a tool
    runs."""

    def __attrs_post_init__(self) -> None:
        for item in fields(Timeouts):
            name = f"Timeouts.{item.name}"
            _validate.seconds(name, getattr(self, item.name), above_zero=True, error=ConfigurationError)


@frozen(kw_only=True)
class RetryPolicy:
    """How often a client tries again, and after which delays.

    Which requests may be tried again is not a setting: a request that starts an agent is repeated only when the server
    can't have acted on it.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    max_attempts: int = 4
    """How many attempts a call makes in all, at least 1. For an event stream: how many failed or broken connections in
    a row may bring nothing new."""
    base_delay: float = 0.5
    """The upper bound of the first delay, in seconds. It doubles with each attempt. Each delay is drawn evenly from
    0 to its bound (full jitter)."""
    max_delay: float = 8
    """The highest bound of a delay, in seconds."""
    max_retry_after: float = 120
    """The longest `Retry-After` to wait for, in seconds. A response that asks for more is raised as an error."""
    budget: float = 50
    """How many retries all calls of a client may spend together; each success gives back 0.2. The budget keeps many
    callers from multiplying the load of a service that is failing."""

    def __attrs_post_init__(self) -> None:
        _validate.count("RetryPolicy.max_attempts", self.max_attempts, error=ConfigurationError)
        for item in fields(RetryPolicy):
            _validate.number(f"RetryPolicy.{item.name}", getattr(self, item.name), error=ConfigurationError)
