"""Finding the endpoint for a request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias
from urllib.parse import unquote

from aiohttp import web
from attrs import Factory, field, frozen

from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.responses import not_found
from rebyte_async.emulator.service import State

Handler: TypeAlias = Callable[[State, Exchange], Awaitable[web.StreamResponse]]


def _compile(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.path))


@frozen
class Route:
    """An endpoint; each `{name}` in its path is one segment, which may contain an encoded slash."""

    method: str
    path: str
    scope: str | None
    """The scope that a key must have; None for an endpoint without a key."""
    handler: Handler
    pattern: re.Pattern[str] = field(init=False, default=Factory(_compile, takes_self=True))


def find_route(routes: Iterable[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the endpoint for a request and the decoded parameters of its path, or raise an `ApiError`."""
    for route in routes:
        match = route.pattern.fullmatch(path)
        if match and method == route.method:
            return route, {name: unquote(segment) for name, segment in match.groupdict().items()}
    raise not_found(f"{method} {path}")
