"""The event in a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rebyte_async._wire import json
from rebyte_async._wire.redact import shorten
from rebyte_async.errors import WebhookPayloadError
from rebyte_async.types.values import Value
from rebyte_async.types.webhooks import WebhookEventName

_LONGEST_ID = 256
"""The most characters of a task id: ids are UUIDs, and a receiver keeps thousands of them."""
_TERMINAL = frozenset({WebhookEventName.TASK_COMPLETED, WebhookEventName.TASK_FAILED, WebhookEventName.TASK_CANCELED})
_BY_NAME = {str(name): name for name in WebhookEventName} | {"task.cancelled": WebhookEventName.TASK_CANCELED}
_BY_STATUS = {name.removeprefix("task."): event for name, event in _BY_NAME.items()}
_BY_STATUS["succeeded"] = WebhookEventName.TASK_COMPLETED


@attrs.frozen(repr=False)
class WebhookEvent(Value):
    """The event of a genuine delivery. It is a hint to read the task, not the task's state.

    *Source*: contract §7, observed: `taskId` is there, `event` may be; everything else is open.
    """

    event: WebhookEventName | str | None
    """What happened: a member of `WebhookEventName`, or a newer name. If the delivery doesn't name the event, it is
    taken from the delivery's `status`, GUESS(§7); None if that doesn't say either."""
    task_id: str
    """The task of the event."""
    payload: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    """The delivery's JSON, as it came."""

    @property
    def is_terminal(self) -> bool:
        """Whether the event says that the task has ended."""
        return self.event in _TERMINAL

    @property
    def may_be_terminal(self) -> bool:
        """Whether the task may have ended: False only if the event is known and says otherwise."""
        return self.is_terminal or self.event not in _BY_NAME


def read_event(body: bytes) -> WebhookEvent:
    """Read the event in the body of a genuine delivery, or raise a `WebhookPayloadError`."""
    payload = _load_object(body)
    task_id = payload.get("taskId")
    if not isinstance(task_id, str) or not task_id.strip() or len(task_id) > _LONGEST_ID:
        raise _payload_error(f"$.taskId must be a string of 1 to {_LONGEST_ID} characters", body)
    return WebhookEvent(_find_event(payload), task_id, payload)


def _load_object(body: bytes) -> dict[str, Any]:
    try:
        # Not by orjson, which reads some documents differently: the result must not depend on an extra.
        document = json.plain_loads(body.decode("utf-8-sig"))
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"no JSON: {error!s:.200}"
        raise _payload_error(f"the body is {reason}", body) from error
    if not json.is_object(document):
        raise _payload_error(f"the body is a JSON {type(document).__name__}, not an object", body)
    return document


def _find_event(payload: Mapping[str, Any]) -> WebhookEventName | str | None:
    name, status = payload.get("event"), payload.get("status")
    if isinstance(name, str) and name.strip():
        return _BY_NAME.get(name, name)
    return _BY_STATUS.get(status) if isinstance(status, str) else None


def _payload_error(reason: str, body: bytes) -> WebhookPayloadError:
    return WebhookPayloadError(f"a genuine delivery can't be read: {reason}", body=shorten(body))
