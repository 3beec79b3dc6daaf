"""Clients for tests."""

from __future__ import annotations

from typing import Any

from rebyte_async import AsyncRebyte, RetryPolicy

__all__ = ["KEY", "QUICK", "client_of"]

KEY = "rbk_test_0123456789"
QUICK = RetryPolicy(base_delay=0.001, max_delay=0.01)


def client_of(url: str, **options: Any) -> AsyncRebyte:
    """A client that retries as often as usual, but hardly waits."""
    options.setdefault("retry", QUICK)
    return AsyncRebyte(KEY, base_url=url, **options)
