"""RSA keys to sign with."""

from __future__ import annotations

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

__all__ = ["KeyPair", "make_keys"]


@frozen
class KeyPair:
    """An RSA key, as its two PEMs."""

    private: str
    public: str


def make_keys() -> KeyPair:
    """Make a new key."""
    key = generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())
