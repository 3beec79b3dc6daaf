"""RSA signatures with SHA-256, by the library cryptography.

Imported by `_verification.import_rsa` when a key is given, because cryptography is an extra and slow to import.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

_PADDINGS: dict[str, AsymmetricPadding] = {"pkcs1v15": PKCS1v15(), "pss": PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH)}


def load_public_key(given: object) -> RSAPublicKey:
    """Read a public key from a PEM, or from the base64 of one."""
    key: RSAPublicKey = _load("public_key", RSAPublicKey, load_pem_public_key, _decode_pem("public_key", given))
    return key


def signature_matches(key: RSAPublicKey, signature: bytes, message: bytes, padding: str) -> bool:
    """Whether a signature of a message was made with the private half of a key."""
    try:
        key.verify(signature, message, _PADDINGS[padding], SHA256())
    except InvalidSignature:
        return False
    return True


def sign(private_key: object, message: bytes, padding: str) -> bytes:
    """Return the signature of a message by a private key: a PEM, or the base64 of one."""
    return _load_private_key(_decode_pem("private_key", private_key)).sign(message, _PADDINGS[padding], SHA256())


@functools.lru_cache(maxsize=4)  # loading a key takes thirty times as long as signing with it
def _load_private_key(pem: bytes) -> RSAPrivateKey:
    load = functools.partial(load_pem_private_key, password=None)
    key: RSAPrivateKey = _load("private_key", RSAPrivateKey, load, pem)
    return key


def _load(name: str, kind: type[Any], load: Callable[[bytes], object], pem: bytes) -> Any:
    try:
        key = load(pem)
    except Exception as error:  # noqa: BLE001 - cryptography raises errors of several kinds, its UnsupportedAlgorithm too
        # Without the cause: its text may repeat the input, which can be a private key.
        raise ConfigurationError(f"{name} can't be read as a key in PEM ({type(error).__name__})") from None
    if not isinstance(key, kind):
        raise ConfigurationError(f"{name} must be an RSA key, not {type(key).__name__.lstrip('_')}")
    return key


def _decode_pem(name: str, given: object) -> bytes:
    if not isinstance(given, str | bytes):
        raise ConfigurationError(f"{name} must be a PEM as str or bytes, not {type(given).__name__}")
    data = given.encode("utf-8", "replace") if isinstance(given, str) else given
    if b"-----BEGIN" in data:
        return data
    try:
        data = base64.b64decode(b"".join(data.split()), validate=True)
    except ValueError:
        data = b""
    if b"-----BEGIN" not in data:
        raise ConfigurationError(f"{name} must be a PEM (-----BEGIN …), or the base64 of one")
    return data
