"""How a batch is to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from rebyte_async.batch.settings import Tuning

if TYPE_CHECKING:
    from rebyte_async.types import TaskCompletionHints

__all__ = ["Plan"]


@frozen(kw_only=True)
class Plan:
    """What `BatchRunner` was told, checked."""

    concurrency: int
    max_new_tasks: int | None
    on_ambiguous: Literal["reconcile", "report"]
    settle: float
    cancel_remote: bool
    max_streams: int
    workspaces: int | tuple[str, ...] | None
    receiver: TaskCompletionHints | None = None
    tuning: Tuning = field(factory=Tuning)
