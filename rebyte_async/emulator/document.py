"""Scripts and faults as a document, JSON or YAML: for the emulator's command, and for programs in other languages."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
from attrs import field, frozen

from rebyte_async.emulator import faults as all_faults
from rebyte_async.emulator import script as all_steps
from rebyte_async.emulator.body import is_array, is_object
from rebyte_async.emulator.faults import Deliveries, Fault, Match
from rebyte_async.emulator.script import Script, Step

_YAML = frozenset({".yaml", ".yml"})
_STEPS = (
    *("artifact", "cancel", "comment", "delegate", "delta", "error", "fail", "hold", "init", "pause", "question"),
    *("raw", "result", "succeed", "text", "thinking", "tool_result", "tool_use"),
)
_NOT_IN_DOCUMENTS = frozenset({"Rewrite"})
"""Faults that need a function."""


class ScriptError(ValueError):
    """A document can't be read as scripts and faults; the message has the place, and what would be right."""


@frozen
class ScriptedTurn:
    """A script as a document has it."""

    steps: tuple[Step, ...]
    prompt: str | None = None
    times: int | None = 1

    def make(self) -> Script:
        """Make a script that counts how often it is played."""
        return Script(self.steps, None if self.prompt is None else re.compile(self.prompt), self.times)


@frozen
class PlannedFault:
    """A fault, and what it troubles."""

    fault: Fault
    match: Match | Deliveries | None = None
    times: int | None = 1


@frozen
class Document:
    """What a document sets."""

    scripts: tuple[ScriptedTurn, ...] = ()
    faults: tuple[PlannedFault, ...] = ()
    release: tuple[str, ...] = ()
    """The names of the holds to release."""


def load_documents(paths: Iterable[Path], faults: Iterable[str] = ()) -> Document:
    """Read the files and the faults of a command's arguments as one document.

    Raises:
        ScriptError: One can't be read.
    """
    documents = [load_document(path) for path in paths]
    planned = (*(fault for each in documents for fault in each.faults), *map(parse_fault, faults))
    return Document(
        scripts=tuple(script for each in documents for script in each.scripts),
        faults=planned,
        release=tuple(name for each in documents for name in each.release),
    )


