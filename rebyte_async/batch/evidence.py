"""Whether tasks show the prompts that were sent, so that they can be told by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from rebyte_async.batch.matching import names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rebyte_async.batch.matching import Candidate, Doubt

__all__ = ["Faith"]

_BROKEN = "the service shows prompts otherwise than they were sent, so its tasks can't be told by them"
_UNKNOWN = "nothing tells yet whether the service shows prompts as they were sent"


@frozen(kw_only=True)
class Faith:
    """What is known of it."""

    is_broken: bool = False
    """Whether a task of an item shows another prompt than was sent."""
    longest: int | None = None
    """The length of the longest prompt that is known to be shown as it was sent; None where none is."""

    def unsure(self, doubt: Doubt, others: Sequence[Candidate]) -> str | None:
        """Why a doubt may not be taken to have made nothing, if it may not.

        Args:
            doubt: The doubt.
            others: Tasks that may be its own, if it weren't for their prompts.
        """
        if not others:
            return None
        if self.is_broken:
            return _BROKEN
        if self.longest is None:
            return f"{names_of(others)} may be its task: {_UNKNOWN}"
        if self.longest >= len(doubt.prompt):
            return None
        like = [other for other in others if _is_like(other.prompt or "", doubt.prompt)]
        return f"{names_of(like)} may be its task, shown otherwise than it was sent" if like else None


def _is_like(shown: str, sent: str) -> bool:
    """Whether a prompt may be another one, cut or with something around it."""
    return sent in shown or sent.startswith(shown) or sent.endswith(shown)
