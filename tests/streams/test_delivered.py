"""The set of digests that a stream keeps of its events' keys."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from rebyte_async.streams._delivered import CompactIntSet, DeliveredSet
from rebyte_async.types import UnknownEvent

DIGESTS = st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 40).map(lambda number: number << 32))


@given(DIGESTS)
@example([number << 32 for number in range(1, 200)])
def test_the_compact_set_behaves_like_a_set(digests: list[int]) -> None:
    """The set has what was added and nothing else, even where all numbers share a slot, and lists it in order."""
    ours = CompactIntSet()
    model = set[int]()
    for digest in digests:
        assert ours.add(digest) is (digest not in model)
        model.add(digest)
    assert len(ours) == len(model)
    assert bytes(ours) == b"".join(digest.to_bytes(8, "little") for digest in sorted(model))
    again = CompactIntSet(bytes(ours))
    assert bytes(again) == bytes(ours)
    assert not any(again.add(digest) for digest in digests)


def test_zero_counts_as_one() -> None:
    """0 marks a free slot of the table, so that the number 0 is taken for 1."""
    digests = CompactIntSet()
    assert digests.add(0)
    assert not digests.add(1)


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
