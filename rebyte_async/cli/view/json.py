"""Events for programs: a JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

import click
from attrs import define

if TYPE_CHECKING:
    from typing import TextIO

    from rebyte_async.cli.view.base import Ending, Stop
    from rebyte_async.types.events import TaskEvent

__all__ = ["JsonView"]


@define
class JsonView:
    """Every line has the same fields; the last one is `done`, or `stopped` where there was no end to see."""

    out: TextIO
    _task_id: str | None = None

    def started(self, task_id: str) -> None:
        """Remember the id: it stands in every line."""
        self._task_id = task_id

    def event(self, event: TaskEvent) -> None:
        """Write an event."""
        self._write(
            event_type=event.event_type,
            seq=event.seq,
            prompt_id=event.prompt_id,
            event_key=event.event_key,
            timestamp=None if event.timestamp is None else event.timestamp.isoformat(),
            payload=dict(event.payload),
        )

    def tick(self) -> None:
        """Do nothing."""

    def status(self, text: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Say it on stderr."""
        click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Say it on stderr."""
        click.echo(f"warning: {text}", err=True)

    def ended(self, ending: Ending) -> None:
        """Write the last line."""
        payload = {
            "status": ending.result.status,
            "final_result": ending.result.final_result,
            "last_seq": ending.last_seq,
            "cursor": ending.cursor,
            "seconds": round(ending.seconds, 3),
        }
        self._write(event_type="done", prompt_id=ending.prompt_id, payload=payload)

    def stopped(self, stop: Stop) -> None:
        """Write the last line."""
        self._task_id = stop.task_id
        payload = {
            "error": stop.error,
            "message": stop.message,
            "exit_code": int(stop.exit_code),
            "cursor": stop.cursor,
        }
        self._write(event_type="stopped", payload=payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _write(
        self,
        *,
        event_type: str,
        payload: dict[str, Any],
        seq: int | None = None,
        prompt_id: str | None = None,
        event_key: str | None = None,
        timestamp: str | None = None,
    ) -> None:
        line = {
            "event_type": event_type,
            "seq": seq,
            "task_id": self._task_id,
            "prompt_id": prompt_id,
            "event_key": event_key,
            "timestamp": timestamp,
            "payload": payload,
        }
        # ASCII alone: a control character of the upper half or a lone surrogate does no harm when it is escaped.
        self.out.write(json.dumps(line, default=str) + "\n")
        self.out.flush()
