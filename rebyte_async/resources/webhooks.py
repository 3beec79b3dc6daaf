"""Webhooks: register, read, and the key that signs their deliveries."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from rebyte_async._transport import is_private_url
from rebyte_async._wire import endpoints, json, models
from rebyte_async._wire.redact import excerpt
from rebyte_async.errors import DecodeError, InvalidRequestError
from rebyte_async.resources.arguments import optional_text
from rebyte_async.resources.pages import Listing
from rebyte_async.types.pages import Page
from rebyte_async.types.webhooks import Webhook, WebhookEventName

if TYPE_CHECKING:
    from rebyte_async._transport import Transport

__all__ = ["Webhooks"]

_LONGEST = 500
_KEYS = ("webhooks", "data")  # unknown: either, or a bare list
_PEM = "-----BEGIN"


@frozen(eq=False)
class Webhooks:
    """`client.webhooks`. What every call can raise is told at `Tasks`."""

    _transport: Transport

    async def create(
        self,
        url: str,
        events: Iterable[WebhookEventName | str],
        *,
        description: str | None = None,
        secret: str | None = None,
    ) -> Webhook:
        """Register a webhook for every task of the organization. A URL that is registered already gives that webhook.

        Args:
            url: Where deliveries go: https, or http on this machine for trying things out.
            events: What to be told of, at least one of `WebhookEventName`, or a newer word.
            description: What it is for, at most 500 characters.
            secret: A secret that each delivery repeats in `X-Webhook-Secret`, at most 500 characters.

        Returns:
            The webhook; the secret is never given back.

        Raises:
            LimitExceededError: The organization has three webhooks already.

        *Source*: contract §7, documented.
        """
        body = {
            "url": _target(url),
            "events": _event_names(events),
            "description": optional_text("description", description, longest=_LONGEST),
            "secret": optional_text("secret", secret, longest=_LONGEST),
        }
        lean = {name: value for name, value in body.items() if value is not None}
        answer = await self._transport.call(endpoints.CREATE_WEBHOOK, json=lean)
        return models.decode(Webhook, answer.json())

    def list(self) -> Listing[Webhook]:
        """List the organization's webhooks.

        Returns:
            A listing: `await` it for a page that holds them all, or `async for` over it.

        *Source*: contract §7, documented; the shape unknown.
        """

        async def fetch(_limit: int, _offset: int) -> Page[Webhook]:
            answer = await self._transport.call(endpoints.LIST_WEBHOOKS)
            items = models.decode_items(Webhook, answer.json(), _KEYS)
            return Page(items, len(items), len(items), 0)

        return Listing(fetch, _webhook_id)

    async def get(self, webhook_id: str) -> Webhook:
        """Read a webhook.

        Args:
            webhook_id: The webhook.

        *Source*: contract §7, documented.
        """
        answer = await self._transport.call(endpoints.GET_WEBHOOK, ids={"webhook_id": webhook_id})
        return models.decode(Webhook, answer.json())

    async def delete(self, webhook_id: str) -> None:
        """Remove a webhook.

        Args:
            webhook_id: The webhook.

        *Source*: contract §7, documented.
        """
        await self._transport.call(endpoints.DELETE_WEBHOOK, ids={"webhook_id": webhook_id})

    async def public_key(self) -> str:
        """Read the public key of the deliveries' signature.

        Returns:
            The key in PEM.

        Raises:
            DecodeError: The answer holds no such key.

        *Source*: contract §7: that it exists documented, its form a guess.
        """
        answer = await self._transport.call(endpoints.GET_PUBLIC_KEY)
        return _pem(answer.body)


def _pem(body: bytes) -> str:
    """The key out of JSON or plain text, as PEM or as the base64 of one."""
    text = body.decode(errors="replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        document = text
    if isinstance(document, dict):
        fields = cast("dict[str, Any]", document)
        document = next((fields[name] for name in ("publicKey", "public_key", "key") if name in fields), None)
    found = document.strip() if isinstance(document, str) else ""
    if not found.startswith(_PEM):
        try:
            found = base64.b64decode(found, validate=True).decode().strip()
        except (binascii.Error, ValueError):
            found = ""
    if not found.startswith(_PEM):
        raise DecodeError("the answer holds no public key in PEM", path="$.publicKey", body=excerpt(text))
    return found


def _target(url: object) -> str:
    if not isinstance(url, str) or not is_private_url(url):
        raise InvalidRequestError(f"url must be https, or http on this machine, not {url!r:.200}")
    return url


def _event_names(events: object) -> list[str]:
    if isinstance(events, str) or not isinstance(events, Iterable):
        raise InvalidRequestError(f"events must be a list, such as ['task.completed'], not {events!r:.80}")
    names = list(cast("Iterable[object]", events))
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidRequestError(f"events must be at least one of {', '.join(WebhookEventName)}, not {names!r:.200}")
    return [str(name) for name in names]


def _webhook_id(webhook: Webhook) -> str:
    return webhook.id
