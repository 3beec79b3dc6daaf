"""JSON, with orjson and without it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async._wire.events import decode_event
from rebyte_async._wire.json import Backend, as_array, as_int, as_object, as_str, dumps, loads, plain_loads

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_both_backends_agree(value: Any) -> None:
    """With and without orjson the same documents are written and read."""
    document = json.dumps(value, ensure_ascii=False)
    assert loads(document) == plain_loads(document) == value
    assert loads(document.encode()) == plain_loads(document.encode()) == value
    assert json.loads(dumps(value)) == value


def test_a_backend_that_is_not_installed_is_replaced() -> None:
    """Without orjson the standard library reads and writes."""
    for absent in (Backend(None), Backend("no_such_module")):
        assert absent.loads is plain_loads


def test_orjson_is_used_where_it_is_installed() -> None:
    """The extra `speed` needs no setting."""
    orjson = pytest.importorskip("orjson")
    assert Backend().loads is orjson.loads


def test_bad_unicode_is_replaced(backend: Backend) -> None:
    """Bad UTF-8 and half a surrogate pair become U+FFFD, so that every string can be printed and sent."""
    assert loads(b'"a\xffb"', backend) == "a\ufffdb"
    for half in (r'"\ud83d"', r'"\uD83D"'):
        assert loads(half, backend) == "\ufffd"
    assert loads(b'"\xed\xa0\x80"', backend) == "\ufffd\ufffd\ufffd"
    assert loads(r'{"\ud83d": ["\uDE00\ud83d", "\ud83d\ude00", "\\ud83d"]}', backend) == {
        "\ufffd": ["\ufffd\ufffd", "\U0001f600", "\\ud83d"]
    }
    assert decode_event(b'{"eventType": "text", "payload": {"content": "\xf0\x9f\x8e"}}', backend).payload == {
        "content": "\ufffd"
    }


@pytest.mark.parametrize("data", [b"", b"NaN", b"-Infinity", b"{'a': 1}", b"1 2", b"[" * 100_000, b"01", b"\xff"])
def test_data_that_is_no_json(data: bytes, backend: Backend) -> None:
    """Data that can't be read raises a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the backend's own
        loads(data, backend)


def test_documents_are_written_compact() -> None:
    """JSON is written compact, in UTF-8; a value without a JSON form raises a TypeError, also where orjson has one."""
    assert dumps({"a": [1, None, "é"], "b": 2**70, "c": {1: 2}}) == (
        '{"a":[1,null,"é"],"b":1180591620717411303424,"c":{"1":2}}'.encode()
    )
    for value in (object(), "\ud83d", float("nan"), float("-inf"), datetime.now(UTC), UUID(int=1), b"x", {1}):
        with pytest.raises(TypeError):
            dumps({"a": value})


def test_half_a_surrogate_pair_is_not_written() -> None:
    """UTF-8 doesn't have it; the error says which half it is."""
    with pytest.raises(TypeError, match=r"a text has U\+DCE9, half of a surrogate pair"):
        dumps({"prompt": "caf\udce9"})


def test_a_value_of_another_type_is_none() -> None:
    """The guards return a value of their own type, and None for any other."""
    values: list[Any] = [None, True, 5, 5.0, "5", [5], {"5": 5}]
    assert [as_int(value) for value in values] == [None, None, 5, None, None, None, None]
    assert [as_str(value) for value in values] == [None, None, None, None, "5", None, None]
    assert [as_array(value) for value in values] == [None, None, None, None, None, [5], None]
    assert [as_object(value) for value in values] == [None, None, None, None, None, None, {"5": 5}]
