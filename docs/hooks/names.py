"""Every public name is in the reference: a page names modules, and shows the names of their `__all__`."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from inspect import ismodule
from itertools import groupby
from pathlib import Path

HOMES = (
    "rebyte_async.errors",
    "rebyte_async",
    "rebyte_async.types",
    "rebyte_async.resources",
    "rebyte_async.resources.tasks",
    "rebyte_async.resources.sources",
    "rebyte_async.streams",
    "rebyte_async.sse",
    "rebyte_async.relay",
    "rebyte_async.otel",
    "rebyte_async.batch",
    "rebyte_async.batch.journal",
    "rebyte_async.batch.ray",
    "rebyte_async.webhooks",
    "rebyte_async.emulator.script",
    "rebyte_async.emulator.faults",
    "rebyte_async.emulator",
    "rebyte_async.pytest_plugin",
    "rebyte_async.cli",
)
"""Where a name is documented that several modules have: in the first of them."""

GIVEN = frozenset(
    (
        "AgentComputers",
        "Artifacts",
        "Files",
        "Listing",
        "TaskEventStream",
        "TaskRun",
        "Tasks",
        "TextAssembler",
        "Webhooks",
    )
)
"""Classes that users get instead of making them, or make without arguments: no arguments are shown."""

_MARK = re.compile(r"^<!-- names: (.*) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the documentation of a module's names in the place of `<!-- names: MODULE, … -->`."""
    return _MARK.sub(lambda found: "\n".join(_document(found[1].split(", "))), markdown)


def modules_of(markdown: str) -> list[str]:
    """The modules whose names a page documents."""
    return [module for found in _MARK.finditer(markdown) for module in found[1].split(", ")]


def names_of(module: str) -> list[str]:
    """The names that are documented with a module: those of its `__all__` that have no earlier home."""
    if find_spec(module) is None:
        return []
    earlier = {
        id(value)
        for home in HOMES[: HOMES.index(module)]
        for value in _values(home).values()
    }
    return [name for name, value in _values(module).items() if id(value) not in earlier]


@cache
def _values(module: str) -> Mapping[str, object]:
    if find_spec(module) is None:
        return {}
    imported = importlib.import_module(module)
    values = {name: getattr(imported, name) for name in imported.__all__}
    return {name: value for name, value in values.items() if not ismodule(value)}


def _document(modules: Sequence[str]) -> Iterator[str]:
    places = sorted(
        (*_locate(module, name), module, name)
        for module in modules
        for name in names_of(module)
    )
    groups = [
        (file, list(found)) for file, found in groupby(places, key=lambda place: place[0])
    ]
    level = 2 if len(groups) == 1 else 3
    for file, found in groups:
        if level > 2:  # noqa: PLR2004 - there are groups
            yield f"\n## {_title(file)}\n"
        for _, _, module, name in found:
            yield f"\n::: {module}.{name}\n    options:\n      heading_level: {level}"
            if name in GIVEN or name.endswith("Error"):
                yield "      merge_init_into_class: false"


def _title(module: str) -> str:
    words = module.rpartition(".")[2].strip("_").replace("_", " ")
    return {"sse": "Server-sent events"}.get(words, words.capitalize())


@cache
def _parse(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _locate(module: str, name: str) -> tuple[str, int]:
    """The module that defines a name, and the line there."""
    for node in _parse(module).body:
        match node:
            case ast.ImportFrom(module=str(source), names=aliases):
                for alias in aliases:
                    if (alias.asname or alias.name) == name:
                        return _locate(source, alias.name)
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Name(id=other)) if (
                target == name
            ):
                return _locate(module, other)
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if (
                node.name == name
            ):
                return module, node.lineno
            case (
                ast.Assign(targets=[ast.Name(id=target)])
                | ast.AnnAssign(target=ast.Name(id=target))
            ) if target == name:
                return module, node.lineno
            case _:
                pass
    return module, 0
