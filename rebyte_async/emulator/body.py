"""Reading requests as strictly as the contract has them: bodies, JSON fields and the paging of lists."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import islice
from typing import Any, TypeGuard, TypeVar
from uuid import UUID

from aiohttp import web
from aiohttp.http import HttpProcessingError
from attrs import define, field, frozen

from rebyte_async.emulator.log import LogEntry
from rebyte_async.emulator.responses import validation_error
from rebyte_async.emulator.state.primitives import Collection

T = TypeVar("T")

_LOGGED_BODY = 1 << 20
_MAX_JSON_BODY = 16 << 20
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 100
_DIGITS = re.compile(r"[0-9]{1,15}")


@define(eq=False)
class RequestBody:
    """The body of a request, which is read once; the log keeps its first MiB."""

    _request: web.BaseRequest
    _entry: LogEntry
    _data: bytes | None = field(default=None, init=False)

    async def read(self) -> bytes:
        """Return the whole body; it may be read again and again."""
        if self._data is None:
            self._data = b"".join([chunk async for chunk in self.chunks()])
        return self._data

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece without keeping it: it may be large."""
        if self._data is not None:
            yield self._data
            return
        self._data = b""
        head, size = bytearray(), 0
        try:
            async for chunk in self._request.content.iter_any():
                head += chunk[: _LOGGED_BODY - len(head)]
                size += len(chunk)
                yield chunk
        except (web.RequestPayloadError, HttpProcessingError) as error:  # the latter by aiohttp's parser in Python
            raise validation_error(f"The body is malformed: {error}") from error
        finally:
            self._entry.update(body=bytes(head), body_size=size)

    async def drain(self) -> None:
        if self._data is None:
            async for _ in self.chunks():
                pass

    async def json(self) -> JsonObject:
        """Parse the body, which must be declared as JSON and be an object of at most 16 MiB."""
        data = await self.read()
        if len(data) > _MAX_JSON_BODY:
            raise validation_error(f"The body must have at most {_MAX_JSON_BODY} bytes.")
        if self._request.content_type != "application/json":
            raise validation_error(f"Content-Type must be application/json, not {self._request.content_type!r}.")
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            raise validation_error("The body is not valid JSON.") from None
        return _check_object(values, "The body")


@frozen
class JsonObject:
    """A JSON object with a checking reader for every kind of field; fields that no reader asks for are ignored.

    Every reader raises an `ApiError` when the field isn't as the contract has it. Arrays of texts and of objects may be
    left out.
    """

    values: dict[str, Any]

    def text(self, name: str, *, max_length: int | None = None) -> str:
        """Return a required string that isn't empty."""
        if name not in self.values:
            raise validation_error(f"{name} is required.")
        return _check_text(self.values[name], name, max_length)

    def optional_text(self, name: str, *, max_length: int | None = None) -> str | None:
        return self.text(name, max_length=max_length) if name in self.values else None

    def optional_string(self, name: str) -> str | None:
        """Return a string that may be left out and may be empty."""
        return "" if self.values.get(name) == "" else self.optional_text(name)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in choices:
            raise validation_error(f"{name} must be one of {', '.join(choices)}.")
        return value

    def optional_uuid(self, name: str) -> str | None:
        """Return a UUID in its usual spelling, which may be left out."""
        value = self.optional_text(name)
        try:
            return None if value is None else str(UUID(value))
        except ValueError:
            raise validation_error(f"{name} must be a UUID.") from None

    def integer(self, name: str) -> int:
        if name not in self.values:
            raise validation_error(f"{name} is required.")
        return _check_integer(self.values[name], name)

    def texts(self, name: str) -> tuple[str, ...]:
        return self._array(name, _check_text)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a required array of integers."""
        if name not in self.values:
            raise validation_error(f"{name} is required.")
        return self._array(name, _check_integer)

    def objects(self, name: str) -> tuple[JsonObject, ...]:
        return self._array(name, _check_object)

    def object(self, name: str) -> JsonObject:
        return _check_object(self.values.get(name), name)

    def _array(self, name: str, check: Callable[[Any, str], T]) -> tuple[T, ...]:
        values = self.values.get(name, [])
        if not is_array(values):
            raise validation_error(f"{name} must be an array.")
        return tuple(check(value, f"{name}[{index}]") for index, value in enumerate(values))


def make_page(
    query: Mapping[str, str], collection: Collection[T], to_json: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """Return the page of a list that `limit` and `offset` ask for, the newest first (contract §1, documented)."""
    limit, offset = _parse_whole_number(query, "limit", _DEFAULT_LIMIT), _parse_whole_number(query, "offset", 0)
    if not 1 <= limit <= _MAX_LIMIT:
        raise validation_error(f"limit must be between 1 and {_MAX_LIMIT}.")
    data = [to_json(row) for row in islice(reversed(collection.values()), offset, offset + limit)]
    return {"data": data, "total": len(collection), "limit": limit, "offset": offset}


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _check_object(value: Any, name: str) -> JsonObject:
    if not is_object(value):
        raise validation_error(f"{name} must be an object.")
    return JsonObject(value)


def _check_text(value: Any, name: str, max_length: int | None = None) -> str:
    if not isinstance(value, str) or not value:
        raise validation_error(f"{name} must be a non-empty string.")
    if max_length is not None and len(value) > max_length:
        raise validation_error(f"{name} must have at most {max_length} characters.")
    if re.search("[\ud800-\udfff]", value):
        raise validation_error(f"{name} has half of a surrogate pair, which is no character.")
    return value


def _check_integer(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise validation_error(f"{name} must be an integer.")
    return value


def _parse_whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not _DIGITS.fullmatch(value):
        raise validation_error(f"{name} must be a whole number that isn't negative.")
    return int(value)
