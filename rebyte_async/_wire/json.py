"""JSON in and out: orjson when it is installed (the extra `speed`), the standard library's json otherwise.

Both read the same documents to the same values, with one exception: an integer of more than 64 bits, which orjson
reads as a float.
"""

from __future__ import annotations

import functools
import importlib
import json
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["dumps", "loads"]


def loads(data: bytes | str) -> Any:
    """Read a JSON document. Bytes that are no UTF-8, and halves of surrogate pairs, are U+FFFD.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    try:
        return backend.loads(data)
    except ValueError:
        # What orjson refuses may still be readable: bad UTF-8, half a surrogate pair.
        return plain_loads(data)


def dumps(value: Any) -> bytes:
    """Write a JSON document, compact, in UTF-8.

    Raises:
        TypeError: Something in the value has no JSON form.
    """
    return backend.dumps(value)


class Backend:
    """How to read and write. Resolved on first use, because an optional package isn't imported at import time."""

    @functools.cached_property
    def loads(self) -> Callable[[bytes | str], Any]:
        orjson = self._orjson
        return orjson.loads if orjson else plain_loads

    @functools.cached_property
    def dumps(self) -> Callable[[Any], bytes]:
        orjson = self._orjson
        return orjson.dumps if orjson else plain_dumps

    @functools.cached_property
    def _orjson(self) -> ModuleType | None:
        try:
            return importlib.import_module("orjson")
        except ImportError:
            return None


def plain_loads(data: bytes | str) -> Any:
    """Do what `loads` does, without orjson."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        value = _decoder.decode(text)
        return _without_surrogates(value) if "\\ud" in text or "\\uD" in text else value
    except RecursionError as error:
        raise ValueError("the JSON document is nested too deeply") from error


def plain_dumps(value: Any) -> bytes:
    """Do what `dumps` does, without orjson."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise TypeError(str(error)) from error


def _without_surrogates(value: Any) -> Any:
    """The value with U+FFFD for halves of surrogate pairs: a string that has one can't be printed, stored or sent."""
    text = json.dumps(value, ensure_ascii=False)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value if whole == text else _decoder.decode(whole)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)
backend = Backend()
