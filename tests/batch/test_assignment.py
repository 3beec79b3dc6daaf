"""Which tasks may be assigned to which creates, compared with all assignments of small cases."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.batch.assignment import assign, find_alternatives

CREATES = 5
FITTING = st.lists(st.lists(st.integers(0, CREATES - 1), unique=True), max_size=CREATES)


def all_assignments(fitting: list[list[int]]) -> set[tuple[int, ...]]:
    """All ways to give each task a create of its own, by trying."""
    tried = permutations(range(CREATES), len(fitting))
    return {one for one in tried if all(create in some for create, some in zip(one, fitting, strict=True))}


@given(FITTING)
def test_assignments_and_alternatives_are_those_of_trying_all(fitting: list[list[int]]) -> None:
    """An assignment is found exactly where there is one, and so is every create that a task has in any of them."""
    everything = all_assignments(fitting)
    assigned = assign(fitting)
    if assigned is None:
        assert everything == set()
        return
    assert tuple(assigned) in everything
    expected = [{one[task] for one in everything} for task in range(len(fitting))]
    assert [set(some) for some in find_alternatives(fitting, assigned, range(CREATES))] == expected


def test_a_task_has_the_first_create_that_is_free() -> None:
    """The order of the creates is kept where it can be."""
    assert assign([[0, 1, 2], [0, 1, 2]]) == [0, 1]
    assert assign([[0, 1], [0]]) == [1, 0]


@pytest.mark.parametrize("is_possible", [True, False])
def test_long_chains_of_moves_are_found(is_possible: bool) -> None:
    """However many tasks have to move for another one, and also where that is in vain."""
    count = 3_000
    fitting = [[number, number + 1] if number < count - 1 or is_possible else [number] for number in range(count)]
    fitting.append([0])
    assert assign(fitting) == ([*range(1, count + 1), 0] if is_possible else None)
