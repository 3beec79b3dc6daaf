"""What holds for every class that is exported and compares by its fields: models, settings, faults, steps, records."""

from __future__ import annotations

import collections.abc
import copy
import importlib
import inspect
import os
import pickle
import pkgutil
import re
import typing
from datetime import UTC, datetime, timedelta
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from yarl import URL

import rebyte_async
from rebyte_async import Response
from rebyte_async.batch import BatchItem, BatchProgress, PostgresJournal
from rebyte_async.batch.journal import ItemRecord, RunJournal
from rebyte_async.batch.ray import ClientSettings
from rebyte_async.emulator import Emulator, Match, TrafficLog, text
from rebyte_async.emulator.faults import Rewrite
from rebyte_async.emulator.script import Delegate
from rebyte_async.types import Page, ResponseInfo, Task, UnknownEvent, Value
from rebyte_async.webhooks import Receipt, SignatureScheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebyte_async import AsyncRebyte

HOSTILE = "<script>alert(1)</script>\n\x1b[31m&\u202e\"'"
MADE: dict[type[Any], Any] = {
    BatchItem: BatchItem("k", HOSTILE, executor="claude", files=["a"], skills=["b"], extra={"a": [1]}),
    ClientSettings: ClientSettings(api_key=os.getcwd),
    Delegate: Delegate(prompt=HOSTILE, steps=(text(HOSTILE),)),
    Match: Match("GET", "/tasks"),
    PostgresJournal: PostgresJournal("postgresql://u:hush@db.invalid/x", batch="nightly"),
    Response: Response(200, b"{}", "GET", URL("https://a.invalid/x?sig=hush")),
    Rewrite: Rewrite(dict),
    SignatureScheme: SignatureScheme(),
}
"""Instances of the classes of which only some values are right."""
MUTABLE = {ItemRecord, RunJournal, TrafficLog}
"""What changes while a program runs: it is no value, though it compares by its fields."""
_OF_TYPES: dict[Any, Any] = {
    Any: {"deep": [1, {"x": None}]},
    NoneType: None,
    str: HOSTILE,
    bytes: b"\x00",
    bool: True,
    int: 3,
    float: 1.5,
    datetime: datetime(2026, 1, 2, tzinfo=UTC),
    timedelta: timedelta(seconds=3),
    Exception: ValueError("no"),
    Path: Path("a"),
}


def find_classes() -> Iterator[type[Any]]:
    """All classes in the `__all__` of a public module that are made by attrs and compare by their fields."""
    found = pkgutil.walk_packages(rebyte_async.__path__, "rebyte_async.")
    names = ["rebyte_async", *(module.name for module in found if "._" not in module.name)]
    modules = [importlib.import_module(name) for name in names]
    values = {id(value): value for module in modules for value in map(vars(module).get, getattr(module, "__all__", ()))}
    for value in (*values.values(), rebyte_async.Timeouts, rebyte_async.RetryPolicy, Response):
        if inspect.isclass(value) and attrs.has(value) and value.__eq__ is not object.__eq__:
            yield value


def make(kind: Any) -> Any:
    """Make something of a type, with text that is hostile to terminals and browsers."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, typing.TypeVar):
        made: Any = Task(id=HOSTILE)
    elif kind in _OF_TYPES or kind is object:
        made = _OF_TYPES.get(kind, HOSTILE)
    elif origin in (typing.Union, UnionType):
        made = make(next(each for each in arguments if each is not NoneType))
    elif origin is typing.Literal:
        made = arguments[0]
    elif origin in (tuple, frozenset, list):
        made = origin([make(arguments[0])])
    elif origin in (dict, collections.abc.Mapping):
        made = {HOSTILE: make(arguments[1])}
    elif issubclass(kind, Enum):
        made = next(iter(kind))
    else:
        made = build(kind)
    return made


def build(cls: type[Any]) -> Any:
    """Make an instance with all of its fields set."""
    if cls in MADE:
        return MADE[cls]
    hints = typing.get_type_hints(cls)
    return cls(**{item.alias: make(hints[item.name]) for item in attrs.fields(cls) if item.init})


CLASSES = sorted(set(find_classes()) - MUTABLE, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_public_value_is_a_value(cls: type[Any]) -> None:
    """It is hashable, and copies and pickles as an equal; its repr is one line, without what is left out of it."""
    value = build(cls)
    assert {value: 1}[copy.copy(value)] == {value: 1}[copy.deepcopy(value)] == 1
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(pickle.loads(pickle.dumps(value))) == hash(value)
    assert repr(value).isprintable()
    assert "hush" not in repr(value)


def test_the_classes_are_found() -> None:
    """The search finds what there is: models, batches, webhooks, faults and steps."""
    assert len(CLASSES) > 80
    assert {Task, Page, BatchProgress, Receipt, Rewrite, Delegate, rebyte_async.Timeouts} <= set(CLASSES)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base's name
        self.tags.add(tag)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, Value)], ids=lambda cls: cls.__name__)
def test_no_text_of_a_value_becomes_markup(cls: type[Value]) -> None:
    """In a notebook it is a table, and whatever came from the service is text in it."""
    page = _Tags()
    page.feed(build(cls)._repr_html_())
    assert page.tags <= {"table", "caption", "tr", "th", "td"}
    assert "table" in page.tags


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, Value)], ids=lambda cls: cls.__name__)
def test_a_value_is_json(cls: type[Value]) -> None:
    """Its JSON has JSON's types alone, under names in the API's spelling."""
    document = build(cls).to_dict()
    assert document == pickle.loads(pickle.dumps(document))
    if cls is not UnknownEvent:  # which is the document that came
        assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in document)

    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(type(key) is str for key in value) and all(map(plain, value.values()))
        return all(map(plain, value)) if type(value) is list else type(value) in {str, int, float, bool, NoneType}

    assert plain(document)


async def test_what_a_client_and_an_emulator_record_pickles(rebyte_emulator: Emulator) -> None:
    """Responses, their infos and the emulator's records are equal after pickling, headers in any case included."""
    infos: list[ResponseInfo] = []
    client: AsyncRebyte
    async with rebyte_async.AsyncRebyte(
        rebyte_emulator.api_key, base_url=rebyte_emulator.url, on_response=infos.append
    ) as client:
        response = await client.request("GET", "/tasks", query={"limit": 1})
    values: list[Any] = [response, infos[0], rebyte_emulator.log[0]]
    for value in values:
        back = pickle.loads(pickle.dumps(value))
        assert (back, hash(back)) == (value, hash(value))
        assert dict(back.headers) == dict(value.headers)
    assert pickle.loads(pickle.dumps(response)).headers["CONTENT-TYPE"].startswith("application/json")


def test_an_error_is_equal_to_its_copy_in_a_receipt() -> None:
    """A receipt with an error equals its pickle, and differs from one with another error."""
    receipt = Receipt(status=401, error=ValueError("a"))
    assert receipt == pickle.loads(pickle.dumps(receipt)) != Receipt(status=401, error=ValueError("b"))
