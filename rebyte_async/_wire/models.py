"""Convert JSON to models: strict about types, tolerant of what is new.

Strict: `null` doesn't become "None", `"false"` doesn't become True, and 3.9 doesn't become 3. Tolerant: unknown fields
are ignored, and optional fields may be missing.

cattrs is imported on first use, because importing it takes longer than most programs take to start.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin

import attrs

from rebyte_async._clock import to_datetime
from rebyte_async._wire import json
from rebyte_async._wire.events import event_from_mapping
from rebyte_async._wire.redact import excerpt, json_excerpt, shorten
from rebyte_async.errors import DecodeError
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.pages import Page
from rebyte_async.types.tasks import Executor, VisibilityName
from rebyte_async.types.values import to_wire_name

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


def decode(cls: type[T], document: object, *, path: str = "$") -> T:
    """Convert a JSON value to a model, or raise a `DecodeError` whose `path` says what doesn't fit."""
    try:
        return cast("T", _hook_for(cast("Any", cls))(document, cls))
    except Exception as error:  # noqa: BLE001 - whatever cattrs raises, the document doesn't fit
        where, problem = _locate_fault(error, path)
    raise DecodeError(f"{cls.__name__.lstrip('_')}: {where}: {problem}", path=where, body=json_excerpt(document))


def decode_items(
    cls: type[T], document: object, keys: Sequence[str], *, aliases: Mapping[str, str] | None = None
) -> tuple[T, ...]:
    """Convert a list of models: bare, or in an object under the first of the keys that is there.

    `aliases` are other names that fields may have on the wire, with the names that the model has for them.
    """
    path = "$"
    items: object = document
    fields = json.as_object(document)
    if fields is not None:
        key = next((key for key in keys if key in fields), keys[0])
        path = f"$.{key}"
        items = fields.get(key)
        if items is None and any(key in fields for key in keys):
            return ()  # servers in Go write an empty list as null
    array = json.as_array(items)
    if array is None:
        raise DecodeError(f"{path}: expected an array, got {_describe(items)}", path=path, body=json_excerpt(document))
    return tuple(
        decode(cls, _rename_fields(item, aliases or {}), path=f"{path}[{index}]") for index, item in enumerate(array)
    )


def decode_page(cls: type[T], document: object, *, limit: int, offset: int) -> Page[T]:
    """Convert one page of a listing, which was asked for with this limit and offset."""
    data = decode_items(cls, document, ("data",))
    total: object = (json.as_object(document) or {}).get("total")
    number = _read_whole_number(total)
    if total is not None and number is None:
        raise DecodeError(f"$.total: expected a whole number, got {_describe(total)}", path="$.total")
    return Page(data, number, limit, offset)


def _read_whole_number(value: object) -> int | None:
    """Read a whole number, also one that a server writes as text or with a fraction of 0."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value, re.ASCII):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return json.as_int(value)


def parse(body: bytes, describe_request: Callable[[], str]) -> Any:
    """Read the body of a response as JSON; a `DecodeError` names the request."""
    if not body.strip():
        raise DecodeError(f"{describe_request()}: expected JSON, got an empty body", body="")
    try:
        return json.loads(body)
    except ValueError:
        pass
    raise DecodeError(f"{describe_request()}: expected JSON, got something else", body=excerpt(shorten(body)))


def preload() -> None:
    """Import what decoding needs, so that the first call doesn't have to. Meant to be run in a thread."""
    _make_converter()
    json.loads(b"0")


# --- the converter ---


