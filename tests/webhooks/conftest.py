"""Keys to sign with, and an emulator that delivers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from webhooks.pairs import KeyPair, make_keys

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import DeliveryPolicy, Emulator, text


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    """A key that all tests share, for it takes time to make one."""
    return make_keys()


@pytest.fixture(scope="session")
def other_keys() -> KeyPair:
    """Another one."""
    return make_keys()


@pytest.fixture
async def emulator(keys: KeyPair) -> AsyncIterator[Emulator]:
    """An emulator that signs with the key, whose agents say a word each."""
    policy = DeliveryPolicy(backoff=0)
    async with Emulator(pace=0.001, webhook_key=keys.private, delivery=policy) as emulator:
        emulator.script(text("Hello"), times=None)
        yield emulator
        emulator.check()


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """A client of it."""
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        yield client
