"""TLS on loopback."""

from __future__ import annotations

import ssl

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector
from attrs import frozen


@frozen
class Tls:
    """A server's TLS, and sessions that trust it."""

    server: ssl.SSLContext
    client: ssl.SSLContext

    def session(self) -> ClientSession:
        """A session for an application to hand in."""
        return ClientSession(connector=TCPConnector(ssl=self.client))


@pytest.fixture(scope="session")
def tls() -> Tls:
    """A certificate for 127.0.0.1."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Tls(server, client)
