"""The errors with which the service refuses requests."""

from __future__ import annotations


class ApiError(Exception):
    """The service responds with an error in the API's envelope.

    *Source*: contract §1, documented
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


def missing_api_key() -> ApiError:
    """No key came with the request."""
    return ApiError(401, "missing_api_key", "The API_KEY header is missing.")


def invalid_api_key() -> ApiError:
    """The service doesn't know the key."""
    return ApiError(401, "invalid_api_key", "The API key is invalid or expired.")


def insufficient_scopes(scope: str) -> ApiError:
    """The key lacks a scope."""
    return ApiError(403, "insufficient_scopes", f"The API key lacks the scope {scope}.")


def agent_disabled(executor: str) -> ApiError:
    """The organization doesn't use this executor."""
    return ApiError(403, "agent_disabled", f"The executor {executor} is disabled for this organization.")


def validation_error(message: str) -> ApiError:
    """The request isn't as the contract has it."""
    return ApiError(400, "validation_error", message)


def limit_exceeded(message: str) -> ApiError:
    """The organization has as many as it may have."""
    return ApiError(400, "limit_exceeded", message)


def not_found(kind: str) -> ApiError:
    """The service has no such thing, or it belongs to another key."""
    return ApiError(404, "not_found", f"{kind} not found.")


def conflict(message: str) -> ApiError:
    """The request came too late. GUESS(§3): the code; only the status was observed."""
    return ApiError(409, "conflict", message)


def internal_error() -> ApiError:
    """The service itself failed."""
    return ApiError(500, "internal_error", "Internal server error.")
