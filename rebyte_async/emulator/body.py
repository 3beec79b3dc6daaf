"""Reading what a request says, as strictly as the contract has it."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

from attrs import frozen

from rebyte_async.emulator.errors import validation_error
from rebyte_async.emulator.json_types import is_array, is_object


@frozen
class Body:
    """A JSON object, with a reader for every kind of field; fields that nobody reads are let through."""

    values: dict[str, Any]

    @classmethod
    def parse(cls, content_type: str, data: bytes) -> Body:
        """Read a request's body.

        Raises:
            ApiError: It isn't declared as JSON, or is no JSON object.
        """
        if content_type != "application/json":
            raise validation_error(f"Content-Type must be application/json, not {content_type!r}.")
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            raise validation_error("The body is not valid JSON.") from None
        return cls(as_object(values, "The body"))

    def has(self, name: str) -> bool:
        """Whether a field is there at all."""
        return name in self.values

    def text(self, name: str, *, longest: int | None = None) -> str:
        """A required string that isn't empty."""
        if not self.has(name):
            raise validation_error(f"{name} is required.")
        return as_text(self.values[name], name, longest)

    def optional_text(self, name: str, *, longest: int | None = None) -> str | None:
        """A string that may be left out."""
        return self.text(name, longest=longest) if self.has(name) else None

    def optional_string(self, name: str) -> str | None:
        """A string that may be left out, and may be empty."""
        if self.values.get(name) == "":
            return ""
        return self.optional_text(name)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A required string out of a closed set."""
        value = self.text(name)
        if value not in choices:
            raise validation_error(f"{name} must be one of {', '.join(choices)}.")
        return value

    def optional_uuid(self, name: str) -> str | None:
        """An id that may be left out."""
        value = self.optional_text(name)
        return None if value is None else as_uuid(value, name)

    def integer(self, name: str) -> int:
        """A required whole number."""
        if not self.has(name):
            raise validation_error(f"{name} is required.")
        return as_integer(self.values[name], name)

    def items(self, name: str) -> list[Any]:
        """A list that may be left out."""
        value = self.values.get(name, [])
        if not is_array(value):
            raise validation_error(f"{name} must be an array.")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings that may be left out."""
        return tuple(as_text(value, f"{name}[{index}]") for index, value in enumerate(self.items(name)))

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers that may be left out."""
        return tuple(as_integer(value, f"{name}[{index}]") for index, value in enumerate(self.items(name)))

    def bodies(self, name: str) -> tuple[Body, ...]:
        """A list of objects that may be left out."""
        return tuple(Body(as_object(value, f"{name}[{index}]")) for index, value in enumerate(self.items(name)))

    def body(self, name: str) -> Body:
        """A required object."""
        return Body(as_object(self.values.get(name), name))


def as_object(value: Any, name: str) -> dict[str, Any]:
    """A JSON object, or a refusal."""
    if not is_object(value):
        raise validation_error(f"{name} must be an object.")
    return value


def as_text(value: Any, name: str, longest: int | None = None) -> str:
    """A string that isn't empty and isn't too long, or a refusal."""
    if not isinstance(value, str) or not value:
        raise validation_error(f"{name} must be a non-empty string.")
    if longest is not None and len(value) > longest:
        raise validation_error(f"{name} must have at most {longest} characters.")
    if re.search("[\ud800-\udfff]", value):
        raise validation_error(f"{name} holds half of a surrogate pair, which is no character.")
    return value


def as_integer(value: Any, name: str) -> int:
    """A whole number, or a refusal; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise validation_error(f"{name} must be an integer.")
    return value


def as_uuid(value: str, name: str) -> str:
    """A UUID in its usual spelling, or a refusal."""
    try:
        return str(UUID(value))
    except ValueError:
        raise validation_error(f"{name} must be a UUID.") from None
