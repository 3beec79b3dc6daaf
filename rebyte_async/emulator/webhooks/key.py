"""The key that deliveries are signed with.

*Source*: contract, section 7 (observed that there is an RSA-SHA256 signature; what is signed is a guess).
"""

from __future__ import annotations

import base64
from threading import Lock
from typing import TYPE_CHECKING

from anyio import to_thread
from attrs import define, field

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_KEY_SIZE = 2048
_EXPONENT = 65537


class NoCryptography(Exception):  # noqa: N818 - it is an answer and no failure of the emulator
    """Nothing can be signed, because `cryptography` isn't installed."""


@define(eq=False)
class SigningKey:
    """An RSA key: the one that was given, or one that is made when it is needed first."""

    _given: bytes | None = field(default=None, repr=False)
    _key: RSAPrivateKey | None = field(default=None, init=False, repr=False)
    _making: Lock = field(factory=Lock, init=False, repr=False)

    async def sign(self, message: bytes) -> str:
        """The signature of a message, in base64: RSA PKCS#1 v1.5 with SHA-256.

        Raises:
            NoCryptography: It isn't installed.
        """
        return await to_thread.run_sync(self._sign, message)

    async def public_pem(self) -> str:
        """The public key as a PEM.

        Raises:
            NoCryptography: It isn't installed.
        """
        return await to_thread.run_sync(self._public_pem)

    def _sign(self, message: bytes) -> str:
        key = self._private()
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - it is an extra
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415 - likewise

        return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()

    def _public_pem(self) -> str:
        key = self._private()
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - it is an extra
            Encoding,
            PublicFormat,
        )

        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def _private(self) -> RSAPrivateKey:
        with self._making:
            self._key = self._key or _load(self._given)
            return self._key


def _load(pem: bytes | None) -> RSAPrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - it is an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - likewise
    except ImportError:
        raise NoCryptography from None
    if pem is None:
        return rsa.generate_private_key(_EXPONENT, _KEY_SIZE)
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("webhook_key must be an RSA key")
    return key
