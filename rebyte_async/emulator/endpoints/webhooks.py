"""`/webhooks`: create, list, get and delete webhooks, and get the key of their signatures.

*Source*: contract §7, documented
"""

from __future__ import annotations

import base64

from aiohttp import web
from anyio import to_thread
from yarl import URL

from rebyte_async.emulator.body import JsonObject
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import ApiError, conflict, json_response, validation_error
from rebyte_async.emulator.service import State
from rebyte_async.emulator.state.webhooks import EVENTS, Webhook
from rebyte_async.emulator.webhooks.delivery import is_loopback
from rebyte_async.emulator.webhooks.message import CryptographyMissingError

_MAX_TEXT = 500
_MAX_WEBHOOKS = 3


async def create(state: State, exchange: Exchange) -> web.Response:
    """`POST /webhooks`: a known URL gets the existing webhook. GUESS(§7): the status of that."""
    body, again = await exchange.body.json(), state.formats.webhook.again
    webhook = Webhook(
        url=_read_url(body),
        events=_read_events(body),
        description=body.optional_text("description", max_length=_MAX_TEXT),
        secret=body.optional_text("secret", max_length=_MAX_TEXT),
        id=state.ids.uuid(),
        created_at=state.clock(),
    )
    existing = next((other for other in state.webhooks.values() if other.url == webhook.url), None)
    if existing is not None and again == "existing":
        return json_response(existing.to_json())
    if existing is not None and again == "conflict":
        raise conflict("There is a webhook for this URL.")
    if len(state.webhooks) >= _MAX_WEBHOOKS:
        raise ApiError(400, "limit_exceeded", f"An organization has at most {_MAX_WEBHOOKS} webhooks.")
    state.webhooks[webhook.id] = webhook
    return json_response(webhook.to_json(), 201)


async def list_webhooks(state: State, _: Exchange) -> web.Response:
    field, items = state.formats.webhook.items, [webhook.to_json() for webhook in state.webhooks.values()]
    return json_response(items if field is None else {field: items})


async def get(state: State, exchange: Exchange) -> web.Response:
    return json_response(_get(state, exchange).to_json())


async def delete(state: State, exchange: Exchange) -> web.Response:
    """`DELETE /webhooks/:id`: deliveries that weren't made by then never are."""
    webhook = _get(state, exchange)
    webhook.is_deleted = True
    del state.webhooks[webhook.id]
    state.deliveries.drop_held(webhook)
    return web.Response(status=204)


async def get_public_key(state: State, _: Exchange) -> web.Response:
    """`GET /webhooks/public_key`. GUESS(§7): the form of the key."""
    form = state.formats.webhook
    try:
        pem = await to_thread.run_sync(state.signing_key.public_pem)
    except CryptographyMissingError:
        message = "The emulator signs nothing without `cryptography`: install rebyte-async[webhooks]."
        raise ApiError(501, "not_implemented", message) from None
    key = base64.b64encode(pem.encode()).decode() if form.public_key_base64 else pem
    return web.Response(text=key) if form.public_key is None else json_response({form.public_key: key})


def _get(state: State, exchange: Exchange) -> Webhook:
    return state.webhooks[exchange.params["webhook_id"]]


def _read_url(body: JsonObject) -> str:
    text = body.text("url")
    try:
        url = URL(text)
    except ValueError:
        raise validation_error("url must be a URL.") from None
    if url.host is None or (url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host))):
        raise validation_error("url must be an https URL (for the emulator: or http on a loopback host).")
    return text


def _read_events(body: JsonObject) -> tuple[str, ...]:
    events = body.texts("events")
    if not events:
        raise validation_error("events must have at least one event.")
    unknown = [event for event in events if event not in EVENTS]
    if unknown:
        raise validation_error(f"events may have {', '.join(EVENTS)}, not {unknown[0]}.")
    return tuple(dict.fromkeys(events))


ROUTES = (
    Route("POST", "/v1/webhooks", "webhooks:write", create),
    Route("GET", "/v1/webhooks", "webhooks:read", list_webhooks),
    Route("GET", "/v1/webhooks/public_key", "webhooks:read", get_public_key),
    Route("GET", "/v1/webhooks/{webhook_id}", "webhooks:read", get),
    Route("DELETE", "/v1/webhooks/{webhook_id}", "webhooks:write", delete),
)
