"""The service's health."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Health"]


@frozen(kw_only=True)
class Health:
    """What the service says of itself.

    *Source*: contract §1, observed.
    """

    status: str
    """The service's own word, such as `ok`."""
