"""The one converter between JSON and the models: strict about types, tolerant of what is new.

Strict: `null` is not "None", `"false"` is not a truth, 3.9 is not 3. Tolerant: unknown fields are passed over and
optional ones may be missing. cattrs is imported on first use, since it costs more than most programs' start-up.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin

import attrs

from rebyte_async._wire import json
from rebyte_async._wire.events import event_from_mapping
from rebyte_async._wire.redact import excerpt
from rebyte_async.errors import DecodeError
from rebyte_async.types._fields import moment
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.pages import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from cattrs import Converter

__all__ = ["decode", "decode_items", "decode_page", "parse", "preload"]

T = TypeVar("T")
_PLAIN: tuple[tuple[type[Any], str], ...] = ((str, "a string"), (int, "a whole number"), (bool, "true or false"))
_READ = 4_000
"""Bytes of a body that are looked at for what an error keeps of it."""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _strict(kind: type[T], name: str) -> Callable[[object, object], T]:
    def hook(value: object, _: object) -> T:
        if type(value) is not kind:
            raise TypeError(f"expected {name}, got {_shown(value)}")
        return value

    return hook


def _optional(kind: type[T], name: str) -> Callable[[object, object], T | None]:
    """What `_strict` is for a value that may be null: cattrs' own way there costs several times as much."""

    def hook(value: object, _: object) -> T | None:
        if value is None or type(value) is kind:
            return value
        raise TypeError(f"expected {name}, got {_shown(value)}")

    return hook


def _shown(value: object) -> str:
    """A wrong value in a few words, without what it may hold: it could be a secret or a page."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value!r:.40}"
        case str():
            return f"a string of {len(value)} characters"
        case list():
            return "an array"
        case _:
            return "an object"


def _field(item: attrs.Attribute[Any], override: Callable[..., Any]) -> Any:
    """How a field is read: by its camel-cased name, and what the model converts itself as the text that it is there.

    A time needs no check: one that is none is None.
    """
    converter: object = cast("Any", item).converter
    if converter is None or converter is moment:
        return override(rename=_camel(item.name))
    return override(rename=_camel(item.name), struct_hook=_optional(str, "a string"))


def _is_array(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _event(value: object, _: object) -> TaskEvent:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {_shown(value)}")
    return event_from_mapping(cast("Mapping[str, Any]", value))


def _model(converter: Converter, cls: type[Any]) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 - see the module's docstring

    structure = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_prefer_attrib_converters=True,
        **{item.name: _field(item, override) for item in attrs.fields(cls)},
    )

    def hook(value: object, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, got {_shown(value)}")
        return structure(cast("Mapping[str, Any]", value), kind)

    return hook


def _items(converter: Converter, kind: Any) -> Callable[[object, object], tuple[Any, ...]]:
    array: Any = list.__class_getitem__(get_args(kind)[0])
    structure = converter.get_structure_hook(array)

    def hook(value: object, _: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise TypeError(f"expected an array, got {_shown(value)}")
        return tuple(structure(value, array))

    return hook


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter  # noqa: PLC0415 - see the module's docstring

    converter = Converter()
    for kind, name in _PLAIN:
        converter.register_structure_hook(kind, _strict(kind, name))
        converter.register_structure_hook(cast("type[Any]", kind | None), _optional(kind, name))
    converter.register_structure_hook_factory(attrs.has, functools.partial(_model, converter))
    converter.register_structure_hook_factory(_is_array, functools.partial(_items, converter))
    converter.register_structure_hook_func(lambda kind: kind is TaskEvent, _event)
    return converter


@functools.cache
def _reader(cls: Hashable) -> Callable[[object, object], Any]:
    """What reads a model, looked up once."""
    return _converter().get_structure_hook(cls)


def preload() -> None:
    """Import what decoding needs, so that a first call doesn't: meant to be run in a thread."""
    _converter()
    json.loads(b"0")


