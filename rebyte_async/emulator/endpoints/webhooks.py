"""`/webhooks`: register, list, read and delete webhooks, and the key of their signatures.

*Source*: contract, section 7.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from aiohttp import web
from yarl import URL

from rebyte_async.emulator import errors
from rebyte_async.emulator.responses import empty_response, json_response
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.webhooks import Webhook
from rebyte_async.emulator.webhooks.announce import EVENTS
from rebyte_async.emulator.webhooks.key import NoCryptography
from rebyte_async.emulator.webhooks.loopback import is_loopback

if TYPE_CHECKING:
    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.service import State

_LONGEST_TEXT = 500
_MOST_WEBHOOKS = 3


async def create(exchange: Exchange) -> web.Response:
    """`POST /webhooks`: the same URL once more is the webhook that exists (what its status is, is a guess)."""
    state, webhook = exchange.state, _make(exchange.state, await exchange.body())
    existing = next((other for other in state.webhooks.oldest_first() if other.url == webhook.url), None)
    if existing is not None and state.webhook_format.again == "existing":
        return json_response(existing.written())
    if existing is not None and state.webhook_format.again == "conflict":
        raise errors.conflict("There is a webhook for this URL.")
    if len(state.webhooks.oldest_first()) >= _MOST_WEBHOOKS:
        raise errors.limit_exceeded(f"An organization has at most {_MOST_WEBHOOKS} webhooks.")
    state.webhooks.add(webhook)
    return json_response(webhook.written(), 201)


async def list_webhooks(exchange: Exchange) -> web.Response:
    """`GET /webhooks`: all of them."""
    field, items = (
        exchange.state.webhook_format.items,
        [hook.written() for hook in exchange.state.webhooks.oldest_first()],
    )
    return json_response(items if field is None else {field: items})


async def get(exchange: Exchange) -> web.Response:
    """`GET /webhooks/:id`."""
    return json_response(_webhook(exchange).written())


async def delete(exchange: Exchange) -> web.Response:
    """`DELETE /webhooks/:id`: what wasn't delivered by then never is."""
    webhook = _webhook(exchange)
    webhook.is_deleted = True
    exchange.state.webhooks.remove(webhook)
    while webhook.held_back:
        webhook.held_back.pop().entry.settle("dropped")
    return empty_response()


async def public_key(exchange: Exchange) -> web.Response:
    """`GET /webhooks/public_key` (how the key is written is a guess)."""
    form = exchange.state.webhook_format
    try:
        pem = await exchange.state.webhook_key.public_pem()
    except NoCryptography:
        message = "The emulator signs nothing without `cryptography`: install rebyte-async[webhooks]."
        raise errors.ApiError(501, "not_implemented", message) from None
    key = base64.b64encode(pem.encode()).decode() if form.public_key_base64 else pem
    return web.Response(text=key) if form.public_key is None else json_response({form.public_key: key})


def _webhook(exchange: Exchange) -> Webhook:
    return exchange.state.webhooks.get(exchange.params["webhook_id"])


def _make(state: State, body: Body) -> Webhook:
    return Webhook(
        number=state.webhooks.next_number(),
        url=_url(body),
        events=_events(body),
        description=body.optional_text("description", longest=_LONGEST_TEXT),
        secret=body.optional_text("secret", longest=_LONGEST_TEXT),
        id=state.ids.uuid(),
        created_at=state.clock(),
    )


def _url(body: Body) -> str:
    text = body.text("url")
    try:
        url = URL(text)
    except ValueError:
        raise errors.validation_error("url must be a URL.") from None
    if url.host is None or (url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host))):
        raise errors.validation_error("url must be an https URL (for the emulator: or http on a loopback host).")
    return text


def _events(body: Body) -> tuple[str, ...]:
    events = body.texts("events")
    if not events:
        raise errors.validation_error("events must have at least one event.")
    unknown = [event for event in events if event not in EVENTS]
    if unknown:
        raise errors.validation_error(f"events may have {', '.join(EVENTS)}, not {unknown[0]}.")
    return tuple(dict.fromkeys(events))


ROUTES = (
    Route("POST", "/v1/webhooks", "webhooks:write", create),
    Route("GET", "/v1/webhooks", "webhooks:read", list_webhooks),
    Route("GET", "/v1/webhooks/public_key", "webhooks:read", public_key),
    Route("GET", "/v1/webhooks/{webhook_id}", "webhooks:read", get),
    Route("DELETE", "/v1/webhooks/{webhook_id}", "webhooks:write", delete),
)
