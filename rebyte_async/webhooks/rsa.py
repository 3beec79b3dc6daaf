"""RSA signatures with SHA-256, by cryptography: the extra `webhooks`, imported when a key is given."""

from __future__ import annotations

import base64
import binascii
import functools
import importlib
from typing import TYPE_CHECKING, Any

from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

__all__ = ["require_cryptography", "sign", "signing_key", "verifies", "verifying_key"]

_MODULES = tuple(
    f"cryptography.{name}"
    for name in (
        "exceptions",
        "hazmat.primitives.hashes",
        "hazmat.primitives.asymmetric.padding",
        "hazmat.primitives.asymmetric.rsa",
        "hazmat.primitives.serialization",
    )
)
_NEEDED = 'signatures need cryptography: pip install "rebyte-async[webhooks]", or use a secret alone'


def require_cryptography() -> None:
    """See whether it is there.

    Raises:
        ConfigurationError: It isn't.
    """
    try:
        for name in _MODULES:
            importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(_NEEDED) from error


def verifying_key(given: object) -> RSAPublicKey:
    """A public key out of a PEM, or out of the base64 of one.

    Raises:
        ConfigurationError: It is none, or cryptography is missing.
    """
    require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - an extra

    key = _loaded(load_pem_public_key, _pem("public_key", given), "public_key")
    if not isinstance(key, RSAPublicKey):
        raise ConfigurationError(f"public_key must be an RSA key, not {type(key).__name__.lstrip('_')}")
    return key


def signing_key(given: object) -> RSAPrivateKey:
    """A private key out of a PEM, or out of the base64 of one.

    Raises:
        ConfigurationError: It is none, or cryptography is missing.
    """
    require_cryptography()
    return _signing_key(_pem("private_key", given))


@functools.lru_cache(maxsize=4)  # to read one takes thirty times as long as to sign with it
def _signing_key(pem: bytes) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - an extra

    key = _loaded(functools.partial(load_pem_private_key, password=None), pem, "private_key")
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"private_key must be an RSA key, not {type(key).__name__.lstrip('_')}")
    return key


def verifies(key: RSAPublicKey, signature: bytes, message: bytes, padding: str) -> bool:
    """Whether a signature of a message was made with the key."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra

    try:
        key.verify(signature, message, _padding(padding), SHA256())
    except InvalidSignature:
        return False
    return True


def sign(key: RSAPrivateKey, message: bytes, padding: str) -> bytes:
    """The signature of a message."""
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra

    return key.sign(message, _padding(padding), SHA256())


def _padding(name: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra

    return PKCS1v15() if name == "pkcs1v15" else PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH)


def _loaded(load: Any, pem: bytes, name: str) -> object:
    try:
        return load(pem)
    except Exception as error:  # noqa: BLE001 - cryptography raises errors of several kinds, and its own UnsupportedAlgorithm
        # Without the cause: it may repeat what it was given, which can be a private key.
        raise ConfigurationError(f"{name} can't be read as a key in PEM ({type(error).__name__})") from None


def _pem(name: str, given: object) -> bytes:
    if not isinstance(given, str | bytes):
        raise ConfigurationError(f"{name} must be a PEM as str or bytes, not {type(given).__name__}")
    data = given.encode("utf-8", "replace") if isinstance(given, str) else given
    if b"-----BEGIN" in data:
        return data
    try:
        data = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if b"-----BEGIN" not in data:
        raise ConfigurationError(f"{name} must be a PEM (-----BEGIN …), or the base64 of one")
    return data
