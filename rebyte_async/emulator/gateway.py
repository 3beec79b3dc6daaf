"""Where every request comes in: it is logged, troubled by faults, let in or refused, and answered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from attrs import define

from rebyte_async.emulator import errors
from rebyte_async.emulator.artifacts.download import Download
from rebyte_async.emulator.auth import key_of, require_scope
from rebyte_async.emulator.errors import ApiError
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.base import RequestFault
from rebyte_async.emulator.responses import error_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async.emulator.connections import Connection
    from rebyte_async.emulator.faults.base import Answer
    from rebyte_async.emulator.log import Entry
    from rebyte_async.emulator.router import Route, Router
    from rebyte_async.emulator.service import State

_PREFIX = "/v1"


@define(eq=False)
class Gateway:
    """The request handler of one origin."""

    origin: str
    router: Router
    state: Callable[[], State]

    async def __call__(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        """Answer one request."""
        exchange = self._call(request, connection)
        exchange.state.exchanges.add(exchange)
        try:
            return await self._answer(exchange)
        except ConnectionError:
            return web.Response()  # nobody is there to get it
        except ApiError as refusal:
            return error_response(refusal)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a 500 and `check` raises it
            return _failed(exchange, error)
        finally:
            exchange.connection.on_lost = None
            exchange.state.exchanges.discard(exchange)
            exchange.entry.update(ended=True)

    def _call(self, request: web.BaseRequest, connection: Connection) -> Exchange:
        state, target = self.state(), request.rel_url.raw_path
        path = target.removeprefix(_PREFIX) if target.startswith(f"{_PREFIX}/") else target
        return Exchange(
            request=request,
            state=state,
            connection=connection,
            job=asyncio.current_task(),
            entry=self._log(request, state, path, connection),
            method=request.method,
            path=path,
            target=target,
            origin=self.origin,
        )

    def _log(self, request: web.BaseRequest, state: State, path: str, connection: Connection) -> Entry:
        peer: Any = request.transport.get_extra_info("peername") if request.transport else None
        return state.log.open(
            time=datetime.now(UTC),
            origin=self.origin,
            method=request.method,
            path=path,
            query=request.query,
            headers=request.headers,
            key=key_of(request.headers),
            connection=connection.number,
            peer_port=peer[1] if peer else 0,
        )

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        exchange.faults = await exchange.state.faults.decide(exchange)
        exchange.entry.update(faults=exchange.faults)
        response = await self._troubled(exchange)()
        if not response.prepared and not exchange.dropped:
            await exchange.drain()
            response.headers["X-Request-Id"] = exchange.request_id
            exchange.answered(response.status)
            if isinstance(response, Download):
                await response.send(exchange)
        return response

    def _troubled(self, exchange: Exchange) -> Answer:
        answer: Answer = partial(self._serve, exchange)
        for fault in reversed(exchange.faults):
            if isinstance(fault, RequestFault):
                answer = partial(fault.around, exchange, answer)
        return answer

    async def _serve(self, exchange: Exchange) -> web.StreamResponse:
        try:
            route, exchange.params = self.router.find(exchange.method, exchange.target)
            self._admit(exchange, route)
            return await route.handler(exchange)
        except ApiError as refusal:
            return error_response(refusal)

    def _admit(self, exchange: Exchange, route: Route) -> None:
        key = key_of(exchange.request.headers)
        if self.origin == "storage" and key is not None:
            raise errors.validation_error("An API key came to an origin that it isn't for.")
        if route.scope is None or exchange.request.query.get("pass") in exchange.state.read_tokens:
            return
        scopes = exchange.state.keys.admit(key)
        require_scope(scopes, route.scope)


def _failed(exchange: Exchange, error: Exception) -> web.StreamResponse:
    exchange.state.problems.append(error)
    if exchange.entry.record.status is not None:
        exchange.abort()  # a stream is under way, and has no other answer
    response = error_response(errors.internal_error())
    exchange.answered(response.status)
    return response
