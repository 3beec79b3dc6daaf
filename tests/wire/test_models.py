"""JSON becomes models: strictly by type, and with room for what is new."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rebyte_async._wire import models
from rebyte_async.errors import DecodeError
from rebyte_async.types import Artifact, Page, Prompt, Task, TaskContent, Webhook


def test_fields_may_be_missing_null_or_new() -> None:
    """Optional fields may be missing or null, and unknown fields are ignored."""
    task = models.decode(Task, {"id": "t1", "title": None, "createdAt": "yesterday", "new": {"a": 1}})
    assert task == Task(id="t1")


@pytest.mark.parametrize(
    ("document", "path", "problem"),
    [
        (None, "$", "expected an object, got null"),
        ([], "$", "expected an object, got an array"),
        ({}, "$.id", "it is missing"),
        ({"id": None}, "$.id", "expected a string, got null"),
        ({"id": 3.9}, "$.id", "expected a string, got the number 3.9"),
        ({"id": "w", "url": False}, "$.url", "expected a string, got false"),
        ({"id": "w", "isActive": "false"}, "$.isActive", "expected true or false, got a string of 5 characters"),
        ({"id": "w", "failureCount": True}, "$.failureCount", "expected a whole number, got true"),
        ({"id": "w", "failureCount": {}}, "$.failureCount", "expected a whole number, got an object"),
        ({"id": "w", "events": "task.failed"}, "$.events", "expected an array, got a string of 11 characters"),
        ({"id": "w", "events": ["a", 5]}, "$.events[1]", "expected a string, got the number 5"),
        ({"id": "w", "url": 1, "events": 5}, "$.url", "expected a string, got the number 1"),
    ],
)
def test_a_wrong_value_is_named(document: Any, path: str, problem: str) -> None:
    """The error says where the first wrong value is, and what was expected there."""
    with pytest.raises(DecodeError) as caught:
        models.decode(Webhook, document)
    assert caught.value.path == path
    assert str(caught.value) == f"Webhook: {path}: {problem}"


def test_a_status_must_be_a_string() -> None:
    """A field that the model converts itself is checked as well."""
    with pytest.raises(DecodeError, match="a string, got the number 5") as caught:
        models.decode(Task, {"id": "t", "prompts": [{"id": "p"}, {"id": "q", "status": 5}]})
    assert caught.value.path == "$.prompts[1].status"


@pytest.mark.parametrize(
    ("event", "path"), [({"payload": {}}, "$.prompts[0].events[0].eventType"), (5, "$.prompts[0].events[0]")]
)
def test_a_wrong_event_of_a_turn_is_named(event: Any, path: str) -> None:
    """The path of an event's error continues the path of the event."""
    with pytest.raises(DecodeError) as caught:
        models.decode(TaskContent, {"id": "t", "prompts": [{"id": "p", "events": [event]}]})
    assert caught.value.path == path


def test_a_note_of_another_library_is_not_part_of_the_path() -> None:
    """Only cattrs' notes name the place of a wrong value."""

    def refuse(value: str) -> str:
        error = TypeError(f"no {value}")
        error.add_note("a note")
        raise error

    model = attrs.make_class("Model", {"file_name": attrs.field(type=str, converter=refuse)})
    with pytest.raises(DecodeError, match=r"Model: \$: no x") as caught:
        models.decode(model, {"fileName": "x"})
    assert caught.value.path == "$"


def test_an_error_keeps_the_document_without_secrets() -> None:
    """The error shows the beginning of the document, and no value of a field that is named like a secret."""
    document = {"id": 5.5, "sandboxApiKey": 's3cr"et', "text": "rbk_0123 " + "x" * 5000}
    with pytest.raises(DecodeError) as caught:
        models.decode(Task, document)
    body = caught.value.body
    assert body is not None
    assert body.startswith('{"id":5.5,"sandboxApiKey":"…","text":"rbk_… xxx')
    assert len(body) == 2000


