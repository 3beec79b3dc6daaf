"""The proof that a delivery is genuine: the headers, the signed text and the form of the signature."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Literal, cast

from attrs import field, frozen

from rebyte_async import _validate
from rebyte_async.errors import ConfigurationError

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("timestamp", "url", "body", "body_sha256")
_CHOICES = {"encoding": ("base64", "base64url", "hex"), "padding": ("pkcs1v15", "pss")}


def check_tolerance(value: object) -> float:
    """Check a tolerance in seconds: above 0, and `math.inf` is one."""
    return _validate.seconds("tolerance", value, above_zero=True, error=ConfigurationError)


@frozen(kw_only=True)
class SignatureScheme:
    """The names and forms of what proves a delivery. Except for the secret, the default is a **guess**.

    If the service turns out to sign otherwise, give the verifier another scheme:

        scheme = SignatureScheme(
            signature_header="X-Signature", signed="{timestamp}.{body}", encoding="hex"
        )

    Raises:
        ConfigurationError: A part is invalid, such as a signed text without the body.

    *Source*: contract §7, the header of the secret documented, RSA with SHA-256 observed, everything else GUESS(§7).
    """

    secret_header: str = "X-Webhook-Secret"  # noqa: S105 - a name
    """The header that repeats the secret (documented)."""
    signature_header: str = "X-Webhook-Signature"
    """The header with the signature, GUESS(§7)."""
    timestamp_header: str = "X-Webhook-Timestamp"
    """The header with the time of the delivery, in unix seconds, GUESS(§7)."""
    signed: str = "{timestamp}.{url}.{body_sha256}"
    """What is signed, GUESS(§7): text with `{timestamp}` (as the header has it), `{url}` (as registered), `{body}` (the
    bytes as they came) and `{body_sha256}` (the hex digest of those)."""
    prefix: str = ""
    """The text before the signature in its header, GUESS(§7): none."""
    encoding: Literal["base64", "base64url", "hex"] = "base64"
    """How the signature is encoded, GUESS(§7)."""
    padding: Literal["pkcs1v15", "pss"] = "pkcs1v15"
    """RSA's padding, GUESS(§7)."""
    tolerance: float = field(default=300.0, converter=check_tolerance)
    """How old, and how far in the future, a delivery may be, in seconds, GUESS(§7). `math.inf` accepts any time."""

    def __attrs_post_init__(self) -> None:
        for name in ("secret_header", "signature_header", "timestamp_header"):
            _validate.header_name(name, getattr(self, name), error=ConfigurationError)
        names = set(_FIELD.findall(self.signed)) if isinstance(cast("object", self.signed), str) else set[str]()
        if unknown := names.difference(_FIELDS):
            raise ConfigurationError(f"signed may have {{{'}, {'.join(_FIELDS)}}}, not {{{min(unknown)}}}")
        if not names & {"body", "body_sha256"}:
            raise ConfigurationError("signed must have {body} or {body_sha256}: else anybody could change the body")
        if not isinstance(cast("object", self.prefix), str) or not self.prefix.isascii():
            raise ConfigurationError(f"prefix must be a string in ASCII, not {self.prefix!r:.80}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r:.80}")

    @property
    def needs_url(self) -> bool:
        """Whether the signature covers the registered URL."""
        return "{url}" in self.signed

    @property
    def needs_timestamp(self) -> bool:
        """Whether the signature covers the time."""
        return "{timestamp}" in self.signed

    def message(self, timestamp: str, url: str, body: bytes) -> bytes:
        """Return the bytes that are signed for a delivery."""
        values = {
            "timestamp": timestamp.encode(),
            "url": url.encode("utf-8", "replace"),
            "body": body,
            "body_sha256": hashlib.sha256(body).hexdigest().encode(),
        }
        parts = _FIELD.split(self.signed)  # text and names of fields alternate
        return b"".join(values[part] if number % 2 else part.encode() for number, part in enumerate(parts))

    def encode(self, signature: bytes) -> str:
        """Encode a signature as its header has it."""
        if self.encoding == "hex":
            return self.prefix + signature.hex()
        return self.prefix + base64.b64encode(signature, altchars=self._altchars).decode()

    def decode(self, text: str) -> bytes | None:
        """Decode the signature in its header; None for text that is no signature."""
        if not text.startswith(self.prefix):
            return None
        digits = text.removeprefix(self.prefix)
        try:
            if self.encoding == "hex":
                return bytes.fromhex(digits)
            if self.encoding == "base64url":  # its padding may be left out
                bare = digits.rstrip("=")
                digits = bare + "=" * (-len(bare) % 4)
            signature = base64.b64decode(digits, altchars=self._altchars, validate=True)
        except ValueError:
            return None
        # Every signature has one encoding: unused bits of the last digit must not be set.
        return signature if self.prefix + digits == self.encode(signature) else None

    @property
    def _altchars(self) -> bytes:
        return b"-_" if self.encoding == "base64url" else b"+/"
