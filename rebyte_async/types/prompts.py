"""Prompts: the turns of a task."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from rebyte_async.types._fields import moment
from rebyte_async.types.statuses import TERMINAL_STATUSES, PromptStatus, prompt_status

__all__ = ["Prompt"]


@frozen(kw_only=True)
class Prompt:
    """One turn of a task: what was asked, and how far it is.

    *Source*: contract §3, documented.
    """

    id: str
    """The prompt's id; the events of its turn carry it as `prompt_id`."""
    status: PromptStatus | str | None = field(default=None, converter=prompt_status)
    """How far the turn is; None in the answer to a submit, which doesn't say."""
    submitted_at: datetime | None = field(default=None, converter=moment)
    """When it was submitted."""
    completed_at: datetime | None = field(default=None, converter=moment)
    """When it ended. Don't infer the end from it: the service was seen to fill it in while the turn ran (observed)."""

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended."""
        return self.status in TERMINAL_STATUSES
