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
        if not self._verification.keys:
            await self._refresh(source)
        known = self._verification
        try:
            known.check_signature(headers, body, url)
        except SignatureMismatchError:
            try:
                await self._refresh(source)
            except Exception as error:  # noqa: BLE001 - the source may raise anything; the known key stays valid
                _log.warning("the public key of the webhooks couldn't be read again: %s", error)
            if self._verification is known:
                raise
            self._verification.check_signature(headers, body, url)

    async def _refresh(self, source: PublicKeySource) -> None:
        """Read the key, unless it is too early to read it again."""
        if self._reading.is_running or self._clock() >= self._next_read:
            if await self._reading.run(lambda: self._read(source)) is None:
                raise TransportError("the public key isn't read any more, because the receiver was closed")
        elif not self._verification.keys:
            raise TransportError("the public key of the webhooks couldn't be read a moment ago")

    async def _read(self, source: PublicKeySource) -> Verification:
        try:
            with fail_after(self.read_timeout):
                self._verification = self._verification.with_keys(await source())
        except Exception:
            self._next_read = self._clock() + _RETRY_INTERVAL
            raise
        self._next_read = self._clock() + _READ_INTERVAL
        return self._verification
