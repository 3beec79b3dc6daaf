"""The set of delivered events, and what a cursor keeps of it."""

from __future__ import annotations

from typing import Any

from rebyte_async.streams._delivered import DeliveredSet
from rebyte_async.types import UnknownEvent


def test_a_payload_that_is_nested_too_deeply_still_has_an_identity() -> None:
    """A value that Python can't write out is known by the type of its event alone."""
    payload: dict[str, Any] = {}
    for _ in range(100_000):
        payload = {"a": payload}
    events = [UnknownEvent(event_type=kind, payload=payload) for kind in ("x", "x", "y")]
    delivered = DeliveredSet()
    assert [delivered.add(event) for event in events] == [True, True, True]
    delivered.restart()
    assert [delivered.add(event) for event in events] == [False, False, False]
