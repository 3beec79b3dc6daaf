"""The answers to calls that start something which costs money."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rebyte_async._wire import models
from rebyte_async.errors import AmbiguousRequestError, DecodeError

if TYPE_CHECKING:
    from rebyte_async._transport import Answer

__all__ = ["decode_started"]

T = TypeVar("T")


def decode_started(cls: type[T], answer: Answer) -> T:
    """Read what was started.

    Raises:
        AmbiguousRequestError: The answer can't be read: something was started, and nothing says what.
    """
    try:
        return models.decode(cls, answer.json())
    except DecodeError as error:
        failure = error
    raise AmbiguousRequestError(
        f"{answer.method} {answer.url} was carried out ({answer.status}), but its answer can't be read: "
        f"{failure.message}",
        method=answer.method,
        url=answer.url,
    ) from failure
