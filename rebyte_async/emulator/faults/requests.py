"""Faults of requests as a whole: the response is late, wrong, elsewhere, or doesn't come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from aiohttp import web
from attrs import evolve, field, frozen

from rebyte_async.emulator.body import is_array, is_object
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.base import Respond
from rebyte_async.emulator.faults.registry import STORAGE, Match
from rebyte_async.emulator.frames import Done, Frame, FrameSink
from rebyte_async.emulator.responses import ApiError, access_denied, error_response, json_response, not_found, read_json

_CODES = {
    400: "validation_error",
    401: "invalid_api_key",
    403: "insufficient_scopes",
    404: "not_found",
    409: "conflict",
    429: "rate_limited",
}
_PAGE = """<!DOCTYPE html>
<html><head><title>{status} {phrase}</title></head>
<body><center><h1>{status} {phrase}</h1></center><hr><center>gateway</center></body></html>
"""


@frozen
class Delay:
    """The response is late. The request is processed even if the client gives up waiting."""

    seconds: float
    """How many seconds it is late."""
    when: Literal["before", "after"] = "before"
    """Whether the delay is `before` the request is processed, or `after`."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        await exchange.body.read()
        if self.when == "after":
            response = await respond()
            await asyncio.sleep(self.seconds)
            return response
        await asyncio.sleep(self.seconds)
        return await respond()


@frozen
class Drop:
    """The connection breaks, and no response comes."""

    when: Literal["before", "after"] = "before"
    """`before`: the request is neither read nor processed; `after`: it is processed, and only the response is lost."""
    reset: bool = True
    """Whether the connection is reset, or closed in an orderly way."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        if self.when == "after":
            await respond()
            await exchange.body.drain()
        exchange.connection.abort(reset=self.reset)
        return web.Response()


@frozen
class Status:
    """An error in the API's envelope comes instead of the response."""

    status: int
    """The HTTP status."""
    code: str | None = None
    """The error's code; None for the usual one of the status."""
    message: str = "A fault was injected."
    """The error's message."""
    headers: Mapping[str, str] = field(factory=dict[str, str], kw_only=True, hash=False)
    """Further headers, such as `Retry-After`."""
    when: Literal["before", "after"] = field(default="before", kw_only=True)
    """`before`: the request isn't processed; `after`: it is, and only the response is replaced."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange
        if self.when == "after":
            await respond()
        code = self.code or _CODES.get(self.status, "internal_error")
        response = error_response(ApiError(self.status, code, self.message))
        response.headers.update(self.headers)
        return response


@frozen
class HtmlPage:
    """A gateway's HTML page comes instead of the response, and the request never reaches the service."""

    status: int = 503
    """The HTTP status."""
    headers: Mapping[str, str] = field(factory=dict[str, str], kw_only=True, hash=False)
    """Further headers, such as `Retry-After`."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange, respond
        page = _PAGE.format(status=self.status, phrase=HTTPStatus(self.status).phrase)
        return web.Response(text=page, status=self.status, content_type="text/html", headers=self.headers)


@frozen
class EmptyBody:
    """The request is processed, and the right status comes without a body."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange
        response = await respond()
        return response if response.prepared else web.Response(status=response.status)


@frozen
class BrokenBody:
    """The request is processed, and the right status comes with another body."""

    body: bytes = b'{"id": "3f'
    """The body."""
    content_type: str = "application/json"
    """The content type that is claimed for it."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange
        response = await respond()
        broken = web.Response(body=self.body, status=response.status, content_type=self.content_type)
        return response if response.prepared else broken


@frozen
class Reply:
    """Any JSON comes instead of the response, and the request isn't processed: such as a cancel that is lost."""

    data: Any = field(hash=False)
    """The JSON."""
    status: int = 200
    """The HTTP status."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange, respond
        return json_response(self.data, self.status)


@frozen
class Redirect:
    """The response is a redirect, and the request isn't processed here."""

    status: int = 307
    """The HTTP status, any of 3xx."""
    origin: Literal["api", "storage"] = "api"
    """`api`: the same address once more; `storage`: the same path on the emulator's other origin, with a query that
    lets the client read it there without a key."""
    to: str | None = None
    """The `Location` itself, absolute or not, instead of one made from `origin`."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del respond
        target = exchange.request.rel_url
        if self.origin == "storage" and self.to is None:
            target = target.update_query({"pass": exchange.issue_read_token()})
        location = self.to or f"{exchange.origins[self.origin]}{target}"
        return web.Response(status=self.status, headers={"Location": location})


@frozen
class ExpiredUrl:
    """A signed URL has expired before it is used: 403, in the storage's XML."""

    where: ClassVar[Match] = STORAGE

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange, respond
        return access_denied("The URL has expired.")


@frozen
class ReadLag:
    """A task that was just created isn't found yet; the rule's `times` counts for each path separately."""

    where: ClassVar[Match] = Match("GET", r"/tasks/[^/]+(/events|/content)?", per_path=True)

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange, respond
        return error_response(not_found("Task"))


@frozen
class Rewrite:
    """A function changes the JSON of the response."""

    change: Callable[[Any], Any]
    """Takes the JSON, which it may change in place, and returns the JSON to send instead."""

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        del exchange
        response = await respond()
        data = None if response.prepared else read_json(response)
        return response if data is None else json_response(self.change(data), response.status)


@frozen
class EagerCompletedAt:
    """Running prompts have a `completedAt` already, equal to their `submittedAt`."""

    where: ClassVar[Match] = Match("GET", r"/tasks/[^/]+(/content)?")

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        return await Rewrite(_set_completed_at).around(exchange, respond)


@frozen
class Respell:
    """A status is spelled differently, in responses and in the last frames of streams."""

    old: str = "canceled"
    """The status as it should be."""
    new: str = "cancelled"
    """The status as it is sent."""

    where: ClassVar[Match] = Match(None, r"/tasks/.*")

    async def around(self, exchange: Exchange, respond: Respond) -> web.StreamResponse:
        return await Rewrite(self._respell).around(exchange, respond)

    def frames(self, sink: FrameSink) -> FrameSink:
        async def send(frame: Frame) -> None:
            await sink(evolve(frame, data=self._respell(frame.data)) if isinstance(frame, Done) else frame)

        return send

    def _respell(self, data: Any) -> Any:
        if is_object(data):
            if data.get("status") == self.old:
                data = {**data, "status": self.new}
            return {name: self._respell(value) for name, value in data.items()}
        if is_array(data):
            return [self._respell(item) for item in data]
        return data


def _set_completed_at(data: dict[str, Any]) -> dict[str, Any]:
    for prompt in data["prompts"]:
        prompt["completedAt"] = prompt["completedAt"] or prompt["submittedAt"]
    return data
