"""Endpoints: the paths that ids make."""

from __future__ import annotations

from typing import Any

import pytest

from rebyte_async._wire import endpoints
from rebyte_async.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("a-b", "/tasks/a-b"),
        ("a/b", "/tasks/a%2Fb"),
        ("a?b#c", "/tasks/a%3Fb%23c"),
        ("%2f", "/tasks/%252f"),
        ("ü 字", "/tasks/%C3%BC%20%E5%AD%97"),
        ("...", "/tasks/..."),
        ("../x", "/tasks/..%2Fx"),
    ],
)
def test_an_id_stays_one_segment(task_id: str, path: str) -> None:
    """An id is one segment of the path, whatever it holds."""
    assert endpoints.GET_TASK.path(task_id=task_id) == path


@pytest.mark.parametrize("task_id", ["", " ", ".", "..", None, 5, "\ud800"])
def test_an_id_that_cannot_be_right_is_refused_by_name(task_id: Any) -> None:
    """The error names the argument."""
    with pytest.raises(InvalidRequestError, match="task_id"):
        endpoints.GET_TASK.path(task_id=task_id)


DELETES = [
    value for value in vars(endpoints).values() if isinstance(value, endpoints.Endpoint) and value.method == "DELETE"
]


@pytest.mark.parametrize("endpoint", DELETES, ids=lambda endpoint: endpoint.template)
def test_a_repeated_delete_may_find_nothing(endpoint: endpoints.Endpoint) -> None:
    """What the first attempt deleted isn't there for the second, which is a success and nothing else is."""
    assert endpoint.success_on_retry == {404}
