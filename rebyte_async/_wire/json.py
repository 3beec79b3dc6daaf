"""Read JSON with orjson where it is installed (the extra `speed`), else with the standard library's json; write it.

Both read the same documents to the same values, with one exception: orjson reads an integer of more than 64 bits as a
float. Documents are written by the standard library alone: orjson takes other values, such as NaN and times.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeGuard, cast


class Backend:
    """The function that reads JSON: that of a module where it is installed, else the standard library's.

    It is looked up on first use, so that importing the package imports no optional package.
    """

    def __init__(self, module: str | None = "orjson") -> None:
        self._name = module

    @functools.cached_property
    def loads(self) -> Callable[[bytes | str], Any]:
        """Read a document. Stricter than the function `loads` where the backend is."""
        try:
            return importlib.import_module(self._name).loads if self._name else plain_loads
        except ImportError:
            return plain_loads


BACKEND = Backend()
"""The backend of the package."""


def loads(data: bytes | str, backend: Backend = BACKEND) -> Any:
    """Read a JSON document, or raise a `ValueError`. Bad UTF-8 and halves of surrogate pairs become U+FFFD."""
    try:
        return backend.loads(data)
    except ValueError:
        # orjson refuses bad UTF-8 and half a surrogate pair, which can still be read.
        return plain_loads(data)


def plain_loads(data: bytes | str) -> Any:
    """Read a JSON document as `loads` does, without orjson."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        value = _DECODER.decode(text)
        return _replace_surrogates(value) if "\\ud" in text or "\\uD" in text else value
    except RecursionError as error:
        raise ValueError("the JSON document is nested too deeply") from error


def dumps(value: Any) -> bytes:
    """Write a JSON document, compact, in UTF-8, or raise a `TypeError`, as for NaN and Infinity."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise TypeError(f"a text has U+{half:04X}, half of a surrogate pair, which UTF-8 doesn't have") from error
    except ValueError as error:
        raise TypeError(str(error)) from error


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


# Each of the following returns a value of its type as it is, and None for any other value.


def as_object(value: object) -> dict[str, Any] | None:
    return value if is_object(value) else None


def as_array(value: object) -> Sequence[Any] | None:
    return cast("Sequence[Any]", value) if isinstance(value, list) else None


def as_int(value: object) -> int | None:
    return value if type(value) is int else None  # neither true nor false


def as_str(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _replace_surrogates(value: Any) -> Any:
    """Replace halves of surrogate pairs by U+FFFD: a string that has one can't be printed, stored or sent."""
    text = json.dumps(value, ensure_ascii=False)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value if whole == text else _DECODER.decode(whole)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
