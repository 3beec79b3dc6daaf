"""Whoever carries a webhook's letters: one after the other, each again and again until it is taken or given up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from rebyte_async.emulator.webhooks.deliveries import Attempt
from rebyte_async.emulator.webhooks.loopback import LoopbackResolver, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rebyte_async.emulator.state.webhooks import Webhook
    from rebyte_async.emulator.webhooks.deliveries import Outcome
    from rebyte_async.emulator.webhooks.letter import Letter
    from rebyte_async.emulator.world import World

_HEADERS = {"Content-Type": "application/json", "User-Agent": "Rebyte-Webhooks"}


def post(world: World, webhook: Webhook, letter: Letter) -> None:
    """Have a letter carried; returns at once."""
    if letter.waits_for:
        webhook.held_back.append(letter)
    else:
        webhook.letters.append(letter)
        _wake(world, webhook)


def _wake(world: World, webhook: Webhook) -> None:
    if webhook.courier is None or webhook.courier.done():
        webhook.courier = world.spawn(_work(world, webhook))


async def _work(world: World, webhook: Webhook) -> None:
    while webhook.letters:
        await _carry(world, webhook, webhook.letters.popleft())


async def _carry(world: World, webhook: Webhook, letter: Letter) -> None:
    if webhook.is_deleted:
        _settle(world, webhook, letter, "dropped")
    elif not is_loopback(URL(webhook.url).host):
        _settle(world, webhook, letter, "skipped")
    else:
        await _try(world, webhook, letter)


async def _try(world: World, webhook: Webhook, letter: Letter) -> None:
    attempt = await _attempt(world, webhook, letter)
    letter.entry.attempted(attempt)
    webhook.attempted(world.clock(), succeeded=attempt.succeeded, patience=world.delivery.deactivate_after)
    if attempt.succeeded:
        _settle(world, webhook, letter, "delivered")
    elif len(letter.entry.delivery.attempts) >= world.delivery.attempts:
        _settle(world, webhook, letter, "failed")
    else:
        world.spawn(_try_later(world, webhook, letter))


async def _try_later(world: World, webhook: Webhook, letter: Letter) -> None:
    await asyncio.sleep(world.delivery.backoff * 2 ** (len(letter.entry.delivery.attempts) - 1))
    post(world, webhook, letter)


def _settle(world: World, webhook: Webhook, letter: Letter, outcome: Outcome) -> None:
    letter.entry.settle(outcome)
    for held in [held for held in webhook.held_back if held.is_older(letter)]:
        held.waits_for -= 1
        if not held.waits_for:
            webhook.held_back.remove(held)
            webhook.letters.appendleft(held)
            _wake(world, webhook)


async def _attempt(world: World, webhook: Webhook, letter: Letter) -> Attempt:
    now, body = datetime.now(UTC), letter.body
    headers = {**_HEADERS, **await letter.headers(world.webhook_key, webhook.secret, now)}
    status, error = None, None
    try:
        status = await _send(webhook.url, headers, body, world.delivery.timeout)
    except (aiohttp.ClientError, OSError, ValueError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Attempt(time=now, headers=headers, body=body, status=status, error=error)


async def _send(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
    # A certificate proves nothing about this machine to itself, so none is checked. Redirects aren't followed: they
    # could lead elsewhere.
    connector = aiohttp.TCPConnector(resolver=LoopbackResolver(), use_dns_cache=False, force_close=True, ssl=False)
    limit = aiohttp.ClientTimeout(total=timeout)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=limit) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        return response.status
