"""The way of every request: it is logged, troubled by faults, authorized, and handled by its endpoint."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

from aiohttp import web
from attrs import Factory, define, field, frozen

from rebyte_async.emulator.artifacts.download import Download
from rebyte_async.emulator.auth import KEY_HEADERS, authorize
from rebyte_async.emulator.body import RequestBody
from rebyte_async.emulator.exchange import Connection, Exchange
from rebyte_async.emulator.faults.base import RequestFault, Respond, apply_faults
from rebyte_async.emulator.generators import now
from rebyte_async.emulator.responses import ApiError, error_response, not_found, storage_error, validation_error
from rebyte_async.emulator.service import State

_PREFIX = "/v1"
_CONTROL = "/__emulator__/"
"""What controls the emulator, which no fault troubles."""

Handler: TypeAlias = Callable[[State, Exchange], Awaitable[web.StreamResponse]]


@frozen
class Route:
    """An endpoint; each `{name}` in its path is one segment, which may contain an encoded slash."""

    method: str
    path: str
    scope: str | None
    """The scope that a key must have; None for an endpoint without a key."""
    handler: Handler
    pattern: re.Pattern[str] = field(
        init=False,
        default=Factory(lambda route: re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.path)), takes_self=True),
    )


@define(eq=False)
class Gateway:
    """Handles the requests to one origin."""

    origin: str
    routes: tuple[Route, ...]
    state: Callable[[], State]

    async def __call__(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        state = self.state()
        exchange = self._open(state, request, connection)
        state.open_exchanges.add(exchange)
        try:
            return await self._respond(state, exchange)
        except ConnectionError:
            return web.Response()  # the client is gone
        except ApiError as error:
            exchange.entry.update(status=error.status)
            return error_response(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a 500 and `check` raises it
            state.problems.append(error)
            if exchange.entry.record.status is not None:
                connection.abort()  # the response is being sent, and can't become another one
            exchange.entry.update(status=500)
            return error_response(ApiError(500, "internal_error", "Internal server error."))
        finally:
            connection.on_lost = None
            state.open_exchanges.discard(exchange)
            exchange.entry.update(ended=True)  # for a stream: when it is closed, not when its head is sent

    def refuse(self, request: web.BaseRequest, connection: Connection, reason: str) -> web.Response:
        """Log a request that can't be read, and make the response to it; its record has no method and no path."""
        entry = self._open(self.state(), request, connection).entry
        entry.update(method="", path="", status=400, ended=True)
        message = "The request can't be read: " + (reason.splitlines() or ["it isn't HTTP"])[0].rstrip(":. ") + "."
        if self.origin == "storage":
            response = storage_error(400, "BadRequest", message)
        else:
            response = error_response(validation_error(message))
        response.force_close()
        return response

    def _open(self, state: State, request: web.BaseRequest, connection: Connection) -> Exchange:
        target = request.rel_url.raw_path
        path = target.removeprefix(_PREFIX) if target.startswith(f"{_PREFIX}/") else target
        peer: Any = request.transport.get_extra_info("peername") if request.transport else None
        entry = state.log.open(
            time=now(),
            origin=self.origin,
            method=request.method,
            path=path,
            query=request.rel_url.query.copy(),
            headers=request.headers.copy(),
            key=next((request.headers[name] for name in KEY_HEADERS if name in request.headers), None),
            connection=connection.number,
            peer_port=peer[1] if peer else 0,
        )
        return Exchange(
            request=request,
            connection=connection,
            body=RequestBody(request, entry),
            entry=entry,
            path=path,
            origin=self.origin,
            origins=state.origins,
            issue_read_token=state.issue_read_token,
            sends_artifact_bytes=self.origin == "storage" or state.formats.artifact.redirect is None,
        )

    async def _respond(self, state: State, exchange: Exchange) -> web.StreamResponse:
        if not exchange.path.startswith(_CONTROL):
            exchange.faults = await state.faults.decide(exchange)
        exchange.entry.update(faults=exchange.faults)
        # Faults may replace a response that is complete. Streams send theirs while they are handled; a download is sent
        # only here, when no fault has replaced it.
        respond: Respond = partial(self._serve, state, exchange)
        for fault in reversed(exchange.faults):  # so that the fault that was added first is the outermost
            if isinstance(fault, RequestFault):
                respond = partial(fault.around, exchange, respond)
        response = await respond()
        if not response.prepared and not exchange.connection.is_dropped:
            await exchange.body.drain()
            response.headers["X-Request-Id"] = exchange.request_id
            exchange.entry.update(status=response.status)
            if isinstance(response, Download):
                await response.send(exchange, apply_faults(exchange.faults, "chunks", response.write))
        return response

    async def _serve(self, state: State, exchange: Exchange) -> web.StreamResponse:
        try:
            route, exchange.params = self._find_route(exchange.request.method, exchange.request.rel_url.raw_path)
            key = exchange.entry.record.key
            if self.origin == "storage" and key is not None:
                raise validation_error("An API key came to an origin that it isn't for.")
            if route.scope is not None and exchange.request.query.get("pass") not in state.read_tokens:
                authorize(state.keys, key, route.scope)
            return await route.handler(state, exchange)
        except ApiError as error:
            return error_response(error)

    def _find_route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self.routes:
            match = route.pattern.fullmatch(path)
            if match and method == route.method:
                return route, {name: unquote(segment) for name, segment in match.groupdict().items()}
        raise not_found(f"{method} {path}")
