"""Keys to sign with, an emulator that delivers, and a client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from webhooks.rsa_keys import KeyPair, make_keys

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import DeliveryPolicy, Emulator, text


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    """Make a key that all tests share, because making one takes time."""
    return make_keys()


@pytest.fixture(scope="session")
def other_keys() -> KeyPair:
    """Make another key."""
    return make_keys()


@pytest.fixture
async def emulator(keys: KeyPair) -> AsyncIterator[Emulator]:
    """Start an emulator that signs with the key."""
    policy = DeliveryPolicy(backoff=0)
    async with Emulator(pace=0.001, webhook_key=keys.private, delivery=policy) as emulator:
        emulator.script(text("Hello"), times=None)
        yield emulator
        emulator.check()


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """Open a client of the emulator."""
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        yield client
