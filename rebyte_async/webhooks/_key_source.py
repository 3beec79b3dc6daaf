"""Verify with a public key that is read on demand, and read again when a signature doesn't match it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from anyio import fail_after
from attrs import Factory, define, field

from rebyte_async._sync import SingleFlight
from rebyte_async.errors import SignatureMismatchError, TransportError
from rebyte_async.webhooks._headers import Headers
from rebyte_async.webhooks._verification import Verification
from rebyte_async.webhooks.event import WebhookEvent, read_event
from rebyte_async.webhooks.verifier import PublicKeySource, WebhookVerifier

_log = logging.getLogger("rebyte_async.webhooks")

_READ_INTERVAL = 60.0
"""Seconds between two reads of the key: forged deliveries cost the API at most one request a minute."""
_RETRY_INTERVAL = 5.0
"""Seconds until the next read after one that failed."""


@define(eq=False)
class KeyRefreshingVerifier:
    """A verifier, together with the key that its source has returned.

    All deliveries that need the key at the same time share one read of it. The read continues when the sender that it
    began for disconnects.
    """

    _verifier: WebhookVerifier
    _clock: Callable[[], float] = time.monotonic
    read_timeout: float = field(default=10.0, kw_only=True)
    """How long a read may take, in seconds: the sender of a delivery waits for it."""
    _verification: Verification = field(
        default=Factory(lambda self: self._verifier.verification, takes_self=True), init=False
    )
    _next_read: float = field(default=float("-inf"), init=False)
    _reading: SingleFlight[Verification] = field(factory=SingleFlight["Verification"], init=False)

    def close(self) -> None:
        """Cancel a read that is in flight."""
        self._reading.cancel()

    async def verify(self, headers: Headers, body: bytes, url: str | None) -> WebhookEvent:
        """Verify a delivery and read its event, as `WebhookVerifier.verify` does."""
        source = self._verifier.key_source
        if source is None:
            return self._verifier.verify(headers, body, url)  # which an application may have overridden
        # These two need no key: a delivery that is forged in them must not cause a read.
        self._verification.check_secret(headers)
        self._verification.check_timestamp(headers, self._verifier.current_time())
        await self._check_signature(source, headers, body, url)
        return read_event(body)

    async def _check_signature(self, source: PublicKeySource, headers: Headers, body: bytes, url: str | None) -> None:
        known = self._verification
        if not known.keys:
            known = await self._refresh(source, known)
        try:
            known.check_signature(headers, body, url)
        except SignatureMismatchError:
            fresh = await self._try_refresh(source, known)
            if fresh is known:
                raise
            fresh.check_signature(headers, body, url)

    async def _try_refresh(self, source: PublicKeySource, stale: Verification) -> Verification:
        """Read the key again; on failure keep the known key, which the delivery doesn't match."""
        try:
            return await self._refresh(source, stale)
        except Exception as error:  # noqa: BLE001 - the source may raise anything
            _log.warning("the public key of the webhooks couldn't be read again: %s", error)
            return stale

    async def _refresh(self, source: PublicKeySource, stale: Verification) -> Verification:
        """Return a verification with the current key, or the stale one if it is too early to read the key again."""
        if not self._reading.is_running and self._clock() < self._next_read:
            if not stale.keys:
                raise TransportError("the public key of the webhooks couldn't be read a moment ago")
            return stale
        fresh = await self._reading.run(lambda: self._read(source, stale))
        if fresh is None:
            raise TransportError("the public key isn't read any more, because the receiver was closed")
        return fresh

    async def _read(self, source: PublicKeySource, stale: Verification) -> Verification:
        try:
            with fail_after(self.read_timeout):
                pem = await source()
            self._verification = stale.with_keys(pem)
        except Exception:
            self._next_read = self._clock() + _RETRY_INTERVAL
            raise
        self._next_read = self._clock() + _READ_INTERVAL
        return self._verification
