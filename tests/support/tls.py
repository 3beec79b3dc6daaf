"""TLS on loopback, with an authority of its own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from aiohttp import ClientSession, TCPConnector
from attrs import frozen

__all__ = ["Tls", "make_tls"]


@frozen
class Tls:
    """A server's TLS, and sessions that trust it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    ca: Path
    """The file of the authority that signed the server's certificate."""

    def session(self) -> ClientSession:
        """A session for an application to hand in."""
        return ClientSession(connector=TCPConnector(ssl=self.client))


def make_tls(folder: Path) -> Tls:
    """Make a certificate for 127.0.0.1, and for the names that the tests' proxies alone know."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "api.invalid", "storage.invalid").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    return Tls(server, client, ca)
