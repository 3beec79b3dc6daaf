"""The errors that the package raises, in one tree under `RebyteError`.

The branches say where it failed. `ConfigurationError`: on the caller's side, and nothing was sent. `TransportError`: on
the way. `APIError`: the server refused the request or failed. `DecodeError`: the response can't be read. Every class
pickles, with its cause if that pickles, so that a process pool can return errors.

No message or attribute shows an API key, the query of a signed URL, or a page of HTML.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from rebyte_async.types import AgentComputer, TaskResult

__all__ = [
    "APIError",
    "AgentDisabledError",
    "AmbiguousRequestError",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "DecodeError",
    "EventTooLargeError",
    "InsufficientScopesError",
    "InternalServerError",
    "InvalidAPIKeyError",
    "InvalidRequestError",
    "JournalBusyError",
    "JournalError",
    "LimitExceededError",
    "MissingAPIKeyError",
    "MissingSignatureError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProvisionError",
    "RateLimitedError",
    "RebyteError",
    "RequestTimeoutError",
    "ServerError",
    "SignatureMismatchError",
    "StreamInterruptedError",
    "TaskCanceledError",
    "TaskFailedError",
    "TimestampToleranceError",
    "TransportError",
    "ValidationError",
    "WaitTimeoutError",
    "WebhookPayloadError",
    "WebhookVerificationError",
]


def _rebuild(
    cls: type[RebyteError], args: tuple[object, ...], state: dict[str, Any], cause: bytes | None
) -> RebyteError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    if cause is not None:
        error.__cause__ = pickle.loads(cause)  # noqa: S301 - the bytes are part of the same pickle
    return error


def _pickle_cause(cause: BaseException | None) -> bytes | None:
    """Pickle the cause if the bytes load again, else return None: some libraries' errors pickle but don't load."""
    if cause is None:
        return None
    try:
        data = pickle.dumps(cause)
        pickle.loads(data)  # noqa: S301 - just written above
    except Exception:  # noqa: BLE001 - whatever it raises, the error is pickled without its cause
        return None
    return data


class RebyteError(Exception):
    """The base of every error of this package."""

    task_id: str | None = None
    """The task that the error is about, where it is known."""
    uploaded: tuple[Any, ...] = ()
    """What a call with several upload sources had uploaded before it failed: the `FileRef`s of `files=` and
    `files.upload_all`, which can be attached as they are, or the `Artifact`s of `artifacts.upload`."""
    downloaded: tuple[Path, ...] = ()
    """The files that `artifacts.download_all` had saved before it failed."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        """What went wrong, in one line."""
        return str(self.args[0]) if self.args else ""

    @property
    def hint(self) -> str:
        """What to do about it, in a few words; empty where the message says all."""
        url = str(getattr(self, "url", ""))
        special = _HINTS_BY_URL.get((type(self), url.rpartition("/")[2]), "")
        return special or next((hint for kind, hint in _HINTS if isinstance(self, kind)), "")

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy(), _pickle_cause(self.__cause__))


class ConfigurationError(RebyteError):
    """The client can't be used like this: no API key, a refused base URL, a second event loop, a closed client."""


class ClientClosedError(ConfigurationError):
    """The client, or the session that it was given, is closed."""


class InvalidRequestError(ConfigurationError, ValueError):
    """An argument is invalid, such as an empty prompt or a dot as an id. Nothing was sent."""


class TransportError(RebyteError):
    """The request or its response was lost in the network."""

    def __init__(self, message: str = "", *, method: str = "", url: str = "", attempts: int = 1) -> None:
        super().__init__(message)
        self.method: str = method
        """The HTTP method, or an empty string where there was no single request."""
        self.url: str = url
        """The URL without its query."""
        self.attempts: int = attempts
        """How many attempts were made."""


class ConnectError(TransportError):
    """No connection could be made, so the server has not seen the request."""

    @property
    def hint(self) -> str:
        """What to do about it, in a few words."""
        verify_code = getattr(self.__cause__, "verify_code", None)
        return _PRIVATE_CA if verify_code in _UNKNOWN_AUTHORITY else super().hint


class RequestTimeoutError(TransportError, TimeoutError):
    """The server didn't respond in time. Also a builtin `TimeoutError`."""