@functools.cache
def _make_converter() -> Converter:
    from cattrs import Converter  # noqa: PLC0415 - see the module's docstring

    converter = Converter()
    for kind, name in ((str, "a string"), (int, "a whole number"), (bool, "true or false")):
        converter.register_structure_hook(kind, _make_plain_hook(name, kind))
        converter.register_structure_hook(cast("type[Any]", kind | None), _make_plain_hook(name, kind, NoneType))
    for open_set in (Executor, VisibilityName):
        converter.register_structure_hook(cast("type[Any]", open_set), _make_plain_hook("a string", str))
        optional = cast("type[Any]", open_set | None)
        converter.register_structure_hook(optional, _make_plain_hook("a string", str, NoneType))
    converter.register_structure_hook_factory(attrs.has, functools.partial(_make_model_hook, converter))
    converter.register_structure_hook_factory(_is_tuple, functools.partial(_make_tuple_hook, converter))
    converter.register_structure_hook(TaskEvent, lambda value, _: event_from_mapping(_require_object(value)))
    return converter


@functools.cache
def _hook_for(cls: Hashable) -> Callable[[object, object], Any]:
    """Look up the function that makes a class of JSON; cached, because cattrs' own look-up is slow."""
    return _make_converter().get_structure_hook(cls)


def _make_plain_hook(name: str, *kinds: type[Any]) -> Callable[[object, object], Any]:
    """Make the hook of types that JSON has itself. For a union, cattrs' own hook takes several times as long."""

    def hook(value: object, _: object) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"expected {name}, got {_describe(value)}")
        return value

    return hook


def _make_id_hook(*, is_optional: bool) -> Callable[[object, object], Any]:
    """Make the hook of ids: strings, which some servers write as whole numbers."""
    plain = _make_plain_hook("a string", str, NoneType) if is_optional else _make_plain_hook("a string", str)

    def hook(value: object, kind: object) -> Any:
        return str(value) if type(value) is int else plain(value, kind)

    return hook


def _make_model_hook(converter: Converter, cls: type[Any]) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 - see the module's docstring

    structure = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_prefer_attrib_converters=True,
        **{item.name: _make_override(item, override) for item in attrs.fields(cls)},
    )

    def hook(value: object, kind: Any) -> Any:
        return structure(_require_object(value), kind)

    return hook


def _make_override(item: attrs.Attribute[Any], override: Callable[..., Any]) -> Any:
    """Say how cattrs reads a field: under its camel-cased name, and as a string where the model converts it itself.

    A time is not checked: one that can't be read becomes None.
    """
    converts_string = cast("Any", item).converter not in (None, to_datetime)
    hook = _make_plain_hook("a string", str, NoneType) if converts_string else None
    if item.name == "id" or item.name.endswith("_id"):
        hook = _make_id_hook(is_optional=item.default is not attrs.NOTHING)
    return override(rename=to_wire_name(item.name), struct_hook=hook)


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _make_tuple_hook(converter: Converter, kind: Any) -> Callable[[object, object], tuple[Any, ...]]:
    array: Any = list.__class_getitem__(get_args(kind)[0])
    structure = converter.get_structure_hook(array)

    def hook(value: object, _: object) -> tuple[Any, ...]:
        if value is None:  # as servers in Go write an empty list
            return ()
        if not isinstance(value, list):
            raise TypeError(f"expected an array, got {_describe(value)}")
        return tuple(structure(value, array))

    return hook


def _require_object(value: object) -> dict[str, Any]:
    if not json.is_object(value):
        raise TypeError(f"expected an object, got {_describe(value)}")
    return value


def _rename_fields(item: object, aliases: Mapping[str, str]) -> object:
    fields = json.as_object(item)
    if fields is None:
        return item
    return {aliases[name]: value for name, value in fields.items() if name in aliases} | fields


# --- errors ---


def _locate_fault(error: BaseException, path: str) -> tuple[str, str]:
    """Find the first innermost cause in cattrs' tree of errors: where in the document it is, and what is wrong."""
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
            path += f".{to_wire_name(note.name)}"
        elif isinstance(note, IterableValidationNote):
            path += f"[{note.index}]"
    return _locate_fault(inner, path)


def _describe(value: object) -> str:
    """Describe a wrong value without what it holds, which could be a secret or a page of HTML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return f"the number {value!r:.40}"
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    return "an array" if isinstance(value, list) else "an object"
