"""Every error that the package raises, in one tree under `RebyteError`.

The branches say where it broke: `ConfigurationError` is the caller's side and nothing was sent;
`TransportError` is the way between; `APIError` is the server's answer; `DecodeError` is an answer that can't be
read. Every class pickles, with its cause where that pickles too, so a worker pool can hand errors on.

No message or attribute shows an API key, the query of a signed URL, or a page of HTML.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rebyte_async.types import AgentComputer, TaskResult

__all__ = [
    "APIError",
    "AgentDisabledError",
    "AmbiguousRequestError",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
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


def _pickled(cause: BaseException | None) -> bytes | None:
    """The cause as bytes that are known to load again, or None: some libraries' errors pickle but don't load."""
    if cause is None:
        return None
    try:
        data = pickle.dumps(cause)
        pickle.loads(data)  # noqa: S301 - just written above
    except Exception:  # noqa: BLE001 - whatever it raises, the cause can't travel and the error still can
        return None
    return data


class RebyteError(Exception):
    """The root of every error of this package."""

    task_id: str | None = None
    """The task that it is about, where that is known."""
    uploaded: tuple[Any, ...] = ()
    """What was uploaded before a call with several sources failed: of `files=` and `files.upload_all` the `FileRef`s,
    which can be attached as they are; of `artifacts.upload` the `Artifact`s."""
    downloaded: tuple[Path, ...] = ()
    """The files that were complete before `artifacts.download_all` failed."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        """What went wrong, in one line."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy(), _pickled(self.__cause__))


class ConfigurationError(RebyteError):
    """The client can't be used like this: a missing key, a refused base URL, a second event loop, a closed client."""


class InvalidRequestError(ConfigurationError, ValueError):
    """An argument that can't be right, such as an empty prompt or a dot as an id. Nothing was sent."""


class TransportError(RebyteError):
    """The request or its answer didn't make it across the network."""

    def __init__(self, message: str = "", *, method: str = "", url: str = "", attempts: int = 1) -> None:
        super().__init__(message)
        self.method: str = method
        """The HTTP method, or an empty string where there was no single request."""
        self.url: str = url
        """The URL without its query."""
        self.attempts: int = attempts
        """How often the request was tried."""


class ConnectError(TransportError):
    """No connection could be made, so the server has seen nothing of the request."""


class RequestTimeoutError(TransportError, TimeoutError):
    """The server didn't answer in time. Also a builtin `TimeoutError`."""


class AmbiguousRequestError(TransportError):
    """A request that is not safe to repeat may or may not have reached the server.

    It was not repeated: repeating it could start, and bill, a second agent. `__cause__` is what happened. Look for
    the effect (such as the newest tasks) before sending it again.
    """


class StreamInterruptedError(TransportError):
    """An event stream was given up before its turn had ended. The remote task is not affected."""

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        cursor: str | None = None,
        result: TaskResult | None = None,
        method: str = "GET",
        url: str = "",
        attempts: int = 1,
    ) -> None:
        super().__init__(message, method=method, url=url, attempts=attempts)
        self.task_id = task_id
        self.cursor: str | None = cursor
        """Where to go on: `client.tasks.events(task_id, after=cursor)`. None when nothing had been delivered."""
        self.result: TaskResult | None = result
        """What had been delivered so far."""


class WaitTimeoutError(RebyteError, TimeoutError):
    """A wait ran out of its own time. The remote task or computer is not affected. Also a builtin `TimeoutError`."""

    def __init__(self, message: str = "", *, resource_id: str = "", last_status: str | None = None) -> None:
        super().__init__(message)
        self.resource_id: str = resource_id
        """The task or the agent computer that was waited for."""
        self.last_status: str | None = last_status
        """Its status as last read, or None when it was never read."""


class APIError(RebyteError):
    """The server refused the request, or failed at it. Subclasses by code, then by status."""

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
        """The server's error code (an open set), or None when it gave none."""
        self.method: str = method
        """The HTTP method."""
        self.url: str = url
        """The URL without its query."""
        self.request_id: str | None = request_id
        """The server's id for the request, when it gave one."""
        self.retry_after: float | None = retry_after
        """How long the server asks to wait, in seconds, when it said so."""
        self.body: str | None = body
        """The beginning of the answer's body, at most 2,000 characters; None where it was a page of HTML."""
        self.attempts: int = attempts
        """How often the request was tried."""

    def __str__(self) -> str:
        where = f"{self.method} {self.url}: " if self.method else ""
        code = f" {self.code}" if self.code else ""
        extra = f" (request {self.request_id})" if self.request_id else ""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{where}{self.status}{code}: {self.message}{extra}{tries}"