def _fault(error: BaseException, path: str) -> tuple[str, str]:
    """Where in the document, and what is wrong there: the first innermost cause of cattrs' tree of errors."""
    from cattrs import AttributeValidationNote, IterableValidationNote  # noqa: PLC0415 - see the module's docstring

    if not isinstance(error, BaseExceptionGroup):
        if isinstance(error, KeyError):
            return path, "it is missing"
        if isinstance(error, DecodeError):
            return path + error.path.removeprefix("$"), error.message
        return path, str(error)
    inner = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    for note in cast("Sequence[object]", getattr(inner, "__notes__", ())):
        if isinstance(note, AttributeValidationNote):
            path += f".{_camel(note.name)}"
        elif isinstance(note, IterableValidationNote):
            path += f"[{note.index}]"
    return _fault(inner, path)


def decode(cls: type[T], document: object, *, path: str = "$") -> T:
    """Read a JSON value as a model.

    Raises:
        DecodeError: A required field is missing or a value has another type; `path` says which.
    """
    try:
        return cast("T", _reader(cast("Any", cls))(document, cls))
    except Exception as error:  # noqa: BLE001 - whatever cattrs raises for a document means the same
        where, what = _fault(error, path)
    raise DecodeError(f"{cls.__name__.lstrip('_')}: {where}: {what}", path=where, body=_dumped(document))


def _dumped(document: object) -> str | None:
    """A document for an error to carry, without the values whose names say that they are secret."""
    text = json.dumps(document).decode(errors="replace")
    text = re.sub(r'("\w*(?:key|secret|token)"\s*:\s*)"(?:[^"\\]|\\.)*"', r'\1"…"', text, flags=re.IGNORECASE)
    return excerpt(text)


def parse(body: bytes, what: Callable[[], str]) -> Any:
    """Read the body of an answer as JSON.

    Raises:
        DecodeError: It is empty, or no JSON.
    """
    if not body.strip():
        raise DecodeError(f"{what()}: expected JSON, got an empty body", body="")
    try:
        return json.loads(body)
    except ValueError:
        pass
    raise DecodeError(
        f"{what()}: expected JSON, got something else", body=excerpt(body[:_READ].decode(errors="replace"))
    )


def decode_items(
    cls: type[T], document: Any, keys: Sequence[str], *, aliases: Mapping[str, str] | None = None
) -> tuple[T, ...]:
    """Read a list of models: under the first of the keys that is there, or bare.

    Args:
        cls: The model.
        document: The list, or an object that holds it.
        keys: Where it may stand, the likeliest first.
        aliases: Other names of fields, by those names, where the wire isn't sure of one.

    Raises:
        DecodeError: There is no list, or an item isn't one of the models.
    """
    path, items = "$", document
    fields = _fields(document)
    if fields is not None:
        key = next((key for key in keys if key in fields), keys[0])
        path, items = f"$.{key}", fields.get(key)
    array = _array(items)
    if array is None:
        raise DecodeError(f"{path}: expected an array, got {_shown(items)}", path=path, body=_dumped(document))
    return tuple(
        decode(cls, _renamed(item, aliases or {}), path=f"{path}[{index}]") for index, item in enumerate(array)
    )


def _renamed(item: object, aliases: Mapping[str, str]) -> object:
    fields = _fields(item)
    if fields is None:
        return item
    return {aliases[name]: value for name, value in fields.items() if name in aliases} | dict(fields)


def _array(document: object) -> Sequence[Any] | None:
    return cast("Sequence[Any]", document) if isinstance(document, list) else None


def _fields(document: object) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", document) if isinstance(document, dict) else None


def decode_page(cls: type[T], document: object, *, limit: int, offset: int) -> Page[T]:
    """Read one page of a listing; `limit` and `offset` are what was asked for.

    Raises:
        DecodeError: It isn't a page of the models.
    """
    data = decode_items(cls, document, ("data",))
    total: object = (_fields(document) or {}).get("total")
    if total is not None and type(total) is not int:
        raise DecodeError(f"$.total: expected a whole number, got {_shown(total)}", path="$.total")
    return Page(data, total, limit, offset)
