"""Decide whether a delivery is genuine. Pure: bytes, headers and the time as arguments, an error if it isn't."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import itertools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import evolve, field, frozen

from rebyte_async._wire.endpoints import NOT_IN_HEADERS
from rebyte_async.errors import (
    ConfigurationError,
    MissingSignatureError,
    SignatureMismatchError,
    TimestampToleranceError,
)
from rebyte_async.webhooks._headers import Headers, HeaderValue
from rebyte_async.webhooks.scheme import SignatureScheme

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

T = TypeVar("T")

_UNIX_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


@frozen(kw_only=True)
class Verification:
    """The checks that show a delivery to be genuine: the secret, the time and the signature."""

    secrets: tuple[bytes, ...] = field(repr=False)
    """The valid secrets: a delivery must have one of them. Empty if none is needed."""
    keys: tuple[RSAPublicKey, ...]
    """The valid public keys: one of them must match the signature. Empty while the key is still to be read."""
    is_signed: bool
    """Whether a delivery must have a signature."""
    scheme: SignatureScheme
    tolerance: float
    """How old, and how far in the future, a delivery may be, in seconds."""

    def with_keys(self, given: object) -> Verification:
        """Return a copy with other keys, which a source has returned."""
        keys = load_public_keys(given)
        if not keys:  # without keys every delivery would be called forged
            raise ConfigurationError(f"the source of the public key must return a PEM, not {type(given).__name__}")
        return evolve(self, keys=keys)

    def check_secret(self, headers: Headers) -> None:
        """Check the secret, if there must be one."""
        if not self.secrets:
            return
        header_value = _require(headers, self.scheme.secret_header)
        # Digests have one length, and all pairs are compared: the time taken reveals neither the length of a secret
        # nor which one matched.
        digests = [hashlib.sha256(encoding).digest() for encoding in header_value.encodings]
        valid = [hashlib.sha256(secret).digest() for secret in self.secrets]
        matches = [hmac.compare_digest(*pair) for pair in itertools.product(digests, valid)]
        if not any(matches):
            header = self.scheme.secret_header
            raise SignatureMismatchError(f"{header} is not the secret: a webhook keeps the one it was registered with")

    def check_timestamp(self, headers: Headers, now: float) -> None:
        """Check the time. A signature needs one; without a signature it counts if it is there and readable."""
        name = self.scheme.timestamp_header
        is_needed = self.is_signed and self.scheme.needs_timestamp
        value = _require(headers, name) if is_needed else headers.get_single(name)
        if value is None:
            return
        if not _UNIX_SECONDS.fullmatch(value.text):
            if is_needed:
                raise TimestampToleranceError(f"{name} is no number of unix seconds")
            return
        age = now - float(value.text)
        if abs(age) > self.tolerance:
            when = f"{age:.0f} s old" if age > 0 else f"{-age:.0f} s in the future"
            raise TimestampToleranceError(f"the delivery is {when}; the tolerance is {self.tolerance:g} s")

    def check_signature(self, headers: Headers, body: bytes, url: str | None) -> None:
        """Check the signature, if there must be one."""
        if not self.is_signed:
            return
        scheme = self.scheme
        if url is None and scheme.needs_url:
            raise ConfigurationError("url is needed, because the signature covers it: give it as it was registered")
        timestamp = _require(headers, scheme.timestamp_header).text if scheme.needs_timestamp else ""
        message = scheme.message(timestamp, url or "", body)
        signature = scheme.decode(_require(headers, scheme.signature_header).text)
        if signature is None:
            raise SignatureMismatchError(f"{scheme.signature_header} is no signature in {scheme.encoding}")
        matches = import_rsa().signature_matches
        if not any(matches(key, signature, message, scheme.padding) for key in self.keys):
            raise SignatureMismatchError(
                f"{scheme.signature_header} doesn't match: another key, another body, or another URL than the "
                "registered one"
            )


def encode_secrets(given: object) -> tuple[bytes, ...]:
    """Encode one or several secrets as a header has them. No error repeats a secret."""
    return () if given is None else _read_each("secret", given, _encode_secret)


def load_public_keys(given: object) -> tuple[RSAPublicKey, ...]:
    """Read one or several public keys from PEMs. A function, which would return the key later, gives none."""
    if given is None:
        return ()
    load: Callable[[object], RSAPublicKey] = import_rsa().load_public_key
    return () if callable(given) else _read_each("public_key", given, load)


def _read_each(name: str, given: object, read: Callable[[object], T]) -> tuple[T, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        return (read(given),)
    values = tuple(read(value) for value in cast("Iterable[object]", given))
    if not values:
        raise ConfigurationError(f"{name} must not be an empty list: give None, or at least one")
    return values


def import_rsa() -> Any:
    """Import the module `_rsa`, which needs the extra `webhooks`."""
    try:
        return importlib.import_module("rebyte_async.webhooks._rsa")
    except ImportError as error:
        raise ConfigurationError(
            'signatures need cryptography: pip install "rebyte-async[webhooks]", or use only a secret'
        ) from error


def _encode_secret(given: object) -> bytes:
    if not isinstance(given, str):
        raise ConfigurationError(f"a secret must be a string, not {type(given).__name__}")
    if not given:
        raise ConfigurationError("a secret must not be empty: give None for no secret")
    if given != given.strip() or NOT_IN_HEADERS.search(given):
        raise ConfigurationError("a secret has spaces around it or a line end, which no header can have: strip it")
    try:
        return given.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("a secret has characters that can't be sent") from None


def _require(headers: Headers, name: str) -> HeaderValue:
    value = headers.get_single(name)
    if value is None or not any(value.encodings):
        raise MissingSignatureError(f"the delivery has no {name}")
    return value