class BadRequestError(APIError):
    """400, or another 4xx without a class of its own: the request can't be carried out as it is."""


class ValidationError(BadRequestError):
    """`validation_error`: the request's body failed the server's validation."""


class LimitExceededError(BadRequestError):
    """`limit_exceeded`: a limit of the organization, such as three webhooks."""


class AuthenticationError(APIError):
    """401: the server didn't accept who is asking."""


class MissingAPIKeyError(AuthenticationError):
    """`missing_api_key`: the request carried no API key."""


class InvalidAPIKeyError(AuthenticationError):
    """`invalid_api_key`: the API key is invalid or has expired."""


class PermissionDeniedError(APIError):
    """403: the key is known but may not do this."""


class InsufficientScopesError(PermissionDeniedError):
    """`insufficient_scopes`: the key lacks a scope."""


class AgentDisabledError(PermissionDeniedError):
    """`agent_disabled`: the requested executor is disabled for the organization."""


class NotFoundError(APIError):
    """404: absent, or not accessible to this key."""


class ConflictError(APIError):
    """409: the resource is not in a state that allows this, such as an answer that nothing waits for."""


class RateLimitedError(APIError):
    """429: too many requests; `retry_after` says how long to wait, when the server said so."""


class ServerError(APIError):
    """5xx: the service, or a gateway before it, failed."""


class InternalServerError(ServerError):
    """`internal_error`, or a plain 500."""


class DecodeError(RebyteError):
    """An answer or an event that doesn't have the form it should have."""

    def __init__(self, message: str = "", *, path: str = "$", body: str | None = None) -> None:
        super().__init__(message)
        self.path: str = path
        """Where in the JSON document, as a JSON path such as `$.prompts[0].id`."""
        self.body: str | None = body
        """The beginning of what couldn't be read, at most 2,000 characters."""


class EventTooLargeError(DecodeError):
    """One event of a stream is larger than the parser's limit."""


class TaskFailedError(RebyteError):
    """A task that was run to its end failed."""

    def __init__(self, message: str = "", *, result: TaskResult) -> None:
        super().__init__(message)
        self.task_id: str | None = result.task_id
        self.result: TaskResult = result
        """What the task had produced."""


class TaskCanceledError(RebyteError):
    """A task that was run to its end was canceled."""

    def __init__(self, message: str = "", *, result: TaskResult) -> None:
        super().__init__(message)
        self.task_id: str | None = result.task_id
        self.result: TaskResult = result
        """What the task had produced."""


class ProvisionError(RebyteError):
    """An agent computer could not be provisioned."""

    def __init__(self, message: str = "", *, computer: AgentComputer) -> None:
        super().__init__(message)
        self.computer: AgentComputer = computer
        """The computer as last read; its `provision_error` is the server's reason."""


class WebhookVerificationError(RebyteError):
    """A delivery that can't be shown to be genuine: answer it with 401."""


class MissingSignatureError(WebhookVerificationError):
    """The delivery lacks a header that the verifier needs."""


class SignatureMismatchError(WebhookVerificationError):
    """The secret or the signature is not the right one."""


class TimestampToleranceError(WebhookVerificationError):
    """The delivery's timestamp is too far in the past or in the future."""


class WebhookPayloadError(RebyteError):
    """A genuine delivery whose body can't be read: sending it again would not help, so answer it with 200."""

    def __init__(self, message: str = "", *, body: str | None = None) -> None:
        super().__init__(message)
        self.body: str | None = body
        """The beginning of what couldn't be read, at most 2,000 characters."""


class BatchError(RebyteError):
    """A batch can't go on as a whole: two items with one key, a key that the service refuses, a run that was ended."""


class JournalError(BatchError):
    """A batch's journal can't be used: it is damaged, no journal, of a newer version, or its disk is full."""


class JournalBusyError(JournalError):
    """A batch's journal is in use by another process, or twice by this one."""
