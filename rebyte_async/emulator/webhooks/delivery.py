"""Whoever carries a webhook's letters: one after the other, each again and again until it is taken or given up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from rebyte_async.emulator.webhooks.log import Attempt
from rebyte_async.emulator.webhooks.loopback import LoopbackResolver, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rebyte_async.emulator.service import State
    from rebyte_async.emulator.state.webhooks import Webhook
    from rebyte_async.emulator.webhooks.log import Outcome
    from rebyte_async.emulator.webhooks.message import QueuedDelivery

_HEADERS = {"Content-Type": "application/json", "User-Agent": "Rebyte-Webhooks"}


def post(state: State, webhook: Webhook, letter: QueuedDelivery) -> None:
    """Have a letter carried; returns at once."""
    if letter.waits_for:
        webhook.held_back.append(letter)
    else:
        webhook.letters.append(letter)
        _wake(state, webhook)


def _wake(state: State, webhook: Webhook) -> None:
    if webhook.courier is None or webhook.courier.done():
        webhook.courier = state.spawn(_work(state, webhook))


async def _work(state: State, webhook: Webhook) -> None:
    while webhook.letters:
        await _carry(state, webhook, webhook.letters.popleft())


async def _carry(state: State, webhook: Webhook, letter: QueuedDelivery) -> None:
    if webhook.is_deleted:
        _settle(state, webhook, letter, "dropped")
    elif not is_loopback(URL(webhook.url).host):
        _settle(state, webhook, letter, "skipped")
    else:
        await _try(state, webhook, letter)


async def _try(state: State, webhook: Webhook, letter: QueuedDelivery) -> None:
    attempt = await _attempt(state, webhook, letter)
    letter.entry.attempted(attempt)
    webhook.attempted(state.clock(), succeeded=attempt.succeeded, patience=state.delivery.deactivate_after)
    if attempt.succeeded:
        _settle(state, webhook, letter, "delivered")
    elif len(letter.entry.delivery.attempts) >= state.delivery.attempts:
        _settle(state, webhook, letter, "failed")
    else:
        state.spawn(_try_later(state, webhook, letter))


async def _try_later(state: State, webhook: Webhook, letter: QueuedDelivery) -> None:
    await asyncio.sleep(state.delivery.backoff * 2 ** (len(letter.entry.delivery.attempts) - 1))
    post(state, webhook, letter)


def _settle(state: State, webhook: Webhook, letter: QueuedDelivery, outcome: Outcome) -> None:
    letter.entry.settle(outcome)
    for held in [held for held in webhook.held_back if held.is_older(letter)]:
        held.waits_for -= 1
        if not held.waits_for:
            webhook.held_back.remove(held)
            webhook.letters.appendleft(held)
            _wake(state, webhook)


async def _attempt(state: State, webhook: Webhook, letter: QueuedDelivery) -> Attempt:
    now, body = datetime.now(UTC), letter.body
    headers = {**_HEADERS, **await letter.headers(state.webhook_key, webhook.secret, now)}
    status, error = None, None
    try:
        status = await _send(webhook.url, headers, body, state.delivery.timeout)
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
