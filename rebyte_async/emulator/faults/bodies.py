"""Answers whose body isn't what it should be."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.faults.base import Answer

__all__ = ["BrokenBody", "EmptyBody", "HtmlPage"]

_PAGE = """<!DOCTYPE html>
<html><head><title>{status} {phrase}</title></head>
<body><center><h1>{status} {phrase}</h1></center><hr><center>gateway</center></body></html>
"""


@frozen
class HtmlPage:
    """A gateway's page instead of an answer: the request never reached the service."""

    status: int = 503
    """The HTTP status."""
    headers: Mapping[str, str] = field(factory=dict[str, str], kw_only=True)
    """Further headers, such as `Retry-After`."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the page."""
        del answer
        await exchange.drain()
        page = _PAGE.format(status=self.status, phrase=HTTPStatus(self.status).phrase)
        return web.Response(text=page, status=self.status, content_type="text/html", headers=self.headers)


@frozen
class EmptyBody:
    """The request is processed, and the right status comes without a body."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with nothing but the status."""
        del exchange
        response = await answer()
        return response if response.prepared else web.Response(status=response.status)


@frozen
class BrokenBody:
    """The request is processed, and the right status comes with another body."""

    body: bytes = b'{"id": "3f'
    """The body."""
    content_type: str = "application/json"
    """What it claims to be."""

    async def around(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """Answer with the right status and the wrong body."""
        del exchange
        response = await answer()
        if response.prepared:
            return response
        return web.Response(body=self.body, status=response.status, content_type=self.content_type)
