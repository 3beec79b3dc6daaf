"""What a delivery says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from rebyte_async._wire import json
from rebyte_async.errors import WebhookPayloadError
from rebyte_async.types.webhooks import WebhookEventName

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WebhookEvent", "read_event"]

_LONGEST_ID = 256
"""Ids are UUIDs; a receiver remembers the latest ones, so they have a limit."""
_SHOWN = 2_000
_ENDS = frozenset({WebhookEventName.TASK_COMPLETED, WebhookEventName.TASK_FAILED, WebhookEventName.TASK_CANCELED})
_BY_NAME = {str(name): name for name in WebhookEventName} | {"task.cancelled": WebhookEventName.TASK_CANCELED}
_BY_STATUS = {
    "created": WebhookEventName.TASK_CREATED,
    "running": WebhookEventName.TASK_RUNNING,
    "completed": WebhookEventName.TASK_COMPLETED,
    "succeeded": WebhookEventName.TASK_COMPLETED,
    "failed": WebhookEventName.TASK_FAILED,
    "canceled": WebhookEventName.TASK_CANCELED,
    "cancelled": WebhookEventName.TASK_CANCELED,
}


@attrs.frozen
class WebhookEvent:
    """A delivery that was shown to be genuine. It is a hint to read the task, not the task's state.

    *Source*: contract §7, observed: `taskId` is there, `event` perhaps; everything else is open.
    """

    event: WebhookEventName | str | None
    """What happened: a member of `WebhookEventName`, or a newer word. Where the delivery doesn't name it, it is taken
    from its `status` (guess); None where that doesn't tell either."""
    task_id: str
    """The task that it happened to."""
    payload: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    """The delivery's JSON as it came."""

    @property
    def is_terminal(self) -> bool:
        """Whether it says that the task has ended."""
        return self.event in _ENDS

    @property
    def may_be_terminal(self) -> bool:
        """Whether the task may have ended: false only where the event is known to be another one."""
        return self.is_terminal or self.event not in _BY_NAME


def read_event(body: bytes) -> WebhookEvent:
    """The event out of a genuine delivery's body.

    Raises:
        WebhookPayloadError: It can't be read.
    """
    payload = _object(body)
    task_id = payload.get("taskId")
    if not isinstance(task_id, str) or not task_id.strip() or len(task_id) > _LONGEST_ID:
        raise _unreadable(f"$.taskId must be a string of 1 to {_LONGEST_ID} characters", body)
    return WebhookEvent(_event(payload), task_id, payload)


def _object(body: bytes) -> dict[str, Any]:
    try:
        # orjson reads some documents otherwise; what a delivery says shouldn't depend on an extra.
        document = json.plain_loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _unreadable("the body is not UTF-8", body) from error
    except ValueError as error:
        raise _unreadable(f"the body is no JSON: {error!s:.200}", body) from error
    if not isinstance(document, dict):
        raise _unreadable(f"the body is a JSON {type(document).__name__}, not an object", body)
    return cast("dict[str, Any]", document)


def _event(payload: Mapping[str, Any]) -> WebhookEventName | str | None:
    name, status = payload.get("event"), payload.get("status")
    if isinstance(name, str) and name.strip():
        return _BY_NAME.get(name, name)
    return _BY_STATUS.get(status) if isinstance(status, str) else None


def _unreadable(reason: str, body: bytes) -> WebhookPayloadError:
    return WebhookPayloadError(
        f"a genuine delivery can't be read: {reason}", body=body[:_SHOWN].decode(errors="replace")
    )
