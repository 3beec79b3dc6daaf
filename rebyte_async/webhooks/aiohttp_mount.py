"""Requests of aiohttp's server. aiohttp itself is imported when one comes: then it is there anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.webhooks.incoming import Incoming, ReadError, extra_headers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from aiohttp import web

    from rebyte_async.webhooks.receipt import Receipt

__all__ = ["answer_aiohttp"]


async def answer_aiohttp(
    request: web.BaseRequest, take: Callable[[Incoming], Awaitable[Receipt]]
) -> web.StreamResponse:
    """Answer a request with what becomes of it."""
    from aiohttp import web  # noqa: PLC0415 - other servers' users don't need it

    url = f"{request.scheme}://{request.host}{request.raw_path}"
    incoming = Incoming(request.method, request.headers.items(), url, _chunks(request))
    try:
        receipt = await take(incoming)
    except ReadError:
        return web.Response(status=400)
    return web.Response(status=receipt.status, headers=extra_headers(receipt.status))


async def _chunks(request: web.BaseRequest) -> AsyncGenerator[bytes]:
    from aiohttp import ClientPayloadError, web  # noqa: PLC0415 - it is there already

    is_empty = True
    try:
        async for chunk in request.content.iter_any():
            is_empty = False
            yield chunk
        if is_empty:  # a middleware may have read it; aiohttp keeps what was read
            yield await request.read()
    except (web.RequestPayloadError, ClientPayloadError, ConnectionError) as error:
        raise ReadError from error
