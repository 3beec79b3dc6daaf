"""An emulator, and a plain client of it, for all tests of the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from emulator.raw_client import RawClient
from rebyte_async.emulator import DeliveryPolicy, Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator in the test's own event loop."""
    async with Emulator(pace=0.001) as emulator:
        yield emulator
        emulator.check()


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[RawClient]:
    """A plain client of the emulator."""
    async with aiohttp.ClientSession() as session:
        yield RawClient(emulator, session)


@pytest.fixture(scope="session")
def webhook_key() -> str:
    """A key to sign deliveries with; all tests share it, because generating one takes time."""
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
async def signing_emulator(webhook_key: str) -> AsyncIterator[Emulator]:
    """An emulator with a signing key, which doesn't wait between attempts at a delivery."""
    policy = DeliveryPolicy(backoff=0)
    async with Emulator(pace=0.001, webhook_key=webhook_key, delivery=policy) as emulator:
        yield emulator
        emulator.check()


@pytest.fixture
async def signing_http(signing_emulator: Emulator) -> AsyncIterator[RawClient]:
    """A plain client of the signing emulator."""
    async with aiohttp.ClientSession() as session:
        yield RawClient(signing_emulator, session)