class AmbiguousRequestError(TransportError):
    """A request that is not idempotent failed, and the server may have acted on it or not.

    The request was not repeated: that could start, and bill, a second agent. `__cause__` is the error that it failed
    with. Look for the effect, such as the newest tasks, before you send the request again.
    """


class StreamInterruptedError(TransportError):
    """An event stream, or the wait for a task, was given up before the turn had ended. The task is not affected."""

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        cursor: str | None = None,
        result: TaskResult | None = None,
        last_status: str | None = None,
        method: str = "GET",
        url: str = "",
        attempts: int = 1,
    ) -> None:
        super().__init__(message, method=method, url=url, attempts=attempts)
        self.task_id = task_id
        self.cursor: str | None = cursor
        """Where to continue: `client.tasks.events(task_id, after=cursor)`. None when no event had been delivered."""
        self.result: TaskResult | None = result
        """What had been delivered before."""
        self.last_status: str | None = last_status
        """The status that was read last, if it was given up because this package doesn't know that one; else None."""

    @property
    def hint(self) -> str:
        """What to do about it: continue at the cursor, or look at a status that is new."""
        return super().hint if self.last_status is None else _NEW_STATUS


class WaitTimeoutError(RebyteError, TimeoutError):
    """A wait took longer than its timeout. The task or agent computer itself is not affected. Also a `TimeoutError`."""

    def __init__(self, message: str = "", *, resource_id: str = "", last_status: str | None = None) -> None:
        super().__init__(message)
        self.resource_id: str = resource_id
        """The id of the task or agent computer that was waited for."""
        self.last_status: str | None = last_status
        """Its status when it was last read; None when it was never read."""


