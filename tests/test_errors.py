"""The error tree."""

from __future__ import annotations

import inspect
import pickle

import pytest

from rebyte_async import errors
from rebyte_async.errors import APIError, RebyteError
from rebyte_async.types import AgentComputer, TaskResult

CLASSES = [getattr(errors, name) for name in errors.__all__]
RESULT = TaskResult(task_id="t1", status="failed", final_result="", text="so far", events_seen=3)
SPECIAL = {
    "result": RESULT,
    "computer": AgentComputer(id="c1", provision_error="no capacity"),
    "status": 418,
}


def made(cls: type[RebyteError]) -> RebyteError:
    """An error with its required arguments and a message."""
    required = {
        name: SPECIAL[name]
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty and name in SPECIAL
    }
    return cls(**required, message="what happened")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_its_cause(cls: type[RebyteError]) -> None:
    """A worker pool can hand any error on, with all that it says."""
    error = made(cls)
    error.__cause__ = ConnectionResetError(104, "reset")
    error.add_note("a note")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__
    assert copy.__notes__ == ["a note"]
    assert isinstance(copy.__cause__, ConnectionResetError)
    assert copy.__cause__.errno == 104


class StubbornError(Exception):
    """Pickles, but doesn't load."""

    def __init__(self, *, needed: int) -> None:
        super().__init__()
        self.needed = needed


def test_a_cause_that_does_not_pickle_is_left_behind() -> None:
    """The error still travels when its cause can't."""
    error = errors.TransportError("lost")
    error.__cause__ = StubbornError(needed=1)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "lost"
    assert copy.__cause__ is None


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_everything_is_a_rebyte_error(cls: type[RebyteError]) -> None:
    """One `except RebyteError` catches the whole package."""
    assert issubclass(cls, RebyteError)


@pytest.mark.parametrize("cls", [errors.RequestTimeoutError, errors.WaitTimeoutError])
def test_timeouts_are_builtin_timeouts_too(cls: type[RebyteError]) -> None:
    """Code that knows only the builtin class catches ours, and sees our message."""
    error = made(cls)
    assert isinstance(error, TimeoutError)
    assert str(error) == "what happened"


def test_an_api_error_tells_all_in_one_line() -> None:
    """Method, URL, status, code, message, request id and attempts are in the text."""
    error = APIError(503, "busy", "try later", "GET", "https://api.invalid/v1/tasks", "req-1", 2.0, "{}", 4)
    assert str(error) == "GET https://api.invalid/v1/tasks: 503 busy: try later (request req-1) after 4 attempts"
