"""How deliveries prove who sent them: which headers, and what is signed in which form."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from typing import Literal

from attrs import field, frozen

from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks.seconds import finite_seconds

__all__ = ["SignatureScheme"]

_FIELD = re.compile(r"\{(\w*)\}")
_FIELDS = ("timestamp", "url", "body", "body_sha256")
_WORDS = {"encoding": ("base64", "base64url", "hex"), "padding": ("pkcs1v15", "pss")}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def tolerance_seconds(value: object) -> float:
    """A tolerance that can be right.

    Raises:
        ConfigurationError: It can't.
    """
    seconds = math.inf if value == math.inf else finite_seconds(value)
    if seconds is None or seconds <= 0:
        raise ConfigurationError(f"tolerance must be a number of seconds above 0, not {value!r:.80}")
    return seconds


@frozen(kw_only=True)
class SignatureScheme:
    """The names and forms of what proves a delivery. The default is the contract's **guess**, but for the secret.

    When the service turns out to do it otherwise, give a verifier another one:

        scheme = SignatureScheme(signature_header="X-Signature", signed="{timestamp}.{body}", encoding="hex")

    Raises:
        ConfigurationError: A part can't be right, such as a signed text without the body.

    *Source*: contract §7: the secret's header documented; RSA with SHA-256 observed; everything else a guess.
    """

    secret_header: str = "X-Webhook-Secret"  # noqa: S105 - a name
    """The header that repeats the secret (documented)."""
    signature_header: str = "X-Webhook-Signature"
    """The header with the signature (guess)."""
    timestamp_header: str = "X-Webhook-Timestamp"
    """The header with the time of the delivery, in unix seconds (guess)."""
    signed: str = "{timestamp}.{url}.{body_sha256}"
    """What is signed (guess): text with `{timestamp}` (as it stands in the header), `{url}` (as registered), `{body}`
    (the bytes as they came) and `{body_sha256}` (the hex digest of those)."""
    prefix: str = ""
    """What stands before the signature in its header (guess: nothing)."""
    encoding: Literal["base64", "base64url", "hex"] = "base64"
    """How the signature is written (guess)."""
    padding: Literal["pkcs1v15", "pss"] = "pkcs1v15"
    """RSA's padding (guess)."""
    tolerance: float = field(default=300.0, converter=tolerance_seconds)
    """How old, and how far in the future, a delivery may be, in seconds (guess). `math.inf` never minds."""

    def __attrs_post_init__(self) -> None:
        for name in ("secret_header", "signature_header", "timestamp_header"):
            _check_header(name, getattr(self, name))
        _check_template(self.signed)
        _check_text("prefix", self.prefix)
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ConfigurationError(f"{name} must be one of {', '.join(words)}, not {getattr(self, name)!r:.80}")

    @property
    def needs_url(self) -> bool:
        """Whether the registered URL is a part of what is signed."""
        return "{url}" in self.signed

    @property
    def needs_timestamp(self) -> bool:
        """Whether the time is a part of what is signed."""
        return "{timestamp}" in self.signed

    def message(self, timestamp: str, url: str, body: bytes) -> bytes:
        """What is signed for a delivery."""
        values = {
            "timestamp": timestamp.encode(),
            "url": url.encode("utf-8", "replace"),
            "body": body,
            "body_sha256": hashlib.sha256(body).hexdigest().encode(),
        }
        parts = _FIELD.split(self.signed)  # text and names take turns
        return b"".join(values[part] if number % 2 else part.encode() for number, part in enumerate(parts))

    def written(self, signature: bytes) -> str:
        """A signature as its header has it."""
        if self.encoding == "hex":
            return self.prefix + signature.hex()
        encode = base64.b64encode if self.encoding == "base64" else base64.urlsafe_b64encode
        return self.prefix + encode(signature).decode()

    def read(self, text: str) -> bytes | None:
        """The signature out of its header; None where it isn't written like one."""
        if not text.startswith(self.prefix):
            return None
        digits = text.removeprefix(self.prefix)
        try:
            return bytes.fromhex(digits) if self.encoding == "hex" else self._unbase64(digits)
        except (binascii.Error, ValueError):
            return None

    def _unbase64(self, digits: str) -> bytes:
        altchars = b"-_" if self.encoding == "base64url" else b"+/"
        bare = digits.rstrip("=") if self.encoding == "base64url" else digits
        signature = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=altchars, validate=True)
        written = base64.b64encode(signature, altchars=altchars).decode()
        if bare != (written.rstrip("=") if self.encoding == "base64url" else written):
            raise ValueError("bits that mean nothing are set")  # every signature has one spelling
        return signature


def _check_header(name: str, value: object) -> None:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ConfigurationError(f"{name} must be the name of a header, not {value!r:.80}")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.isascii():
        raise ConfigurationError(f"{name} must be a string in ASCII, not {value!r:.80}")


def _check_template(signed: object) -> None:
    names = set(_FIELD.findall(signed)) if isinstance(signed, str) else set[str]()
    if unknown := names.difference(_FIELDS):
        raise ConfigurationError(f"signed may have {{{'}, {'.join(_FIELDS)}}}, not {{{min(unknown)}}}")
    if not names & {"body", "body_sha256"}:
        raise ConfigurationError("signed must have {body} or {body_sha256}: else anybody could change the body")
