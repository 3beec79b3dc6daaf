"""`/health`: whether the service is up, outside the API and without a key.

*Source*: contract, section 1 (observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.answers import answer_json
from rebyte_async.emulator.router import Route

if TYPE_CHECKING:
    from aiohttp import web

    from rebyte_async.emulator.call import Call


async def get(call: Call) -> web.Response:
    """`GET /health`."""
    del call
    return answer_json({"status": "ok"})


ROUTES = (Route("GET", "/health", None, get),)
