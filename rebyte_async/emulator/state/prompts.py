"""Prompts: the turns of a task, and those that an agent delegates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from rebyte_async.emulator.clock import timestamp, timestamp_or_none

if TYPE_CHECKING:
    from datetime import datetime

    from rebyte_async.emulator.state.files import StoredFile
    from rebyte_async.emulator.state.transcript import Transcript

_OPEN = frozenset({"pending", "running"})


@define(eq=False, kw_only=True)
class Prompt:
    """One turn: what was asked, how it goes, and what the agent said."""

    id: str
    text: str
    submitted_at: datetime
    transcript: Transcript
    skills: tuple[str, ...] = ()
    files: tuple[StoredFile, ...] = ()
    status: str = "pending"
    completed_at: datetime | None = None
    final_result: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the turn is still to end."""
        return self.status in _OPEN

    def start(self) -> None:
        """The agent has taken it up."""
        self.status = "running"

    def end(self, status: str, final_result: str, now: datetime) -> None:
        """The turn is over; an end that comes after another is ignored."""
        if not self.is_open:
            return
        self.status, self.final_result, self.completed_at = status, final_result, now
        self.transcript.changed.fire()

    def done(self) -> dict[str, Any]:
        """What the stream's last frame says."""
        return {"status": self.status, "lastSeq": self.transcript.last_seq, "finalResult": self.final_result}

    def summary(self) -> dict[str, Any]:
        """The prompt as a task shows it."""
        return {
            "id": self.id,
            "status": self.status,
            "submittedAt": timestamp(self.submitted_at),
            "completedAt": timestamp_or_none(self.completed_at),
        }

    def content(self, *, with_events: bool) -> dict[str, Any]:
        """The prompt as a task's content shows it."""
        response = None if self.is_open else self.final_result
        content = {**self.summary(), "userPrompt": self.text, "response": response}
        return {**content, "events": self.transcript.events()} if with_events else content
