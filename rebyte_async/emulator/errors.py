"""The answers with which the service refuses a request."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is an answer and no failure of the emulator
    """A request is answered with the API's error envelope.

    *Source*: contract, section 1 (documented).
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def envelope(code: str, message: str) -> dict[str, dict[str, str]]:
    """The body of every error."""
    return {"error": {"code": code, "message": message}}


def missing_api_key() -> Refusal:
    """No key came with the request."""
    return Refusal(401, "missing_api_key", "The API_KEY header is missing.")


def invalid_api_key() -> Refusal:
    """The key is none of this service's."""
    return Refusal(401, "invalid_api_key", "The API key is invalid or expired.")


def insufficient_scopes(scope: str) -> Refusal:
    """The key may not do this."""
    return Refusal(403, "insufficient_scopes", f"The API key lacks the scope {scope}.")


def agent_disabled(executor: str) -> Refusal:
    """The organization doesn't use this executor."""
    return Refusal(403, "agent_disabled", f"The executor {executor} is disabled for this organization.")


def validation_error(message: str) -> Refusal:
    """The request doesn't say what it must."""
    return Refusal(400, "validation_error", message)


def limit_exceeded(message: str) -> Refusal:
    """The organization has as much as it may have."""
    return Refusal(400, "limit_exceeded", message)


def not_found(what: str) -> Refusal:
    """There is no such thing, or it isn't this key's."""
    return Refusal(404, "not_found", f"{what} not found.")


def conflict(message: str) -> Refusal:
    """The request came too late (the code is a guess: only the status was observed)."""
    return Refusal(409, "conflict", message)


def internal_error() -> Refusal:
    """The service itself failed."""
    return Refusal(500, "internal_error", "Internal server error.")
