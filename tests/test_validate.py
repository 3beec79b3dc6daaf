"""The checks of arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

from rebyte_async import _validate
from rebyte_async.batch import BatchItem
from rebyte_async.errors import ConfigurationError, InvalidRequestError
from rebyte_async.types import Task


def refused(message: str) -> pytest.RaisesExc[InvalidRequestError]:
    """The error of a check, whole."""
    return pytest.raises(InvalidRequestError, match=re.escape(message) + "$")


@pytest.mark.parametrize("value", [0, 0.0, 3, 2.5, math.inf])
def test_numbers_of_seconds_pass(value: float) -> None:
    """Whole or not, 0 and infinity among them, unless the caller refuses those."""
    assert _validate.seconds("timeout", value) == value
    assert _validate.optional_seconds("timeout", value) == value


@pytest.mark.parametrize("value", [-1, -0.5, math.nan, -math.inf, True, "3", None, 10**400])
def test_what_is_no_number_of_seconds_is_refused(value: object) -> None:
    """The message names the argument and shows what was given."""
    with refused(f"timeout must be a number of seconds, at least 0, not {value!r:.80}"):
        _validate.seconds("timeout", value)


@pytest.mark.parametrize("value", [0, 0.0, -1])
def test_zero_is_refused_where_it_makes_no_sense(value: float) -> None:
    """The message says so."""
    with refused(f"timeout must be a number of seconds above 0, not {value!r}"):
        _validate.seconds("timeout", value, above_zero=True)
    with refused(f"timeout must be a number of seconds above 0, or None, not {value!r}"):
        _validate.optional_seconds("timeout", value, above_zero=True)


@pytest.mark.parametrize("value", [5e-324, 0.5, 1, math.inf])
def test_all_above_zero_passes(value: float) -> None:
    """However little it is."""
    assert _validate.seconds("timeout", value, above_zero=True) == value


def test_infinity_is_refused_where_it_makes_no_sense() -> None:
    """A finite number passes."""
    assert _validate.seconds("settle", 5, finite=True) == 5
    with refused("settle must be a number of seconds, at least 0, not inf"):
        _validate.seconds("settle", math.inf, finite=True)
    with refused("settle must be a number of seconds, at least 0, or None, not inf"):
        _validate.optional_seconds("settle", math.inf, finite=True)


def test_none_passes_where_it_means_something() -> None:
    """No limit, or a default."""
    assert _validate.optional_seconds("timeout", None) is None
    assert _validate.optional_text("title", None) is None


def test_other_numbers_are_named_by_their_kind() -> None:
    """The caller says what the number is of."""
    assert _validate.number("budget", math.inf) == math.inf
    with refused("budget must be a number of retries, at least 0, not -1"):
        _validate.number("budget", -1, kind="a number of retries")


@pytest.mark.parametrize(("value", "minimum"), [(1, 1), (0, 0), (100, 1)])
def test_counts_pass(value: int, minimum: int) -> None:
    """From the minimum on."""
    assert _validate.count("concurrency", value, minimum=minimum) == value


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_what_is_no_count_is_refused(value: object) -> None:
    """A number of a fraction's type is no count, and neither is a bool."""
    with refused(f"concurrency must be a whole number, at least 1, not {value!r}"):
        _validate.count("concurrency", value)


def test_texts_pass() -> None:
    """Valid texts are returned as they are."""
    assert _validate.text("prompt", " Do it ") == " Do it "
    assert _validate.optional_text("title", "ü" * 3, longest=3) == "üüü"


@pytest.mark.parametrize("value", ["", " \n", 3, b"bytes", None])
def test_what_is_no_text_is_refused(value: object) -> None:
    """White space alone is no text either."""
    with refused(f"prompt must be a string that isn't empty, not {value!r}"):
        _validate.text("prompt", value)


@pytest.mark.parametrize("value", ["", " \n", 3])
def test_what_is_no_optional_text_is_refused(value: object) -> None:
    """The message says that None would do."""
    with refused(f"title must be a string that isn't empty, or None, not {value!r}"):
        _validate.optional_text("title", value)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("task_id", Task(id="t1", status="running"), "task.id"),
        ("workspace_id", Task(id="t1", status="running", workspace_id="w1"), "task.workspace_id"),
        ("prompt", BatchItem("a", "Do it"), "batch_item.prompt"),
    ],
)
def test_a_part_that_was_meant_is_named(name: str, value: object, part: str) -> None:
    """Where a whole model was given, and a string of it was asked for."""
    with refused(f"{name} must be a string, not {value!r:.80}: pass {part}"):
        _validate.text(name, value)


def test_no_part_is_named_where_none_was_meant() -> None:
    """An id is meant only where one was asked for."""
    task = Task(id="t1", status="running")
    with refused(f"prompt must be a string that isn't empty, not {task!r:.80}"):
        _validate.text("prompt", task)


@pytest.mark.parametrize("check", [_validate.text, _validate.optional_text])
def test_texts_that_are_too_long_are_refused(check: Callable[..., object]) -> None:
    """The message says how long they are, and doesn't repeat them."""
    with refused("prompt must have at most 1,000 characters, not 1,001"):
        check("prompt", "x" * 1001, longest=1000)


def test_header_names() -> None:
    """A token as HTTP defines it."""
    assert _validate.header_name("secret_header", "X-Webhook-Secret") == "X-Webhook-Secret"
    for wrong in ("", "two words", "x:y", "ü", "x\n", 3):
        with refused(f"secret_header must be the name of a header, not {wrong!r}"):
            _validate.header_name("secret_header", wrong)


def test_header_values() -> None:
    """One line; what was given isn't repeated, for it may be a secret."""
    assert _validate.header_value("X-Team", "a, b") == "a, b"
    assert _validate.header_value("X-Team", "Zürich\t中") == "Zürich\t中"
    for wrong in ("a\r\nb", "a\nb", "a\0", "a\x0bb", "\x1b[2J", "\x7f", "\ud800", 3):
        with refused("the header X-Team must be a string on one line, without control characters"):
            _validate.header_value("X-Team", wrong)


def test_the_caller_chooses_the_error() -> None:
    """Settings raise another class than the arguments of calls."""
    with pytest.raises(ConfigurationError):
        _validate.seconds("connect", 0, above_zero=True, error=ConfigurationError)
    with pytest.raises(ConfigurationError):
        _validate.count("limit", 0, error=ConfigurationError)
    with pytest.raises(ConfigurationError):
        _validate.text("url", "", error=ConfigurationError)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1"]
)
def test_this_machine_is_recognised(host: str) -> None:
    """By a loopback address or a name of localhost."""
    assert _validate.is_loopback(host)


@pytest.mark.parametrize(
    "host", [None, "", "localhost.example", "notlocalhost", "10.0.0.1", "0.0.0.0", "::", "example.com"]
)
def test_other_machines_are_recognised(host: str | None) -> None:
    """Also those whose names begin alike."""
    assert not _validate.is_loopback(host)
