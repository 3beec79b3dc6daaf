"""Finding the endpoint for a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import unquote

from aiohttp import web
from attrs import Factory, define, field, frozen

from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.responses import not_found
from rebyte_async.emulator.service import State

Handler: TypeAlias = Callable[[State, Exchange], Awaitable[web.StreamResponse]]


@frozen
class Route:
    """An endpoint; each `{name}` in its path is one segment, which may contain an encoded slash."""

    method: str
    path: str
    scope: str | None
    """The scope that a key must have; None for an endpoint without a key."""
    handler: Handler
    _segments: tuple[str, ...] = field(
        init=False, default=Factory(lambda route: tuple(route.path.split("/")), takes_self=True)
    )

    def match(self, method: str, segments: list[str]) -> dict[str, str] | None:
        """Return the decoded parameters of the path, or None if the request isn't for this endpoint."""
        if method != self.method or len(segments) != len(self._segments):
            return None
        params: dict[str, str] = {}
        for pattern, segment in zip(self._segments, segments, strict=True):
            if pattern.startswith("{") and segment:
                params[pattern[1:-1]] = unquote(segment)
            elif pattern != segment:
                return None
        return params


@define
class Router:
    """All endpoints of an origin."""

    routes: tuple[Route, ...]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the endpoint for a request and the parameters of its path, or raise an `ApiError`."""
        segments = path.split("/")
        for route in self.routes:
            params = route.match(method, segments)
            if params is not None:
                return route, params
        raise not_found(f"{method} {path}")
