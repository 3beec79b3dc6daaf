"""`/webhooks`: register, list, read and delete webhooks, and the key of their signatures.

*Source*: contract, section 7.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from aiohttp import web
from yarl import URL

from rebyte_async.emulator import errors
from rebyte_async.emulator.answers import answer_json, answer_nothing
from rebyte_async.emulator.router import Route
from rebyte_async.emulator.state.webhooks import Webhook
from rebyte_async.emulator.webhooks.announce import EVENTS
from rebyte_async.emulator.webhooks.key import NoCryptography
from rebyte_async.emulator.webhooks.loopback import is_loopback

if TYPE_CHECKING:
    from rebyte_async.emulator.body import Body
    from rebyte_async.emulator.call import Call
    from rebyte_async.emulator.world import World

_LONGEST_TEXT = 500
_MOST_WEBHOOKS = 3


async def create(call: Call) -> web.Response:
    """`POST /webhooks`: the same URL once more is the webhook that exists (what its status is, is a guess)."""
    world, webhook = call.world, _make(call.world, await call.body())
    existing = next((other for other in world.webhooks.oldest_first() if other.url == webhook.url), None)
    if existing is not None and world.webhook_format.again == "existing":
        return answer_json(existing.written())
    if existing is not None and world.webhook_format.again == "conflict":
        raise errors.conflict("There is a webhook for this URL.")
    if len(world.webhooks.oldest_first()) >= _MOST_WEBHOOKS:
        raise errors.limit_exceeded(f"An organization has at most {_MOST_WEBHOOKS} webhooks.")
    world.webhooks.add(webhook)
    return answer_json(webhook.written(), 201)


async def list_webhooks(call: Call) -> web.Response:
    """`GET /webhooks`: all of them."""
    field, items = call.world.webhook_format.items, [hook.written() for hook in call.world.webhooks.oldest_first()]
    return answer_json(items if field is None else {field: items})


async def get(call: Call) -> web.Response:
    """`GET /webhooks/:id`."""
    return answer_json(_webhook(call).written())


async def delete(call: Call) -> web.Response:
    """`DELETE /webhooks/:id`: what wasn't delivered by then never is."""
    webhook = _webhook(call)
    webhook.is_deleted = True
    call.world.webhooks.remove(webhook)
    while webhook.held_back:
        webhook.held_back.pop().entry.settle("dropped")
    return answer_nothing()


async def public_key(call: Call) -> web.Response:
    """`GET /webhooks/public_key` (how the key is written is a guess)."""
    form = call.world.webhook_format
    try:
        pem = await call.world.webhook_key.public_pem()
    except NoCryptography:
        message = "The emulator signs nothing without `cryptography`: install rebyte-async[webhooks]."
        raise errors.Refusal(501, "not_implemented", message) from None
    key = base64.b64encode(pem.encode()).decode() if form.public_key_base64 else pem
    return web.Response(text=key) if form.public_key is None else answer_json({form.public_key: key})


def _webhook(call: Call) -> Webhook:
    return call.world.webhooks.get(call.params["webhook_id"])


def _make(world: World, body: Body) -> Webhook:
    return Webhook(
        number=world.webhooks.next_number(),
        url=_url(body),
        events=_events(body),
        description=body.optional_text("description", longest=_LONGEST_TEXT),
        secret=body.optional_text("secret", longest=_LONGEST_TEXT),
        id=world.ids.uuid(),
        created_at=world.clock(),
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
