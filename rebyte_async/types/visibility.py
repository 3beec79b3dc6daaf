"""Who may see a task."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

__all__ = ["Visibility", "VisibilitySetting"]


class Visibility(StrEnum):
    """Who may see a task; a new one is `SHARED`."""

    PRIVATE = "private"
    """The key's owner alone."""
    SHARED = "shared"
    """The whole organization."""
    PUBLIC = "public"
    """Everyone who has the link."""


@frozen(kw_only=True)
class VisibilitySetting:
    """A task's visibility as the server has set it.

    *Source*: contract §3, documented.
    """

    visibility: str
    """The visibility: one of `Visibility`, or a word that is newer than this package."""
    share_url: str | None = None
    """The public link; only where the visibility is public."""
