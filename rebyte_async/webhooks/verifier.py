"""Verify deliveries: bytes, headers and the time as arguments, an event as the result."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import TypeAlias, cast

from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks._headers import Headers, RawHeaders
from rebyte_async.webhooks._verification import Verification, encode_secrets, load_public_keys
from rebyte_async.webhooks.event import WebhookEvent, read_event
from rebyte_async.webhooks.scheme import SignatureScheme, check_tolerance

PublicKey: TypeAlias = str | bytes
"""A PEM, or the base64 of one."""
PublicKeySource: TypeAlias = Callable[[], Awaitable[PublicKey]]
"""A function that reads the public key, such as `client.webhooks.public_key`."""


class WebhookVerifier:
    """Tells genuine deliveries from forged ones, and reads them. It uses no network and keeps no state.

        verifier = WebhookVerifier(secret=os.environ["REBYTE_WEBHOOK_SECRET"])
        event = verifier.verify(request.headers, await request.read())

    Args:
        secret: The secret that was given to `client.webhooks.create`, or several while it is being changed.
        public_key: The key that verifies signatures: a PEM, the base64 of one, or several; or a function that reads
            it, such as `client.webhooks.public_key`, which only a `WebhookReceiver` can use. Needs the extra
            `webhooks`.
        tolerance: How old, and how far in the future, a delivery may be, in seconds; None for the scheme's 300.
        scheme: How deliveries are signed. Except for the secret, the default is a guess.
        clock: Returns the time in unix seconds, for calls of `verify` without `now`.

    Everything that is configured must hold: with a secret and a key, both.

    Raises:
        ConfigurationError: There is neither secret nor key, one of them is invalid, or cryptography is not installed.

    *Source*: contract §7, the secret documented, the signature observed, its form GUESS(§7).
    """

    def __init__(
        self,
        secret: str | Iterable[str] | None = None,
        public_key: PublicKey | Iterable[PublicKey] | PublicKeySource | None = None,
        tolerance: float | None = None,
        scheme: SignatureScheme = SignatureScheme(),  # noqa: B008 - frozen
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if secret is None and public_key is None:
            raise ConfigurationError("give secret, public_key or both: without either, anybody could deliver anything")
        if not isinstance(cast("object", scheme), SignatureScheme):
            raise ConfigurationError(f"scheme must be a SignatureScheme, not {type(scheme).__name__}")
        self._clock = clock
        self.key_source: PublicKeySource | None = public_key if callable(public_key) else None
        """The function that reads the public key; None if the key itself was given, or none is needed."""
        self.verification: Verification = Verification(
            secrets=encode_secrets(secret),
            keys=load_public_keys(public_key),
            is_signed=public_key is not None,
            scheme=scheme,
            tolerance=scheme.tolerance if tolerance is None else check_tolerance(tolerance),
        )
        """What must hold for a delivery to be genuine."""

    @property
    def scheme(self) -> SignatureScheme:
        """How deliveries are signed."""
        return self.verification.scheme

    @property
    def checks_secret(self) -> bool:
        """Whether deliveries must have a secret."""
        return bool(self.verification.secrets)

    @property
    def checks_signature(self) -> bool:
        """Whether deliveries must have a signature."""
        return self.verification.is_signed

    def verify(
        self, headers: RawHeaders, body: bytes, url: str | None = None, now: float | datetime | None = None
    ) -> WebhookEvent:
        """Verify a delivery and read its event.

        Args:
            headers: The delivery's headers: a mapping, or pairs of text, or of bytes as in an ASGI scope.
            body: The delivery's body, exactly as it came, before anything decoded it.
            url: The URL as it was registered, which a signature covers; a secret alone needs none.
            now: The time, in unix seconds or as an aware datetime; None asks the clock.

        Returns:
            The event in the delivery.

        Raises:
            MissingSignatureError: A header is missing.
            SignatureMismatchError: The secret or the signature is wrong.
            TimestampToleranceError: The delivery is too old, or from the future.
            WebhookPayloadError: The delivery is genuine, but its body can't be read.
            ConfigurationError: An argument is invalid, such as a body that was decoded before.
        """
        if self.key_source is not None:
            raise ConfigurationError(
                "the public key must be read first, which a WebhookReceiver does; or give the key itself: "
                "public_key=await client.webhooks.public_key()"
            )
        raw = check_body(body)
        parsed = Headers.parse(headers)
        registered = check_url(url)
        seconds = self.current_time() if now is None else unix_seconds(now)
        self.verification.check_secret(parsed)
        self.verification.check_timestamp(parsed, seconds)
        self.verification.check_signature(parsed, raw, registered)
        return read_event(raw)

    def current_time(self) -> float:
        """Return the time by the verifier's clock, in unix seconds."""
        return unix_seconds(self._clock())

    def __repr__(self) -> str:
        checks = [("the secret", self.checks_secret), ("the signature", self.checks_signature)]
        return f"<{type(self).__name__} of {' and '.join(name for name, is_checked in checks if is_checked)}>"


def check_body(body: object) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(cast("bytes", body))
    raise ConfigurationError(
        f"body must be the bytes as they came, not {type(body).__name__}: a decoded body can't be verified any more"
    )


def check_url(url: object) -> str | None:
    if url is None or isinstance(url, str):
        return url
    raise ConfigurationError(f"url must be a string, not {type(url).__name__}")


def unix_seconds(moment: object) -> float:
    """Convert unix seconds or an aware datetime to unix seconds; refuse any other value."""
    seconds = math.nan
    # A datetime is aware if it has an offset. One can have a zone that knows no offset, and is naive then.
    if isinstance(moment, datetime) and moment.utcoffset() is not None:
        seconds = moment.timestamp()
    elif isinstance(moment, int | float) and not isinstance(moment, bool):
        with suppress(OverflowError):
            seconds = float(moment)
    if not math.isfinite(seconds):
        raise ConfigurationError(f"now must be unix seconds or an aware datetime, not {moment!r:.80}")
    return seconds
