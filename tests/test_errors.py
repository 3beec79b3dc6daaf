"""The tree of errors: pickling, bases and messages."""

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


def make(cls: type[RebyteError]) -> RebyteError:
    """Make an error with its required arguments and a message."""
    required = {
        name: SPECIAL[name]
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty and name in SPECIAL
    }
    return cls(**required, message="what happened")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_with_its_cause(cls: type[RebyteError]) -> None:
    """A process pool can return any error, with its attributes, notes and cause."""
    error = make(cls)
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
    """An error that pickles, but doesn't load."""

    def __init__(self, *, needed: int) -> None:
        super().__init__()
        self.needed = needed


def test_a_cause_that_does_not_pickle_is_left_out() -> None:
    """An error whose cause doesn't pickle pickles without it."""
    error = errors.TransportError("lost")
    error.__cause__ = StubbornError(needed=1)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "lost"
    assert copy.__cause__ is None


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_everything_is_a_rebyte_error(cls: type[RebyteError]) -> None:
    """One `except RebyteError` catches every error of the package."""
    assert issubclass(cls, RebyteError)


@pytest.mark.parametrize("cls", [errors.RequestTimeoutError, errors.WaitTimeoutError])
def test_timeouts_are_builtin_timeouts_too(cls: type[RebyteError]) -> None:
    """`except TimeoutError` catches them, with their message."""
    error = make(cls)
    assert isinstance(error, TimeoutError)
    assert str(error) == "what happened"


def test_an_api_error_says_everything_in_one_line() -> None:
    """The text has method, URL, status, code, message, request id and attempts."""
    error = APIError(503, "busy", "try later", "GET", "https://api.invalid/v1/tasks", "req-1", 2.0, "{}", 4)
    assert str(error) == "GET https://api.invalid/v1/tasks: 503 busy: try later (request req-1) after 4 attempts"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            errors.AmbiguousRequestError("x", url="https://a.invalid/v1/tasks"),
            "a task may be running: look at the newest",
        ),
        (
            errors.AmbiguousRequestError("x", url="https://a.invalid/v1/agent-computers"),
            "a computer may have been made",
        ),
        (errors.NotFoundError(404, url="https://a.invalid/v1/tasks"), "or the address is wrong"),
        (errors.NotFoundError(404, url="https://a.invalid/v1/tasks/t1"), "it doesn't exist, or not for this key"),
        (errors.InvalidAPIKeyError(401), "check api_key or REBYTE_API_KEY"),
        (errors.AgentDisabledError(403), "choose another executor"),
        (errors.InsufficientScopesError(403), "the key may not do this"),
        (errors.ConnectError("x"), "check the network"),
        (errors.ClientClosedError("x"), "make a new client"),
        (errors.DecodeError("x"), ""),
    ],
)
def test_an_error_says_what_to_do(error: errors.RebyteError, hint: str) -> None:
    """The hint is that of the nearest class; it survives a pickle, and is empty where the message says all."""
    assert error.hint.startswith(hint) if hint.startswith(("a ", "it")) else hint in error.hint
    assert bool(error.hint) == bool(hint)
    assert pickle.loads(pickle.dumps(error)).hint == error.hint
