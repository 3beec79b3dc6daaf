"""The set of digests that a stream keeps of its events' keys."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rebyte_async.streams._dedup import CompactIntSet

DIGESTS = st.lists(st.integers(1, 2**64 - 1) | st.integers(1, 40).map(lambda number: number << 32))


@given(DIGESTS)
@example([number << 32 for number in range(1, 200)])
def test_it_is_a_set(digests: list[int]) -> None:
    """It finds what was put in and nothing else, also where all places coincide, and gives it back in order."""
    ours, model = CompactIntSet(), set[int]()
    for digest in digests:
        assert ours.add(digest) is (digest not in model)
        model.add(digest)
    assert len(ours) == len(model)
    assert bytes(ours) == b"".join(digest.to_bytes(8, "little") for digest in sorted(model))
    again = CompactIntSet(bytes(ours))
    assert bytes(again) == bytes(ours)
    assert not any(again.add(digest) for digest in digests)


def test_nothing_counts_as_one() -> None:
    """A digest of 0 stands for a free place in the table, so that it is taken for 1."""
    digests = CompactIntSet()
    assert digests.add(0)
    assert not digests.add(1)
