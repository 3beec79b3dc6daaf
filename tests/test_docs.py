"""The documentation is true: its examples run, and the tests, errors and files that it names exist."""

from __future__ import annotations

import ast
import asyncio
import builtins
import html
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from attrs import frozen

import rebyte_async
from rebyte_async import errors
from rebyte_async.emulator import Emulator

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@frozen
class Example:
    """A fenced block of Python."""

    page: Path
    line: int
    source: str

    @property
    def is_test(self) -> bool:
        """Whether the example is a test, which pytest runs."""
        return re.search(r"^(async )?def test_", self.source, re.MULTILINE) is not None

    def compile(self) -> CodeType:
        """Compile the example. Tracebacks show the lines of the page, and `await` is allowed outside of functions."""
        source = "\n" * (self.line - 1) + self.source
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(source, str(self.page), "exec", flags=flags, dont_inherit=True)
        return code


def find_examples(page: Path) -> list[Example]:
    text = TEXTS[page]
    return [Example(page, text.count("\n", 0, found.start(1)) + 1, found[1]) for found in FENCE.finditer(text)]


@pytest.fixture
def _emulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run an emulator that the environment points to, in an empty working directory."""
    with Emulator(pace=0.001) as emulator:
        monkeypatch.setenv("REBYTE_BASE_URL", emulator.url)
        monkeypatch.setenv("REBYTE_API_KEY", emulator.api_key)
        monkeypatch.chdir(tmp_path)
        yield
        emulator.check()


@pytest.mark.usefixtures("_emulated")
@PAGE
def test_examples_run(page: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page run one after the other, in one namespace and one event loop."""
    if "DATABASE_URL" in TEXTS[page]:
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres").make_database())
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for example in find_examples(page):
            if example.is_test:
                continue
            code = example.compile()
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, namespace))
            else:
                exec(code, namespace)


def test_examples_that_are_tests_pass(tmp_path: Path) -> None:
    """The tests on the pages pass in pytest, with the settings that docs/testing.md names."""
    found = [example for page in PAGES for example in find_examples(page) if example.is_test]
    for number, example in enumerate(found):
        (tmp_path / f"test_{number}_{example.page.stem}.py").write_text(example.source, encoding="utf-8")
    settings = "[tool.pytest.ini_options]\nanyio_mode = 'auto'\nfilterwarnings = ['error']\n"
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    tests = sum(len(re.findall(r"^(?:async )?def test_", example.source, re.MULTILINE)) for example in found)
    assert tests > 0
    assert f"{tests} passed" in done.stdout, done.stdout


def test_there_are_examples() -> None:
    """All examples of the pages are found."""
    assert all(
        find_examples(ROOT / name) for name in ("README.md", "docs/index.md", "docs/streaming.md", "docs/tasks.md")
    )
    assert sum(TEXTS[page].count("```python\n") for page in PAGES) == sum(len(find_examples(page)) for page in PAGES)


@PAGE
def test_named_tests_exist(page: Path) -> None:
    """Every test that a page names exists."""
    for path, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", TEXTS[page]):
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"{path}::{name}"


@PAGE
def test_named_errors_exist(page: Path) -> None:
    """Every error that a page names is an error of the package or a builtin."""
    known = {*errors.__all__, *dir(builtins), "CancelledError"}
    assert set(re.findall(r"`(?:\w+\.)*([A-Z]\w*Error)\b", TEXTS[page])) - known == set()


@PAGE
def test_named_files_exist(page: Path) -> None:
    """Every file of the project that a page names exists."""
    named = set(re.findall(r"`((?:rebyte_async|tests|docs|examples|typing_tests)/[\w./-]*)", TEXTS[page]))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="the pictures are drawn on a POSIX terminal")
def test_the_picture_of_the_demo_is_current(tmp_path: Path) -> None:
    """The picture in the README shows what the demo prints, ids and times aside, and loads nothing."""
    command = [sys.executable, str(ROOT / "docs/pictures.py"), "demo", "--fast", "--folder", str(tmp_path)]
    subprocess.run(command, check=True)
    shown = (ROOT / "docs/assets/demo.svg").read_text(encoding="utf-8")
    assert read_picture(shown) == read_picture((tmp_path / "demo.svg").read_text(encoding="utf-8"))
    assert "url(" not in shown.replace("url(#", "")


def test_the_picture_of_the_trace_is_current(tmp_path: Path) -> None:
    """The picture of a trace shows the spans and the events of a run, times aside, and loads nothing."""
    subprocess.run(
        [sys.executable, str(ROOT / "docs/trace_picture.py"), "--fast", "--folder", str(tmp_path)], check=True
    )
    shown = (ROOT / "docs/assets/trace.svg").read_text(encoding="utf-8")
    assert read_picture(shown) == read_picture((tmp_path / "trace.svg").read_text(encoding="utf-8"))
    assert {"invoke_agent", "reconnect:", "retry:"} <= {*read_picture(shown)}
    assert "url(" not in shown


