"""Public keys that are read when they are needed, and once more when a signature doesn't fit."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from anyio import fail_after
from attrs import define, field

from rebyte_async.errors import SignatureMismatchError, TransportError
from rebyte_async.webhooks.event import read_event
from rebyte_async.webhooks.headers import HeaderBag
from rebyte_async.webhooks.owned import outcome
from rebyte_async.webhooks.verifier import registered_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rebyte_async.webhooks.event import WebhookEvent
    from rebyte_async.webhooks.headers import Headers
    from rebyte_async.webhooks.proof import Proof
    from rebyte_async.webhooks.verifier import PublicKeySource, WebhookVerifier

__all__ = ["KeyedVerifier"]

_log = logging.getLogger("rebyte_async.webhooks")

_INTERVAL = 60.0
"""Seconds between two reads of the key: a stream of forgeries costs the API one request a minute."""
_AFTER_FAILURE = 5.0
_PATIENCE = 10.0
"""Seconds that a read may take: the sender of a delivery waits meanwhile."""


@define(eq=False)
class KeyedVerifier:
    """A verifier together with the key that its source gave."""

    _verifier: WebhookVerifier
    _clock: Callable[[], float] = time.monotonic
    _proof: Proof = field(init=False)
    _next_read: float = field(default=float("-inf"), init=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _reading: asyncio.Task[Proof | Exception] | None = field(default=None, init=False)
    """The latest read, which goes on when the sender for whom it began has left."""

    def __attrs_post_init__(self) -> None:
        self._proof = self._verifier.proof

    def close(self) -> None:
        """Give up a read that is under way."""
        if self._reading is not None:
            self._reading.cancel()

    async def verify(
        self, headers: Headers, body: bytes, url: str | None, now: float | datetime | None
    ) -> WebhookEvent:
        """Check a delivery and read it, as `WebhookVerifier.verify`.

        Raises:
            WebhookVerificationError: It isn't shown to be genuine.
            WebhookPayloadError: It is genuine, but can't be read.
            ConfigurationError: The call, or the key that the source gave, can't be right.
            Exception: What the source of the key raises, where there is no key yet.
        """
        source = self._verifier.key_source
        if source is None:
            return self._verifier.verify(headers, body, url, now)
        bag, moment = HeaderBag.of(headers), self._verifier.moment(now)
        # What fails here needs no key, so that forging it makes nobody read one.
        self._proof.check_secret(bag)
        self._proof.check_time(bag, moment)
        await self._check_signature(source, bag, body, registered_url(url))
        return read_event(body)

    async def _check_signature(self, source: PublicKeySource, bag: HeaderBag, body: bytes, url: str | None) -> None:
        proof = self._proof
        if not proof.keys:
            proof = await self._read(source, proof)
        try:
            proof.check_signature(bag, body, url)
        except SignatureMismatchError:
            fresh = await self._reread(source, proof)
            if fresh is proof:
                raise
            fresh.check_signature(bag, body, url)

    async def _reread(self, source: PublicKeySource, stale: Proof) -> Proof:
        """The key as it is now, if it may be read again already."""
        try:
            return await self._read(source, stale)
        except Exception as error:  # noqa: BLE001 - whatever a source raises, the delivery fits no key that is known
            _log.warning("the public key of the webhooks couldn't be read again: %s", error)
            return stale

    async def _read(self, source: PublicKeySource, stale: Proof) -> Proof:
        async with self._turn:
            if self._proof is not stale:
                return self._proof  # somebody else has just read it
            if self._reading is None or self._reading.done():
                if self._clock() < self._next_read:
                    if not stale.keys:
                        raise TransportError("the public key of the webhooks couldn't be read a moment ago")
                    return stale
                self._reading = asyncio.create_task(self._read_now(source, stale))
            found = await outcome(self._reading) or TransportError("the public key isn't read any more: it is closed")
        if isinstance(found, Exception):
            raise found
        return found

    async def _read_now(self, source: PublicKeySource, stale: Proof) -> Proof | Exception:
        try:
            with fail_after(_PATIENCE):
                pem = await source()
            self._proof = stale.with_keys(pem)
        except Exception as error:  # noqa: BLE001 - raised for whoever waits; nobody may
            self._next_read = self._clock() + _AFTER_FAILURE
            return error
        self._next_read = self._clock() + _INTERVAL
        return self._proof