def load_document(path: Path) -> Document:
    """Read a file: YAML if its name says so, else JSON.

    Raises:
        ScriptError: It can't be read; the message names the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return read_document(_parse_yaml(text) if path.suffix in _YAML else json.loads(text))
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}") from error
    except ScriptError as error:
        raise ScriptError(f"{path}: {error}") from None
    except ValueError as error:  # also what isn't UTF-8
        raise ScriptError(f"{path}: this isn't JSON in UTF-8: {error}") from None


def _parse_yaml(text: str) -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        raise ScriptError('YAML needs PyYAML: pip install "rebyte-async[emulator]", or write JSON') from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScriptError(f"this isn't YAML: {' '.join(str(error).split())}") from None


def read_document(data: Any) -> Document:
    """Read a document from its JSON.

    Raises:
        ScriptError: It can't be read; the message has the path in the document.
    """
    fields = _read_fields(data, "the document", ("scripts", "faults", "release"))
    return Document(
        scripts=_read_list(fields.get("scripts", []), "scripts", _read_script),
        faults=_read_list(fields.get("faults", []), "faults", _read_fault),
        release=_read_list(fields.get("release", []), "release", lambda value, at: _check(value, str, at)),
    )


def parse_fault(text: str) -> PlannedFault:
    """Read a fault from a command's argument: `html_page`, `status=503`, `cut={"events": 2}`, or a JSON object.

    Raises:
        ScriptError: There is no such fault.
    """
    name, equals, value = text.partition("=")
    try:
        data = json.loads(text) if text.startswith("{") else {name: json.loads(value) if equals else None}
    except ValueError:
        raise ScriptError(f"{text!r}: what follows the = must be JSON, such as 503 or " + '{"events": 2}') from None
    return _read_fault(data, repr(text))


def _read_script(data: Any, at: str) -> ScriptedTurn:
    fields = _read_fields(data, at, ("steps", "prompt", "times"))
    prompt = _read_pattern(fields.get("prompt"), f"{at}.prompt")
    if "steps" not in fields:
        raise ScriptError(f"{at}: steps is required")
    return ScriptedTurn(_read_steps(fields["steps"], f"{at}.steps"), prompt, _read_times(fields, at))


def _read_steps(data: Any, at: str) -> tuple[Step, ...]:
    return _read_list(data, at, _read_step)


def _read_step(data: Any, at: str) -> Step:
    name, value = _read_single(data, at, "step", tuple(STEPS))
    step: Step = STEPS[name].make(value, f"{at}.{name}")
    return step


def _read_questions(data: Any, at: str) -> tuple[Step, ...]:
    return _read_list(data, at, STEPS["question"].make)


def _read_fault(data: Any, at: str) -> PlannedFault:
    fields = _read_object(data, at)
    rest = {name: value for name, value in fields.items() if name not in {"match", "deliveries", "times"}}
    name, value = _read_single(rest, at, "fault", tuple(FAULTS))
    match: Match | Deliveries | None = None
    for key, selects in (("match", Match), ("deliveries", Deliveries)):
        if fields.get(key) is not None:
            match = _Form(selects).make(_read_object(fields[key], f"{at}.{key}"), f"{at}.{key}")
    return PlannedFault(FAULTS[name].make(value, f"{at}.{name}"), match, _read_times(fields, at))


def _read_times(fields: Mapping[str, Any], at: str) -> int | None:
    times: int | None = _check(fields.get("times", 1), int | None, f"{at}.times")
    return times


@frozen
class _Form:
    """How a step or a fault is written: its only argument, or an object of arguments by their names."""

    function: Any
    parameters: dict[str, inspect.Parameter] = field(init=False)
    kinds: dict[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        every = inspect.signature(self.function).parameters.items()
        known = {name: each for name, each in every if each.kind is not inspect.Parameter.VAR_KEYWORD}
        is_class = inspect.isclass(self.function)
        hints = get_type_hints(self.function.__init__ if is_class else self.function)
        if is_class:  # a converter, such as that of a pattern, hides the type that is written
            hints = {**{each.name: each.type for each in attrs.fields(self.function)}, **hints}
        kinds = {name: hints.get(name, Any) for name in known}
        object.__setattr__(self, "kinds", kinds)
        writable = {name: each for name, each in known.items() if not _needs_function(kinds[name])}
        object.__setattr__(self, "parameters", writable)

    def make(self, value: Any, at: str) -> Any:
        """Make the step or the fault that a value describes."""
        first = next(iter(self.parameters), None)
        if value is None:
            value = {}
        elif not is_object(value):
            if first is None:
                raise ScriptError(f"{at} takes nothing: leave its value empty")
            value = {first: value}
        arguments = {name: self._read(name, each, at) for name, each in self._check_names(value, at).items()}
        several = next((name for name, each in self.parameters.items() if each.kind is each.VAR_POSITIONAL), None)
        rest = arguments.pop(several, ()) if several else ()
        positional = [arguments.pop(first)] if first in arguments and rest else []
        try:
            return self.function(*positional, *rest, **arguments)
        except (ValueError, TypeError, re.error) as error:
            raise ScriptError(f"{at}: {error}") from None

    def _check_names(self, value: Any, at: str) -> dict[str, Any]:
        fields = _read_fields(value, at, tuple(self.parameters))
        for name, each in self.parameters.items():
            is_required = each.default is each.empty and each.kind is not each.VAR_POSITIONAL
            if is_required and name not in fields:
                raise ScriptError(f"{at}: {name} is required")
        return fields

    def _read(self, name: str, value: Any, at: str) -> Any:
        at = f"{at}.{name}"
        if name in {"steps", "late"}:
            return _read_steps(value, at)
        if name == "also":
            return _read_questions(value, at)
        if self.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            return _read_list(value, at, lambda item, place: _check(item, self.kinds[name], place))
        return _check(value, self.kinds[name], at)


def _needs_function(kind: Any) -> bool:
    """Return whether only a function can be given."""
    arms = [arm for arm in (get_args(kind) if _is_union(kind) else (kind,)) if arm is not NoneType]
    return all(get_origin(arm) is Callable or get_origin(arm) is _CALLABLE for arm in arms)


_CALLABLE = get_origin(Callable[[], None])


def _is_union(kind: Any) -> bool:
    return get_origin(kind) is not None and type(kind).__name__ in {"UnionType", "_UnionGenericAlias", "Union"}


def _check(value: Any, kind: Any, at: str) -> Any:
    """Return a value as the type that is asked for."""
    arms = get_args(kind) if _is_union(kind) else (kind,)
    if kind is Any or any(_fits(value, arm) for arm in arms):
        return value
    if bytes in arms and isinstance(value, str):
        return value.encode()
    hint = " (put it in quotes)" if str in arms and isinstance(value, bool | int | float) else ""
    raise ScriptError(f"{at} must be {_describe(arms)}, not {json.dumps(value, default=str)}{hint}")


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is not None and isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping):
        return is_object(value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return kind in {str, bool, NoneType} and isinstance(value, kind)


_WORDS = {str: "text", bytes: "text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}


def _describe(arms: tuple[Any, ...]) -> str:
    words: list[str] = []
    for arm in arms:
        if get_origin(arm) is Literal:
            words += [str(each) for each in get_args(arm)]
        elif arm in _WORDS:
            words.append(_WORDS[arm])
        elif get_origin(arm) is not None and get_origin(arm) is not _CALLABLE:
            words.append("an object")
    return " or ".join(dict.fromkeys(words))


def _read_single(data: Any, at: str, kind: str, known: tuple[str, ...]) -> tuple[str, Any]:
    """Return the name and the value of an object with one field; a name alone is one without a value."""
    fields = {data: None} if isinstance(data, str) else _read_object(data, at)
    if len(fields) != 1:
        raise ScriptError(f"{at} must have one {kind}, not {', '.join(map(str, fields)) or 'nothing'}")
    ((name, value),) = fields.items()
    if name not in known:
        close = get_close_matches(str(name), known, 1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise ScriptError(f"{at}: there is no {kind} {name!r}: {meant}")
    return name, value


def _read_object(data: Any, at: str) -> dict[str, Any]:
    if not is_object(data):
        raise ScriptError(f"{at} must be an object, not {json.dumps(data, default=str)}")
    return data


def _read_fields(data: Any, at: str, known: tuple[str, ...]) -> dict[str, Any]:
    fields = _read_object(data, at)
    unknown = next((name for name in fields if name not in known), None)
    if unknown is not None:
        raise ScriptError(f"{at} has no {unknown!r}: there are {', '.join(known) or 'no fields'}")
    return fields


def _read_list(data: Any, at: str, read: Callable[[Any, str], Any]) -> tuple[Any, ...]:
    if not is_array(data):
        raise ScriptError(f"{at} must be a list, not {json.dumps(data, default=str)}")
    return tuple(read(item, f"{at}[{index}]") for index, item in enumerate(data))


def _read_pattern(data: Any, at: str) -> str | None:
    pattern: str | None = _check(data, str | None, at)
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ScriptError(f"{at} must be a regular expression: {error}") from None
    return pattern


def _spell(name: str) -> str:
    """Return how a class is written in a document: `HtmlPage` as `html_page`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("ETag", "Etag")).lower()


STEPS: dict[str, _Form] = {name: _Form(getattr(all_steps, name)) for name in _STEPS}
"""Every step that a document can have, by its name."""
FAULTS: dict[str, _Form] = {
    _spell(name): _Form(getattr(all_faults, name))
    for name in all_faults.__all__
    if inspect.isclass(getattr(all_faults, name))
    and getattr(all_faults, name).__module__.rpartition(".")[2] in {"deliveries", "downloads", "requests", "streams"}
    and name not in _NOT_IN_DOCUMENTS
}
"""Every fault that a document can have, by its name."""