def read_picture(svg: str) -> list[str]:
    """The words of a picture, without what differs from run to run: ids, times, and where lines are wrapped."""
    texts = [html.unescape(found) for found in re.findall(r"<text[^>]*>(.*?)</text>", svg)]
    return re.sub(r"[0-9a-f-]{8,}|\d|─", "", " ".join(texts)).split()


@PAGE
def test_code_is_not_wider_than_the_page(page: Path) -> None:
    """No line of an example is cut on a screen of 1280 pixels, which has room for 92 characters of the docs."""
    fences = re.findall(r"^( *)```(?!mermaid)\w+.*\n((?:.*\n)*?) *```$", TEXTS[page], re.MULTILINE)
    lines = [line.removeprefix(indent) for indent, code in fences for line in code.splitlines()]
    widest = 112 if page.name == "README.md" else 92
    assert [line for line in lines if len(line) > widest] == []
    assert "\n\n    " not in re.sub(r"(?ms)^ *```.*?^ *```$", "", TEXTS[page]), "code that is only indented"


def public_values() -> dict[str, object]:
    """All that is in the `__all__` of a module whose name has no underscore."""
    found = pkgutil.walk_packages(rebyte_async.__path__, "rebyte_async.")
    names = [name for name in ("rebyte_async", *(module.name for module in found)) if "._" not in name]
    modules = [importlib.import_module(name) for name in names]
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules
        for name in getattr(module, "__all__", ())
    }


def test_code_in_docstrings_is_not_wider_than_the_page() -> None:
    """No line of an example in a docstring is cut in the reference."""
    values = [value for value in public_values().values() if callable(value)]
    members = [member for value in values for member in getattr(value, "__dict__", {}).values()]
    texts = [inspect.cleandoc(getattr(each, "__doc__", None) or "") for each in (*values, *members)]
    blocks = [block for text in texts for block in re.findall(r"(?<=\n\n)(?:    .*\n?)+", text)]
    assert len(blocks) > 20
    assert [line for block in blocks for line in block.splitlines() if len(line) > 4 + 92] == []


def test_the_reference_has_every_public_name() -> None:
    """Each name that a public module exports is on a page of the reference, and on one only."""
    spec = importlib.util.spec_from_file_location("docs_names", ROOT / "docs/hooks/names.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    shown = re.findall(r"^::: (\S+)$", "\n".join(hook.on_page_markdown(text) for text in TEXTS.values()), re.MULTILINE)
    assert len(set(shown)) == len(shown) > 200
    public = {name: value for name, value in public_values().items() if not inspect.ismodule(value)}
    known = {id(public[name]) for name in shown}
    assert [name for name, value in public.items() if id(value) not in known] == []


def test_pages_about_calls_show_settings_for_some_of_them() -> None:
    """Calls have no settings of their own, so each page of the guide whose examples call shows how they get some."""
    others = {"index", "emulator", "performance"}
    texts = {page.stem: page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md") if page.stem not in others}
    calling = {name for name, text in texts.items() if "await client." in text}
    assert len(calling) >= 10
    assert {name for name in calling if "with_options(" not in texts[name]} == set()


def test_llms_txt_lists_every_page() -> None:
    """The list for coding agents links to each page: to what was written, and to the reference as the site shows it."""
    links = set(re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/llms.txt").read_text(encoding="utf-8")))
    pages = {str(path.relative_to(ROOT / "docs").as_posix()) for path in (ROOT / "docs").rglob("*.md")}
    shown = {
        re.sub(r"^(reference/.*?)(/?index)?\.md$", lambda found: f"{found[1].rstrip('/')}/", page) for page in pages
    }
    assert links == shown | {"openapi.yaml"}


def test_the_page_of_a_relay_is_that_of_the_example() -> None:
    """The page that docs/relay.md shows is the one of the examples, which the tests open in a browser."""
    (page,) = re.findall(r"^```html [^\n]*\n(.*?)^```$", TEXTS[ROOT / "docs/relay.md"], re.MULTILINE | re.DOTALL)
    assert page == (ROOT / "examples/web_relay.html").read_text(encoding="utf-8")


def test_cited_sections_of_the_contract_exist() -> None:
    """Every section of the contract that the code cites as `§n` or `§n.m` exists."""
    contract = (ROOT / "docs/contract.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\d)\. .*\n((?:(?!^## ).*\n)*)", contract, re.MULTILINE))
    assert sorted(sections) == ["1", "2", "3", "4", "5", "6", "7"]
    for path in (ROOT / "rebyte_async").rglob("*.py"):
        for section, item in re.findall(r"§(\d)(?:\.(\d))?", path.read_text(encoding="utf-8")):
            assert section in sections, path
            assert not item or f"\n{item}. " in sections[section], path
