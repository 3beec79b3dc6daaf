"""Verifying deliveries: bytes, headers and the time in, an event out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias, cast

from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks.event import WebhookEvent, read_event
from rebyte_async.webhooks.headers import HeaderBag
from rebyte_async.webhooks.proof import Proof, public_keys, secret_bytes
from rebyte_async.webhooks.rsa import require_cryptography
from rebyte_async.webhooks.scheme import SignatureScheme, tolerance_seconds
from rebyte_async.webhooks.seconds import unix_seconds

if TYPE_CHECKING:
    from datetime import datetime

    from rebyte_async.webhooks.headers import Headers

__all__ = ["PublicKey", "PublicKeySource", "WebhookVerifier"]

PublicKey: TypeAlias = str | bytes
"""A PEM, or the base64 of one."""
PublicKeySource: TypeAlias = Callable[[], Awaitable[PublicKey]]
"""What reads the key, such as `client.webhooks.public_key`."""


class WebhookVerifier:
    """Tells genuine deliveries from forged ones, and reads them. It touches no network and holds no state.

        verifier = WebhookVerifier(secret=os.environ["REBYTE_WEBHOOK_SECRET"])
        event = verifier.verify(request.headers, await request.read())

    Args:
        secret: The secret that was given to `client.webhooks.create`, or several while it is being changed.
        public_key: The key of the signature: a PEM, the base64 of one, or several; or a function that reads it, such
            as `client.webhooks.public_key`, which only a `WebhookReceiver` can use. It needs the extra `webhooks`.
        tolerance: How old, and how far in the future, a delivery may be, in seconds; None for the scheme's 300.
        scheme: How deliveries are signed; the default is a guess, except for the secret.
        clock: What the time is, in unix seconds, where `verify` isn't told.

    All that is configured must hold: with a secret and a key, both.

    Raises:
        ConfigurationError: There is neither secret nor key, one of them can't be right, or cryptography is missing.

    *Source*: contract §7: the secret documented, the signature observed, its form a guess.
    """

    __slots__ = ("_clock", "_proof", "_source")

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
        if public_key is not None:
            require_cryptography()
        self._source = public_key if callable(public_key) else None
        self._clock = clock
        self._proof = Proof(
            secrets=secret_bytes(secret),
            keys=public_keys(public_key),
            signed=public_key is not None,
            scheme=scheme,
            tolerance=scheme.tolerance if tolerance is None else tolerance_seconds(tolerance),
        )

    @property
    def scheme(self) -> SignatureScheme:
        """How deliveries are signed."""
        return self._proof.scheme

    @property
    def checks_secret(self) -> bool:
        """Whether a secret has to be right."""
        return bool(self._proof.secrets)

    @property
    def checks_signature(self) -> bool:
        """Whether a signature has to be right."""
        return self._proof.signed

    @property
    def proof(self) -> Proof:
        """What is checked."""
        return self._proof

    @property
    def key_source(self) -> PublicKeySource | None:
        """What reads the public key; None where the key itself was given, or none is needed."""
        return self._source

    def verify(
        self,
        headers: Headers,
        body: bytes,
        url: str | None = None,
        now: float | datetime | None = None,
    ) -> WebhookEvent:
        """Check a delivery and read it.

        Args:
            headers: Its headers, in any case: a mapping, or pairs of text or of bytes as in an ASGI scope.
            body: Its body, exactly as it came: before anything decoded it.
            url: The URL as it was registered, which is signed with the rest; a secret alone needs none.
            now: The time, in unix seconds or as an aware datetime; None asks the clock.

        Returns:
            What it says.

        Raises:
            MissingSignatureError: A header is missing.
            SignatureMismatchError: The secret or the signature is not the right one.
            TimestampToleranceError: It is too old, or from the future.
            WebhookPayloadError: It is genuine, but can't be read.
            ConfigurationError: The call itself can't be right, such as a body that was decoded before.
        """
        if self._source is not None:
            raise ConfigurationError(
                "the public key is yet to be read, which a WebhookReceiver does; or give the key itself: "
                "public_key=await client.webhooks.public_key()"
            )
        raw = body_bytes(body)
        self._proof.check(HeaderBag.of(headers), raw, registered_url(url), self.moment(now))
        return read_event(raw)

    def moment(self, now: float | datetime | None) -> float:
        """A time in unix seconds.

        Raises:
            ConfigurationError: It is none.
        """
        return unix_seconds(self._clock() if now is None else now)

    def __repr__(self) -> str:
        checked = [("the secret", self.checks_secret), ("the signature", self.checks_signature)]
        return f"<{type(self).__name__} of {' and '.join(name for name, is_checked in checked if is_checked)}>"


def body_bytes(body: object) -> bytes:
    """A body as it came.

    Raises:
        ConfigurationError: It isn't the bytes.
    """
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(cast("bytes", body))
    raise ConfigurationError(
        f"body must be the bytes as they came, not {type(body).__name__}: what was decoded can't be verified any more"
    )


def registered_url(url: object) -> str | None:
    """A URL as it was registered.

    Raises:
        ConfigurationError: It is no text.
    """
    if url is None or isinstance(url, str):
        return url
    raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
