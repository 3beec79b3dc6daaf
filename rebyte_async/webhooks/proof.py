"""Whether a delivery is genuine. Pure: bytes, headers and the time in; nothing, or an error, out."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from attrs import evolve, field, frozen

from rebyte_async._wire.endpoints import NOT_IN_HEADERS
from rebyte_async.errors import (
    ConfigurationError,
    MissingSignatureError,
    SignatureMismatchError,
    TimestampToleranceError,
)
from rebyte_async.webhooks.rsa import verifies, verifying_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from rebyte_async.webhooks.headers import HeaderBag, HeaderValue
    from rebyte_async.webhooks.scheme import SignatureScheme

__all__ = ["Proof", "public_keys", "secret_bytes"]

_UNIX_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


@frozen(kw_only=True)
class Proof:
    """What has to hold for a delivery to be taken."""

    secrets: tuple[bytes, ...] = field(repr=False)
    """The secrets, of which one has to be the delivery's; none where there is no secret."""
    keys: tuple[RSAPublicKey, ...]
    """The keys, of which one has to have signed the delivery."""
    signed: bool
    """Whether it has to be signed at all."""
    scheme: SignatureScheme
    tolerance: float

    def with_keys(self, given: object) -> Proof:
        """The same with other keys.

        Raises:
            ConfigurationError: They are none.
        """
        keys = public_keys(given)
        if not keys:  # what would fit none of them would be called forged
            raise ConfigurationError(f"the source of the public key must give a PEM, not {type(given).__name__}")
        return evolve(self, keys=keys)

    def check(self, headers: HeaderBag, body: bytes, url: str | None, now: float) -> None:
        """Check everything.

        Raises:
            WebhookVerificationError: The delivery isn't shown to be genuine.
            ConfigurationError: The URL is needed.
        """
        self.check_secret(headers)
        self.check_time(headers, now)
        self.check_signature(headers, body, url)

    def check_secret(self, headers: HeaderBag) -> None:
        """Check the secret, if there is one."""
        if not self.secrets:
            return
        given = _needed(headers, self.scheme.secret_header)
        # Digests are of one length, and all are compared: the time tells neither the length nor which one it was.
        pairs = [(_digest(reading), _digest(secret)) for reading in given.readings for secret in self.secrets]
        if not any([hmac.compare_digest(*pair) for pair in pairs]):  # noqa: C419 - a generator would stop at a match
            raise SignatureMismatchError(f"{self.scheme.secret_header} is not the secret")

    def check_time(self, headers: HeaderBag, now: float) -> None:
        """Check the time: a signature needs one; without a signature it counts where it is there and readable."""
        name = self.scheme.timestamp_header
        value = _needed(headers, name) if self._needs_time else headers.one(name)
        if value is None:
            return
        if not _UNIX_SECONDS.fullmatch(value.text):
            if self._needs_time:
                raise TimestampToleranceError(f"{name} is no number of unix seconds")
            return
        age = now - float(value.text)
        if abs(age) > self.tolerance:
            when = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s in the future"
            raise TimestampToleranceError(f"the delivery is {when}; the tolerance is {self.tolerance:g} s")

    def check_signature(self, headers: HeaderBag, body: bytes, url: str | None) -> None:
        """Check the signature, if there has to be one."""
        if not self.signed:
            return
        header, message = self.scheme.signature_header, self._message(headers, body, url)
        signature = self.scheme.read(_needed(headers, header).text)
        if signature is None:
            raise SignatureMismatchError(f"{header} is no signature in {self.scheme.encoding}")
        if not any(verifies(key, signature, message, self.scheme.padding) for key in self.keys):
            raise SignatureMismatchError(
                f"{header} doesn't fit: another key, another body, or another URL than the registered one"
            )

    @property
    def _needs_time(self) -> bool:
        return self.signed and self.scheme.needs_timestamp

    def _message(self, headers: HeaderBag, body: bytes, url: str | None) -> bytes:
        if url is None and self.scheme.needs_url:
            raise ConfigurationError("url is needed: it is signed with the rest. Give it as it was registered")
        stamp = _needed(headers, self.scheme.timestamp_header).text if self.scheme.needs_timestamp else ""
        return self.scheme.message(stamp, url or "", body)


def secret_bytes(given: object) -> tuple[bytes, ...]:
    """Secrets as they stand in a header; no error about one repeats it.

    Raises:
        ConfigurationError: One can't be a secret.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        return (_secret(given),)
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"secret must be a string, or several, not {type(given).__name__}")
    secrets = tuple(_secret(one) for one in cast("Iterable[object]", given))
    if not secrets:
        raise ConfigurationError("secret must not be an empty list: give None, or at least one secret")
    return secrets


def public_keys(given: object) -> tuple[RSAPublicKey, ...]:
    """Public keys out of a PEM, or several.

    Raises:
        ConfigurationError: One is no key, or cryptography is missing.
    """
    if given is None or callable(given):
        return ()
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        return (verifying_key(given),)
    keys = tuple(verifying_key(one) for one in cast("Iterable[object]", given))
    if not keys:
        raise ConfigurationError("public_key must not be an empty list: give None, or at least one key")
    return keys


def _secret(given: object) -> bytes:
    if not isinstance(given, str):
        raise ConfigurationError(f"a secret must be a string, not {type(given).__name__}")
    if not given:
        raise ConfigurationError("a secret must not be empty; without one give None")
    if given != given.strip() or NOT_IN_HEADERS.search(given):
        raise ConfigurationError("a secret has spaces around it or a line end, which no header can carry: strip it")
    try:
        return given.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("a secret has characters that can't be sent") from None


def _needed(headers: HeaderBag, name: str) -> HeaderValue:
    value = headers.one(name)
    if value is None or not any(value.readings):
        raise MissingSignatureError(f"the delivery has no {name}")
    return value


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
