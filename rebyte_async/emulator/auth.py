"""API keys and their scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async.emulator.responses import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS = ("API_KEY", "api-key", "x-api-key")


def read_key(headers: Mapping[str, str]) -> str | None:
    """Return the key that came with a request, under any of the header names that the service accepts."""
    return next((headers[name] for name in _HEADERS if name in headers), None)


@frozen
class KeyRing:
    """The keys that exist, each with its scopes (None: all of them)."""

    scopes: dict[str, frozenset[str] | None] = field(factory=dict[str, frozenset[str] | None])

    def add(self, key: str, scopes: frozenset[str] | None) -> None:
        """Accept a key from now on."""
        self.scopes[key] = scopes

    def authorize(self, key: str | None, scope: str) -> None:
        """Raise an `ApiError` unless the key exists and has the scope."""
        if not key:
            raise ApiError(401, "missing_api_key", "The API_KEY header is missing.")
        if key not in self.scopes:
            raise ApiError(401, "invalid_api_key", "The API key is invalid or expired.")
        scopes = self.scopes[key]
        if scopes is not None and scope not in scopes:
            raise ApiError(403, "insufficient_scopes", f"The API key lacks the scope {scope}.")
