"""How artifacts are shown where the contract is a guess."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

__all__ = ["ArtifactFormat"]


@frozen(kw_only=True)
class ArtifactFormat:
    """The parts of the answers about artifacts that a client may not rely on.

    *Source*: contract, section 6 (guess, all of it).
    """

    items: Literal["artifacts", "data", "files"] | None = "artifacts"
    """The field that a list is under; None for a bare array."""
    name: Literal["name", "filename"] = "name"
    """The field with an artifact's name."""
    details: bool = True
    """Whether there are `size`, `contentType`, `createdAt` and `updatedAt` beside the name."""
    url: bool = False
    """Whether there is a `url` beside the name: a signed one, on the other origin."""
    urls: Literal["urls", "data", "files"] = "urls"
    """The field that upload URLs are under."""
    redirect: int | None = None
    """The status, any of 3xx, with which a download leads to a signed URL on the other origin; None sends the bytes."""
    upload_status: int = 201
    """The status of an upload: 200 or 201."""
