"""The shape and the language of the code stay as CONTRIBUTING.md describes them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "rebyte_async").rglob("*.py"))
TEXTS = sorted(
    path
    for pattern in ("rebyte_async/**/*.py", "tests/**/*.py", "docs/**/*.md", "examples/*.py", "benchmarks/*", "*.md")
    for path in ROOT.glob(pattern)
    if path.suffix in {".py", ".md"} and path != Path(__file__)
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
AVOIDED = re.compile(r"\b(whoever|nobody|told|stands|so many|bears?|mend(s|ed|ing)?|goes on)\b", re.IGNORECASE)
"""Words of a voice that readers stumbled over; plain ones say the same."""

PUBLIC = (
    "rebyte_async",
    "rebyte_async.batch",
    "rebyte_async.batch.ray",
    "rebyte_async.emulator",
    "rebyte_async.emulator.faults",
    "rebyte_async.emulator.script",
    "rebyte_async.errors",
    "rebyte_async.otel",
    "rebyte_async.relay",
    "rebyte_async.resources",
    "rebyte_async.sse",
    "rebyte_async.types",
    "rebyte_async.webhooks",
)
HOOKS = frozenset({"around", "chunks", "delivery", "download", "frames", "play"})
"""What the emulator calls on faults and steps: their protocols describe these methods, once for all classes."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, FUNCTIONS)]


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_modules_have_a_readable_size(path: Path) -> None:
    """A module has at most 450 lines, and at least 40 where it has functions and isn't the face of a package."""
    lines = path.read_text("utf-8").count("\n")
    assert lines <= 450
    if path.name not in {"__init__.py", "__main__.py"} and functions(path):
        assert lines >= 40


def test_functions_fit_on_a_screen() -> None:
    """A function has at most 50 lines, its docstring included."""
    long = {
        f"{name_of(path)}:{function.name}"
        for path in PACKAGE
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= 50
    }
    assert long == set()


def test_the_package_is_not_mostly_headers() -> None:
    """What comes before a module's first statement is at most 15 % of the package's lines."""
    total = header = 0
    for path in PACKAGE:
        source = path.read_text("utf-8")
        total += source.count("\n")
        header += header_lines(ast.parse(source))
    assert header <= 0.15 * total


def header_lines(module: ast.Module) -> int:
    """The lines of a module's docstring, imports and `__all__`."""
    last = 0
    for node in module.body:
        is_docstring = isinstance(node, ast.Expr) and node is module.body[0]
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        is_type_import = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        is_all = isinstance(node, ast.Assign) and "'__all__'" in ast.dump(node.targets[0])
        if not (is_docstring or is_import or is_type_import or is_all):
            break
        last = node.end_lineno or last
    return last


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_the_wording_is_plain(path: Path) -> None:
    """Code and pages avoid the words that made readers stop."""
    found = {
        f"line {n}: {line.strip()}"
        for n, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if AVOIDED.search(line)
    }
    assert found == set()


@pytest.mark.parametrize("module", PUBLIC)
def test_public_annotations_can_be_evaluated(module: str) -> None:
    """Dependency injectors and documentation tools evaluate annotations at run time, so no name is missing there."""
    exported = importlib.import_module(module)
    values = [getattr(exported, name) for name in exported.__all__]
    methods = [
        method
        for value in values
        if inspect.isclass(value)
        for name, method in vars(value).items()
        if inspect.isfunction(method) and (not name.startswith("_") or name == "__init__")
    ]
    annotated = [item for item in (*values, *methods) if inspect.isclass(item) or inspect.isfunction(item)]
    assert annotated
    for item in annotated:
        get_type_hints(item)


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_api_is_documented(module: str) -> None:
    """Whatever a public module exports has a docstring, and so have its public methods and properties."""
    exported = importlib.import_module(module)
    missing: list[str] = []
    for name in exported.__all__:
        value = getattr(exported, name)
        if not inspect.isclass(value) and not inspect.isfunction(value):
            continue
        members: dict[str, Any] = dict(vars(value)) if inspect.isclass(value) else {}
        calls = [
            member
            for member, kind in members.items()
            if not member.startswith("_")
            and (callable(kind) or isinstance(kind, property | classmethod | staticmethod))
        ]
        missing += [name] if not value.__doc__ else []
        missing += [
            f"{name}.{call}" for call in calls if call not in HOOKS and not inspect.getdoc(getattr(value, call))
        ]
    assert missing == []
