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


ENDPOINTS = [value for value in vars(endpoints).values() if isinstance(value, endpoints.Endpoint)]
PAID = {("POST", "/tasks"), ("POST", "/tasks/{task_id}/prompts"), ("POST", "/agent-computers"), ("POST", "/webhooks")}
"""What would run, and be paid for, or be delivered twice if it was sent twice."""


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.template}")
def test_what_may_be_sent_again_and_what_is_a_success_then(endpoint: endpoints.Endpoint) -> None:
    """What the first attempt deleted isn't there for the second, and what it answered is answered; nothing else is."""
    assert endpoint.idempotent is ((endpoint.method, endpoint.template) not in PAID)
    after_answer = {409} if endpoint.template.endswith("/answer") else set[int]()
    assert endpoint.success_on_retry == ({404} if endpoint.method == "DELETE" else after_answer)


def test_the_statuses_of_an_expired_url() -> None:
    """Those with which storages refuse a signature (contract §5, a guess)."""
    assert {status for status in range(600) if status in endpoints.URL_EXPIRED} == {400, 401, 403, 404, 410}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("is_repeatable", [None, True, False])
def test_an_operation_of_ones_own(method: str, *, is_repeatable: bool | None) -> None:
    """It may be sent again where its method or its caller says so."""
    endpoint = endpoints.custom_endpoint(method, "/a/b..c/%2F/", is_repeatable=is_repeatable)
    by_method = method in {"GET", "HEAD", "PUT", "DELETE"}
    assert endpoint == endpoints.Endpoint(
        method, "/a/b..c/%2F/", idempotent=by_method if is_repeatable is None else is_repeatable
    )


@pytest.mark.parametrize("method", ["get", "", "GET ", "GET\r\n", 5, None])
def test_what_is_no_method_is_refused(method: Any) -> None:
    """A method is a word in capitals."""
    with pytest.raises(InvalidRequestError, match="method must be an HTTP method in capitals"):
        endpoints.custom_endpoint(method, "/tasks")


@pytest.mark.parametrize(
    "path", ["", "tasks", "//host/x", "/a//b", "/a?b", "/a#b", "/a b", "/ü", "/%2", "/a\n", 5, None]
)
def test_what_is_no_path_is_refused(path: Any) -> None:
    """A path is absolute, encoded, and names no host."""
    with pytest.raises(InvalidRequestError, match="path must be a path below base_url"):
        endpoints.custom_endpoint("GET", path)


@pytest.mark.parametrize("path", ["/.", "/a/..", "/../b", "/a/./b", "/%2e%2E/b"])
def test_a_path_leads_nowhere_else(path: str) -> None:
    """A dot segment would be resolved before it is sent."""
    with pytest.raises(InvalidRequestError, match="must have no dot segment"):
        endpoints.custom_endpoint("GET", path)
