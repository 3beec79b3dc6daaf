"""JSON for programs: models as documents, and a turn as an object a line."""

from __future__ import annotations

from typing import Any, TextIO, TypeGuard, cast

import attrs
import click
from attrs import define

from rebyte_async._terminal import one_line
from rebyte_async.cli.view.base import Finished, Interrupted, View
from rebyte_async.types import TaskEvent
from rebyte_async.types.values import to_json_value, write_json

_FIELDS = ("event_type", "seq", "task_id", "prompt_id", "event_key", "timestamp", "payload")


def public_fields(item: attrs.AttrsInstance) -> list[tuple[str, Any]]:
    """Return the fields of a model that may be shown: those that its repr leaves out are secret, or bulky."""
    return [(field.name, getattr(item, field.name)) for field in attrs.fields(type(item)) if field.repr]


def to_document(value: object) -> Any:
    """Turn a value into JSON's types: models become objects, times ISO 8601, and NaN and Infinity null."""
    if is_model(value):
        return {name: to_document(inner) for name, inner in public_fields(value)}
    if isinstance(value, tuple):
        return [to_document(inner) for inner in cast("tuple[object, ...]", value)]
    return to_json_value(value)


def to_json_line(value: object) -> str:
    """Write a value as one line of JSON, in ASCII alone: whatever a terminal would obey is escaped."""
    return write_json(to_document(value))


def is_model(value: object) -> TypeGuard[attrs.AttrsInstance]:
    return attrs.has(type(value))


@define
class JsonView(View):
    """Writes lines with the same fields each; the last is `done`, or `stopped` where the watching ended first."""

    out: TextIO
    _task_id: str | None = None

    def begin(self, task_id: str, workspace_id: str | None) -> None:  # noqa: ARG002 - it is in the last line
        self._task_id = task_id

    def show(self, event: TaskEvent) -> None:
        self._write(
            event_type=event.event_type,
            seq=event.seq,
            prompt_id=event.prompt_id,
            event_key=event.event_key,
            timestamp=event.timestamp,
            payload=dict(event.payload),
        )

    def note(self, text: str) -> None:
        click.echo(one_line(text), err=True)

    def finish(self, finished: Finished) -> None:
        payload = {
            "status": finished.result.status,
            "final_result": finished.result.final_result,
            "last_seq": finished.last_seq,
            "cursor": finished.cursor,
            "seconds": round(finished.seconds, 3),
            "workspace_id": finished.result.workspace_id,
            "files": None if finished.files is None else [to_document(file) for file in finished.files],
        }
        self._write(event_type="done", prompt_id=finished.prompt_id, payload=payload)

    def interrupt(self, interrupted: Interrupted) -> None:
        self._task_id = interrupted.task_id
        payload = {
            "error": interrupted.error,
            "message": interrupted.message,
            "exit_code": int(interrupted.exit_code),
            "cursor": interrupted.cursor,
            "workspace_id": interrupted.workspace_id,
        }
        self._write(event_type="stopped", payload=payload)

    def _write(self, **known: object) -> None:
        self.out.write(to_json_line({**dict.fromkeys(_FIELDS), "task_id": self._task_id, **known}) + "\n")
        self.out.flush()