def test_what_servers_of_other_makes_send_is_read() -> None:
    """An id may be a number, an empty list null, and a total a text or 7.0."""
    assert models.decode(Webhook, {"id": 17, "events": None}) == Webhook(id="17")
    assert models.decode(Task, {"id": 17, "workspaceId": 5, "prompts": None}).workspace_id == "5"
    assert models.decode_items(Prompt, {"prompts": None}, ("data", "prompts")) == ()
    for total in ("7", 7.0):
        assert models.decode_page(Prompt, {"data": None, "total": total}, limit=1, offset=0) == Page((), 7, 1, 0)


def test_a_list_is_found_bare_or_under_a_key() -> None:
    """A list may be bare, or under any of the keys; the first key that is there counts."""
    items = [{"id": "p1"}, {"id": "p2"}]
    for document in (items, {"prompts": items}, {"data": items, "prompts": None}):
        assert models.decode_items(Prompt, document, ("data", "prompts")) == (Prompt(id="p1"), Prompt(id="p2"))


def test_a_field_may_have_another_name() -> None:
    """An alias is read as the field's name, unless the name itself is there."""
    document = [{"name": "a", "size": 1}, {"filename": "b", "name": "c"}]
    items = models.decode_items(Artifact, document, ("artifacts",), aliases={"name": "filename"})
    assert [item.filename for item in items] == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (None, "$"),
        ("x", "$"),
        ({}, "$.data"),
        ({"prompts": {}}, "$.prompts"),
        ([5], "$[0]"),
        ({"data": [{"id": "p"}, {}]}, "$.data[1].id"),
    ],
)
def test_a_document_that_is_no_list_is_refused(document: Any, path: str) -> None:
    """The error says where the list was expected, or which item is wrong."""
    with pytest.raises(DecodeError) as caught:
        models.decode_items(Prompt, document, ("data", "prompts"))
    assert caught.value.path == path


def test_a_page_keeps_what_was_asked_for() -> None:
    """A page knows its limit and offset; the total may be missing."""
    assert models.decode_page(Prompt, {"data": [], "total": 7}, limit=5, offset=10) == Page((), 7, 5, 10)
    assert models.decode_page(Prompt, {"data": []}, limit=5, offset=10) == Page((), None, 5, 10)
    assert models.decode_page(Prompt, [], limit=5, offset=10) == Page((), None, 5, 10)


@pytest.mark.parametrize("total", ["seven", "-1", "7" * 19, "", 7.5, float("inf"), True, {}])
def test_a_total_must_be_a_whole_number(total: Any) -> None:
    """A total of another type is an error."""
    with pytest.raises(DecodeError, match="expected a whole number") as caught:
        models.decode_page(Prompt, {"data": [], "total": total}, limit=1, offset=0)
    assert caught.value.path == "$.total"


@pytest.mark.parametrize(
    ("body", "message", "kept"),
    [
        (b" \n", "GET /x: expected JSON, got an empty body", ""),
        (b"busy rbk_1", "GET /x: expected JSON, got something else", "busy rbk_…"),
        (b"<html>", "GET /x: expected JSON, got something else", None),
        (b"x" * 5000, "GET /x: expected JSON, got something else", "x" * 2000),
    ],
)
def test_a_body_that_is_no_json_is_an_error(body: bytes, message: str, kept: str | None) -> None:
    """The error names the request and keeps the beginning of the body."""
    with pytest.raises(DecodeError) as caught:
        models.parse(body, lambda: "GET /x")
    assert str(caught.value) == message
    assert caught.value.body == kept


def test_a_body_is_parsed() -> None:
    """A body of JSON becomes its value."""
    assert models.parse(b'{"a": [1, null]}', lambda: "GET /x") == {"a": [1, None]}


def test_preloading_changes_nothing() -> None:
    """Decoding works the same after `preload`."""
    models.preload()
    assert models.decode(Prompt, {"id": "p"}) == Prompt(id="p")
