"""Webhooks: register, read, delete, and the key that signs their deliveries."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, cast

from attrs import frozen

from rebyte_async._retry import backoff
from rebyte_async._transport import Transport, is_confidential_url
from rebyte_async._validate import optional_text
from rebyte_async._wire import endpoints, json
from rebyte_async._wire.redact import excerpt
from rebyte_async.errors import AmbiguousRequestError, DecodeError, InvalidRequestError, RebyteError
from rebyte_async.resources.listing import Listing, list_at_once
from rebyte_async.resources.options import to_body
from rebyte_async.resources.reading import Resource, fetch
from rebyte_async.types.webhooks import Webhook, WebhookEventName

_MAX_TEXT = 500
# GUESS(§7): the list is under one of these keys, or bare; the public key is under one of these, or plain text.
_LIST_KEYS = ("webhooks", "data")
_PUBLIC_KEY_FIELDS = ("publicKey", "public_key", "key")
_PEM_START = "-----BEGIN"


@frozen(eq=False, repr=False)
class Webhooks(Resource):
    """`client.webhooks`. `Tasks` lists what every call can raise."""

    _transport: Transport

    async def create(
        self,
        url: str,
        events: Iterable[WebhookEventName | str],
        *,
        description: str | None = None,
        secret: str | None = None,
    ) -> Webhook:
        """Register a webhook for every task of the organization.

        Registering a URL again returns the existing webhook, as documented; one client saw otherwise. So a registration
        whose response was lost is looked for by its URL before it is repeated.

        Args:
            url: Where deliveries are sent: https, or http on this machine for trials.
            events: The events to deliver, at least one: members of `WebhookEventName`, or newer names.
            description: A note for people, at most 500 characters.
            secret: A secret that each delivery repeats in `X-Webhook-Secret`, at most 500 characters.

        Returns:
            The webhook. The server never returns the secret.

        Raises:
            LimitExceededError: The organization has three webhooks already.

        *Source*: contract §7, documented.
        """
        fields = {
            "url": _check_url(url),
            "events": _check_events(events),
            "description": optional_text("description", description, longest=_MAX_TEXT),
            "secret": optional_text("secret", secret, longest=_MAX_TEXT),
        }
        transport = self._transport
        failures = 0
        while True:
            try:
                return await fetch(transport, Webhook, endpoints.CREATE_WEBHOOK, json=to_body(fields))
            except AmbiguousRequestError as error:
                lost = error.__cause__ if isinstance(error.__cause__, RebyteError) else error
            failures += 1
            if (found := await self._find(url, lost)) is not None:
                return found
            if failures >= transport.retry.max_attempts or not transport.retry_budget.spend(transport.retry):
                raise lost
            transport.counters.retries += 1
            await transport.time.sleep(backoff(transport.retry, failures, transport.time.rng))

    async def _find(self, url: str, lost: RebyteError) -> Webhook | None:
        """Return the webhook of a URL whose registration was lost; raise `lost` if the webhooks can't be listed."""
        try:
            return next((webhook for webhook in (await self.list()).data if webhook.url == url), None)
        except RebyteError as error:
            raise lost from error

    def list(self) -> Listing[Webhook]:
        """List the organization's webhooks.

        Returns:
            A listing: `await` it for a page with all webhooks, or `async for` over it.

        *Source*: contract §7, documented; its shape a guess.
        """
        return list_at_once(self._transport, endpoints.LIST_WEBHOOKS, Webhook, _LIST_KEYS)

    async def get(self, webhook_id: str) -> Webhook:
        """Read a webhook.

        *Source*: contract §7, documented.
        """
        return await fetch(self._transport, Webhook, endpoints.GET_WEBHOOK, ids={"webhook_id": webhook_id})

    async def delete(self, webhook_id: str) -> None:
        """Delete a webhook.

        *Source*: contract §7, documented.
        """
        await self._transport.call(endpoints.DELETE_WEBHOOK, ids={"webhook_id": webhook_id})

    async def public_key(self) -> str:
        """Read the public key that the signatures of deliveries are verified with.

        Returns:
            The key in PEM.

        Raises:
            DecodeError: The response holds no such key.

        *Source*: contract §7, documented; its form a guess.
        """
        response = await self._transport.call(endpoints.GET_PUBLIC_KEY)
        return _read_pem(response.body)


def _read_pem(body: bytes) -> str:
    """Take the key from JSON or plain text, as PEM or as the base64 of one."""
    text = body.decode(errors="replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        document = text
    if isinstance(document, dict):
        fields = cast("dict[str, Any]", document)
        document = next((fields[name] for name in _PUBLIC_KEY_FIELDS if name in fields), None)
    found = document.strip() if isinstance(document, str) else ""
    if not found.startswith(_PEM_START):
        try:
            found = base64.b64decode(found, validate=True).decode().strip()
        except (binascii.Error, ValueError):
            found = ""
    if not found.startswith(_PEM_START):
        raise DecodeError("the response holds no public key in PEM", path="$.publicKey", body=excerpt(text))
    return found


def _check_url(url: object) -> str:
    if not isinstance(url, str) or not is_confidential_url(url):
        raise InvalidRequestError(f"url must be https, or http on this machine, not {url!r:.200}")
    return url


def _check_events(events: object) -> list[str]:
    if isinstance(events, str) or not isinstance(events, Iterable):
        raise InvalidRequestError(f"events must be a list, such as ['task.completed'], not {events!r:.80}")
    names = list(cast("Iterable[object]", events))
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidRequestError(f"events must be at least one of {', '.join(WebhookEventName)}, not {names!r:.200}")
    return [str(name) for name in names]
