"""Where every request comes in: it is logged, troubled by faults, let in or refused, and answered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from attrs import define

from rebyte_async.emulator import errors
from rebyte_async.emulator.answers import refuse
from rebyte_async.emulator.artifacts.download import Download
from rebyte_async.emulator.auth import key_of, require_scope
from rebyte_async.emulator.call import Call
from rebyte_async.emulator.errors import Refusal
from rebyte_async.emulator.hooks import RequestFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from rebyte_async.emulator.connections import Connection
    from rebyte_async.emulator.hooks import Answer
    from rebyte_async.emulator.log import Entry
    from rebyte_async.emulator.router import Route, Router
    from rebyte_async.emulator.world import World

_PREFIX = "/v1"


@define(eq=False)
class Gateway:
    """The request handler of one origin."""

    origin: str
    router: Router
    world: Callable[[], World]

    async def __call__(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        """Answer one request."""
        call = self._call(request, connection)
        call.world.calls.add(call)
        try:
            return await self._answer(call)
        except ConnectionError:
            return web.Response()  # nobody is there to get it
        except Refusal as refusal:
            return refuse(refusal)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a 500 and `check` raises it
            return _failed(call, error)
        finally:
            call.connection.on_lost = None
            call.world.calls.discard(call)
            call.entry.update(ended=True)

    def _call(self, request: web.BaseRequest, connection: Connection) -> Call:
        world, target = self.world(), request.rel_url.raw_path
        path = target.removeprefix(_PREFIX) if target.startswith(f"{_PREFIX}/") else target
        return Call(
            request=request,
            world=world,
            connection=connection,
            job=asyncio.current_task(),
            entry=self._log(request, world, path, connection),
            method=request.method,
            path=path,
            target=target,
            origin=self.origin,
        )

    def _log(self, request: web.BaseRequest, world: World, path: str, connection: Connection) -> Entry:
        peer: Any = request.transport.get_extra_info("peername") if request.transport else None
        return world.log.open(
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

    async def _answer(self, call: Call) -> web.StreamResponse:
        call.faults = await call.world.faults.decide(call)
        call.entry.update(faults=call.faults)
        response = await self._troubled(call)()
        if not response.prepared and not call.dropped:
            await call.drain()
            response.headers["X-Request-Id"] = call.request_id
            call.answered(response.status)
            if isinstance(response, Download):
                await response.send(call)
        return response

    def _troubled(self, call: Call) -> Answer:
        answer: Answer = partial(self._serve, call)
        for fault in reversed(call.faults):
            if isinstance(fault, RequestFault):
                answer = partial(fault.around, call, answer)
        return answer

    async def _serve(self, call: Call) -> web.StreamResponse:
        try:
            route, call.params = self.router.find(call.method, call.target)
            self._admit(call, route)
            return await route.handler(call)
        except Refusal as refusal:
            return refuse(refusal)

    def _admit(self, call: Call, route: Route) -> None:
        key = key_of(call.request.headers)
        if self.origin == "storage" and key is not None:
            raise errors.validation_error("An API key came to an origin that it isn't for.")
        if route.scope is None or call.request.query.get("pass") in call.world.passes:
            return
        scopes = call.world.keys.admit(key)
        require_scope(scopes, route.scope)


def _failed(call: Call, error: Exception) -> web.StreamResponse:
    call.world.problems.append(error)
    if call.entry.record.status is not None:
        call.abort()  # a stream is under way, and has no other answer
    response = refuse(errors.internal_error())
    call.answered(response.status)
    return response
