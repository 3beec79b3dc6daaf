"""Being told that a task has ended."""

from __future__ import annotations

from typing import Protocol

__all__ = ["TaskNotices"]


class TaskNotices(Protocol):
    """Whoever is told when a task has ended, such as a `WebhookReceiver`."""

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Wait for word that a task has, or may have, ended.

        It is a hint: whoever gets it reads the task. Word that came before the call counts too, as far as it is
        remembered. It may never come, so whoever waits asks the service too, now and then.

        Args:
            task_id: The task.
            after: What an earlier call returned: only newer word counts.

        Returns:
            A number that stands for the latest word.
        """
        ...
