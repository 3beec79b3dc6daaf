"""API keys and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async.emulator import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS = ("API_KEY", "api-key", "x-api-key")


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key that came with a request, under any of the names that the service takes."""
    return next((headers[name] for name in _HEADERS if name in headers), None)


@frozen
class Keys:
    """The keys that exist, and their scopes (None: all of them)."""

    scopes: dict[str, frozenset[str] | None] = field(factory=dict[str, frozenset[str] | None])

    def add(self, key: str, scopes: frozenset[str] | None) -> None:
        """Let a key in."""
        self.scopes[key] = scopes

    def admit(self, key: str | None) -> frozenset[str] | None:
        """The scopes of a key that came with a request.

        Raises:
            ApiError: There is no key, or nobody made it.
        """
        if not key:
            raise errors.missing_api_key()
        if key not in self.scopes:
            raise errors.invalid_api_key()
        return self.scopes[key]


def require_scope(scopes: frozenset[str] | None, scope: str) -> None:
    """Refuse what a key may not do.

    Raises:
        ApiError: The scope is not among the key's.
    """
    if scopes is not None and scope not in scopes:
        raise errors.insufficient_scopes(scope)
