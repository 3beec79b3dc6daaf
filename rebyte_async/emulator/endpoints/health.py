"""`/health`: whether the service is up, outside the API and without a key.

*Source*: contract, section 1 (observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.responses import json_response
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.exchange import Exchange


async def get(exchange: Exchange) -> web.Response:
    """`GET /health`."""
    del exchange
    return json_response({"status": "ok"})


ROUTES = (Route("GET", "/health", None, get),)
