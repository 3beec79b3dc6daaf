"""The operations of the API as values: method, path, and what may be done when a response is lost.

What the contract grades below documented says so beside its line.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from attrs import frozen

from rebyte_async._validate import text
from rebyte_async.errors import InvalidRequestError

DEFAULT_BASE_URL = "https://api.rebyte.ai/v1"
API_KEY_HEADER = "API_KEY"
NOT_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""The control characters that the value of a header can't have."""
_METHOD = re.compile(r"[A-Z]+")
_PATH = re.compile(r"/(?!/)(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|(?<!^)/(?!/))*")
"""An absolute path that a URL can hold as it is, which names no host: it doesn't begin with two slashes."""
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[Ee]){1,2}(?:/|$)")
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""The methods that do the same twice as once (RFC 9110, section 9.2.2)."""
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
"""An id that needs no encoding. The dot isn't in it: a segment of dots alone would change the path."""


@frozen
class Endpoint:
    """One operation of the API, and what may be done when its response is lost."""

    method: str
    template: str
    """The path under the base URL, with `{names}` for the ids."""
    idempotent: bool = True
    """Whether the request may reach the server twice without harm, which one that starts something paid may not."""
    success_on_retry: frozenset[int] = frozenset()
    """The statuses that mean success after a response was lost: the first attempt had already done it."""

    def path(self, **ids: str) -> str:
        """Return the path, with each id percent-encoded as one segment; refuse ids that can't be one."""
        return self.template.format_map({name: _encode_segment(name, value) for name, value in ids.items()})


def custom_endpoint(method: object, path: object, *, is_repeatable: bool | None = None) -> Endpoint:
    """Return the operation of a method and a path that this package has no call for; refuse what can't be one."""
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise InvalidRequestError(f"method must be an HTTP method in capitals, such as 'GET', not {method!r:.80}")
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        what = "a path below base_url, such as '/tasks', percent-encoded and without a query (give it as query=)"
        raise InvalidRequestError(f"path must be {what}, not {path!r:.80}")
    if _DOT_SEGMENT.search(path):
        raise InvalidRequestError(f"path must have no dot segment: {path!r:.80} would lead elsewhere")
    return Endpoint(method, path, method in _REPEATABLE if is_repeatable is None else is_repeatable)


def _encode_segment(name: str, value: object) -> str:
    if isinstance(value, str) and _PLAIN_SEGMENT.fullmatch(value):
        return value  # as nearly all ids are
    segment = text(name, value)
    if segment in {".", ".."}:
        raise InvalidRequestError(f"{name} must not be the dot segment {value!r}: it would name another resource")
    try:
        return quote(segment, safe="")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{name} holds a lone surrogate, which no URL can carry: {value!r:.80}") from error


_NOT_FOUND = frozenset({404})
_CONFLICT = frozenset({409})

# Tasks and prompts: contract §3.
CREATE_TASK = Endpoint("POST", "/tasks", idempotent=False)
LIST_TASKS = Endpoint("GET", "/tasks")
GET_TASK = Endpoint("GET", "/tasks/{task_id}")
DELETE_TASK = Endpoint("DELETE", "/tasks/{task_id}", success_on_retry=_NOT_FOUND)
CREATE_PROMPT = Endpoint("POST", "/tasks/{task_id}/prompts", idempotent=False)
CANCEL_TASK = Endpoint("POST", "/tasks/{task_id}/cancel")  # GUESS(§3): cancelling twice is harmless
SET_VISIBILITY = Endpoint("PATCH", "/tasks/{task_id}/visibility")
STREAM_EVENTS = Endpoint("GET", "/tasks/{task_id}/events")
GET_CONTENT = Endpoint("GET", "/tasks/{task_id}/content")  # observed
LIST_PROMPT_EVENTS = Endpoint("GET", "/tasks/{task_id}/prompts/{prompt_id}/events")  # observed
ANSWER_QUESTION = Endpoint("POST", "/tasks/{task_id}/answer", success_on_retry=_CONFLICT)  # observed

# Agent computers: contract §2.
CREATE_AGENT_COMPUTER = Endpoint("POST", "/agent-computers", idempotent=False)
LIST_AGENT_COMPUTERS = Endpoint("GET", "/agent-computers")
GET_AGENT_COMPUTER = Endpoint("GET", "/agent-computers/{computer_id}")
UPDATE_AGENT_COMPUTER = Endpoint("PATCH", "/agent-computers/{computer_id}")  # observed
DELETE_AGENT_COMPUTER = Endpoint("DELETE", "/agent-computers/{computer_id}", success_on_retry=_NOT_FOUND)  # observed

# Files: contract §5.
CREATE_FILE = Endpoint("POST", "/files")

URL_EXPIRED = frozenset({400, 401, 403, 404, 410})
"""The statuses with which a storage may refuse an expired URL; after any of these one new URL is tried. GUESS(§5)"""

# Artifacts: contract §6. The paths are documented; the bodies are GUESS(§6).
LIST_ARTIFACTS = Endpoint("GET", "/workspaces/{workspace_id}/artifacts")
GET_ARTIFACT = Endpoint("GET", "/workspaces/{workspace_id}/artifacts/{filename}")
UPLOAD_ARTIFACTS = Endpoint("POST", "/workspaces/{workspace_id}/artifacts")
CREATE_UPLOAD_URLS = Endpoint("POST", "/workspaces/{workspace_id}/artifacts/upload-url")
DELETE_ARTIFACT = Endpoint("DELETE", "/workspaces/{workspace_id}/artifacts/{filename}", success_on_retry=_NOT_FOUND)
DELETE_ARTIFACTS = Endpoint("DELETE", "/workspaces/{workspace_id}/artifacts", success_on_retry=_NOT_FOUND)

# Webhooks: contract §7. Registering a URL that is registered returns its webhook, but one client saw a second one.
# GUESS(§7): documented, but one client saw otherwise.
CREATE_WEBHOOK = Endpoint("POST", "/webhooks", idempotent=False)
LIST_WEBHOOKS = Endpoint("GET", "/webhooks")
GET_WEBHOOK = Endpoint("GET", "/webhooks/{webhook_id}")
DELETE_WEBHOOK = Endpoint("DELETE", "/webhooks/{webhook_id}", success_on_retry=_NOT_FOUND)
GET_PUBLIC_KEY = Endpoint("GET", "/webhooks/public_key")

HEALTH_PATH = "/health"
"""The path at the host's root, asked without a key: observed."""