class APIError(RebyteError):
    """The server refused the request, or failed. The subclass is chosen by the error code, else by the status."""

    def __init__(
        self,
        status: int,
        code: str | None = None,
        message: str = "",
        method: str = "",
        url: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
        body: str | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.status: int = status
        """The HTTP status."""
        self.code: str | None = code
        """The server's error code (an open set); None when it sent none."""
        self.method: str = method
        """The HTTP method."""
        self.url: str = url
        """The URL without its query."""
        self.request_id: str | None = request_id
        """The server's id of the request; None when it sent none."""
        self.retry_after: float | None = retry_after
        """How long the server asks to wait, in seconds; None when it doesn't say."""
        self.body: str | None = body
        """The beginning of the response's body, at most 2,000 characters; None for a page of HTML."""
        self.attempts: int = attempts
        """How many attempts were made."""

    def __str__(self) -> str:
        where = f"{self.method} {self.url}: " if self.method else ""
        code = f" {self.code}" if self.code else ""
        extra = f" (request {self.request_id})" if self.request_id else ""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{where}{self.status}{code}: {self.message}{extra}{tries}"


class BadRequestError(APIError):
    """400, or another 4xx that has no own class: the server can't carry out the request as it is."""


class ValidationError(BadRequestError):
    """`validation_error`: the server found the request's body invalid."""


class LimitExceededError(BadRequestError):
    """`limit_exceeded`: the organization has reached a limit, such as three webhooks."""


class AuthenticationError(APIError):
    """401: the server didn't accept the API key."""


class MissingAPIKeyError(AuthenticationError):
    """`missing_api_key`: the request carried no API key."""


class InvalidAPIKeyError(AuthenticationError):
    """`invalid_api_key`: the API key is invalid or has expired."""


class PermissionDeniedError(APIError):
    """403: the server knows the API key, but the key may not do this."""


class InsufficientScopesError(PermissionDeniedError):
    """`insufficient_scopes`: the API key lacks a scope."""


class AgentDisabledError(PermissionDeniedError):
    """`agent_disabled`: the requested executor is disabled for the organization."""


class NotFoundError(APIError):
    """404: the resource doesn't exist, or the API key has no access to it."""


class ConflictError(APIError):
    """409: the resource's state doesn't allow this, such as an answer when no question is open."""


class RateLimitedError(APIError):
    """429: too many requests. `retry_after` is how long to wait, if the server says so."""


class ServerError(APIError):
    """5xx: the service, or a gateway in front of it, failed."""


class InternalServerError(ServerError):
    """`internal_error`, or a plain 500."""


class DecodeError(RebyteError):
    """A response or an event doesn't have the expected form."""

    def __init__(self, message: str = "", *, path: str = "$", body: str | None = None) -> None:
        super().__init__(message)
        self.path: str = path
        """Where in the JSON document the fault is: a JSON path such as `$.prompts[0].id`."""
        self.body: str | None = body
        """The beginning of the data that can't be read, at most 2,000 characters."""


class EventTooLargeError(DecodeError):
    """One event of a stream is larger than the limit of the parser."""


class TaskFailedError(RebyteError):
    """The task failed."""

    def __init__(self, message: str = "", *, result: TaskResult) -> None:
        super().__init__(message)
        self.task_id: str | None = result.task_id
        self.result: TaskResult = result
        """What the task had produced until then."""


class TaskCanceledError(RebyteError):
    """The task was canceled."""

    def __init__(self, message: str = "", *, result: TaskResult) -> None:
        super().__init__(message)
        self.task_id: str | None = result.task_id
        self.result: TaskResult = result
        """What the task had produced until then."""


class ProvisionError(RebyteError):
    """An agent computer could not be provisioned."""

    def __init__(self, message: str = "", *, computer: AgentComputer) -> None:
        super().__init__(message)
        self.computer: AgentComputer = computer
        """The agent computer when it was last read; its `provision_error` is the server's reason."""


class WebhookVerificationError(RebyteError):
    """A delivery is not proven to be genuine: respond with 401."""


class MissingSignatureError(WebhookVerificationError):
    """The delivery lacks a header that the verifier needs."""


class SignatureMismatchError(WebhookVerificationError):
    """The delivery's secret or signature is wrong."""


class TimestampToleranceError(WebhookVerificationError):
    """The delivery's timestamp is too far in the past or in the future."""


class WebhookPayloadError(RebyteError):
    """The body of a genuine delivery can't be read. Sending it again would not help, so respond with 200."""

    def __init__(self, message: str = "", *, body: str | None = None) -> None:
        super().__init__(message)
        self.body: str | None = body
        """The beginning of the data that can't be read, at most 2,000 characters."""


class BatchError(RebyteError):
    """The whole batch can't continue: two items have the same key, the service refuses the API key, a run was ended."""


class JournalError(BatchError):
    """The journal of a batch can't be used: it is damaged, no journal, of another version, or the disk is full."""


class JournalBusyError(JournalError):
    """The journal of a batch is in use by another process, or a second time by this one."""


_NEW_STATUS = "look at the task (client.tasks.get, or rebyte-async tasks get); a newer package may know the status"
_LOST_TASK = (
    "a task may be running: look at the newest ones before you start it again (client.tasks.list, or "
    "rebyte-async tasks list)"
)
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})
"""OpenSSL's codes of a certificate that no trusted authority has signed."""
_PRIVATE_CA = "if a proxy of your network signs certificates, trust its authority: ssl=FILE, or rebyte-async --ca FILE"
_HINTS: tuple[tuple[type[RebyteError], str], ...] = (
    (
        AmbiguousRequestError,
        _LOST_TASK,
    ),
    (StreamInterruptedError, "the task keeps running: client.tasks.events(task_id, after=error.cursor) continues"),
    (ConnectError, "check the network, its proxy, and base_url or REBYTE_BASE_URL"),
    (ClientClosedError, "make a new client, or keep this one open for longer"),
    (AuthenticationError, "check api_key or REBYTE_API_KEY"),
    (AgentDisabledError, "choose another executor, or have this one enabled for the organization"),
    (PermissionDeniedError, "the key may not do this"),
    (NotFoundError, "it doesn't exist, or not for this key"),
    (RateLimitedError, "try again later"),
)
"""What to do about an error; the first class that fits counts."""
_LOST_COMPUTER = (
    "a computer may have been made: look at them before you make another one (client.agent_computers.list, or "
    "rebyte-async computers list)"
)
_WRONG_ADDRESS = "it doesn't exist, or not for this key, or the address is wrong: rebyte-async doctor checks it"
_HINTS_BY_URL: dict[tuple[type[RebyteError], str], str] = {
    (AmbiguousRequestError, "agent-computers"): _LOST_COMPUTER,
    **{(NotFoundError, name): _WRONG_ADDRESS for name in ("tasks", "files", "webhooks", "agent-computers")},
}
"""The same by the last part of the URL as well. These collections always exist: a 404 there means a wrong address."""
