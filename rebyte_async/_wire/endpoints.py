"""The operations of the API as values: method, path, and what a lost response permits.

A path that the contract grades below documented says so beside it.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from attrs import frozen

from rebyte_async.errors import InvalidRequestError

__all__ = ["API_KEY_HEADER", "DEFAULT_BASE_URL", "NO_HEADER_HOLDS", "Endpoint"]

DEFAULT_BASE_URL = "https://api.rebyte.ai/v1"
API_KEY_HEADER = "API_KEY"
NO_HEADER_HOLDS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""The control characters that no header's value may hold."""
_UNRESERVED = re.compile(r"[A-Za-z0-9_-]+")
"""What stands for itself in a path, without the dot, which may not stand alone."""


@frozen
class Endpoint:
    """One operation of the API, and what may be done when its answer is lost."""

    method: str
    template: str
    """The path under the base URL, with `{names}` for the ids."""
    idempotent: bool = True
    """Whether the request may reach the server twice. Those that may not start something that costs money."""
    success_on_retry: frozenset[int] = frozenset()
    """The statuses that mean success on a repeat after a lost answer: the first attempt had done it."""

    def path(self, **ids: str) -> str:
        """The path with each id percent-encoded as one segment.

        Raises:
            InvalidRequestError: An id is empty, no string, or a dot segment that would change the path.
        """
        return self.template.format_map({name: _segment(name, value) for name, value in ids.items()})


def _segment(name: str, value: object) -> str:
    if isinstance(value, str) and _UNRESERVED.fullmatch(value):
        return value  # as nearly all ids are
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(f"{name} must be a string that isn't empty, not {value!r:.80}")
    if value in {".", ".."}:
        raise InvalidRequestError(f"{name} must not be the dot segment {value!r}: it would name another resource")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{name} holds a lone surrogate, which no URL can carry: {value!r:.80}") from error


# Tasks and prompts: contract §3.
CREATE_TASK = Endpoint("POST", "/tasks", idempotent=False)
LIST_TASKS = Endpoint("GET", "/tasks")
GET_TASK = Endpoint("GET", "/tasks/{task_id}")
DELETE_TASK = Endpoint("DELETE", "/tasks/{task_id}", success_on_retry=frozenset({404}))
CREATE_PROMPT = Endpoint("POST", "/tasks/{task_id}/prompts", idempotent=False)
CANCEL_TASK = Endpoint("POST", "/tasks/{task_id}/cancel")  # cancelling twice is harmless: guess
SET_VISIBILITY = Endpoint("PATCH", "/tasks/{task_id}/visibility")
STREAM_EVENTS = Endpoint("GET", "/tasks/{task_id}/events")
GET_CONTENT = Endpoint("GET", "/tasks/{task_id}/content")  # observed
LIST_PROMPT_EVENTS = Endpoint("GET", "/tasks/{task_id}/prompts/{prompt_id}/events")  # observed
ANSWER_QUESTION = Endpoint("POST", "/tasks/{task_id}/answer", success_on_retry=frozenset({409}))  # observed

# Agent computers: contract §2.
CREATE_AGENT_COMPUTER = Endpoint("POST", "/agent-computers", idempotent=False)
LIST_AGENT_COMPUTERS = Endpoint("GET", "/agent-computers")
GET_AGENT_COMPUTER = Endpoint("GET", "/agent-computers/{computer_id}")
UPDATE_AGENT_COMPUTER = Endpoint("PATCH", "/agent-computers/{computer_id}")  # observed
DELETE_AGENT_COMPUTER = Endpoint(
    "DELETE", "/agent-computers/{computer_id}", success_on_retry=frozenset({404})
)  # observed

# Files: contract §5.
CREATE_FILE = Endpoint("POST", "/files")

URL_EXPIRED = frozenset({400, 401, 403, 404, 410})
"""What a signed URL may answer when it has expired or is refused: unknown, so for any of these one new URL is tried."""

# Artifacts: contract §6. The paths are documented, every shape is a guess.
LIST_ARTIFACTS = Endpoint("GET", "/workspaces/{workspace_id}/artifacts")
GET_ARTIFACT = Endpoint("GET", "/workspaces/{workspace_id}/artifacts/{filename}")
UPLOAD_ARTIFACTS = Endpoint("POST", "/workspaces/{workspace_id}/artifacts")
CREATE_UPLOAD_URLS = Endpoint("POST", "/workspaces/{workspace_id}/artifacts/upload-url")
DELETE_ARTIFACT = Endpoint(
    "DELETE", "/workspaces/{workspace_id}/artifacts/{filename}", success_on_retry=frozenset({404})
)
DELETE_ARTIFACTS = Endpoint("DELETE", "/workspaces/{workspace_id}/artifacts", success_on_retry=frozenset({404}))

# Webhooks: contract §7. Registering a URL again gives the webhook that is there, so it may be repeated.
CREATE_WEBHOOK = Endpoint("POST", "/webhooks")
LIST_WEBHOOKS = Endpoint("GET", "/webhooks")
GET_WEBHOOK = Endpoint("GET", "/webhooks/{webhook_id}")
DELETE_WEBHOOK = Endpoint("DELETE", "/webhooks/{webhook_id}", success_on_retry=frozenset({404}))
GET_PUBLIC_KEY = Endpoint("GET", "/webhooks/public_key")

HEALTH_PATH = "/health"  # at the host's root, without a key: observed
