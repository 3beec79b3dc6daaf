"""Documents: scripts and faults as JSON or YAML, from a file or over HTTP."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rebyte_async.emulator import Emulator, faults, script
from rebyte_async.emulator.document import FAULTS, STEPS, ScriptError, load_document, parse_fault, read_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.raw_client import RawClient

DOCS = Path(__file__).parent.parent.parent / "docs"
STEP_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "artifact": ({"name": "a", "content": "b"}, script.artifact("a", "b")),
    "cancel": (None, script.cancel()),
    "comment": ("ping", script.comment("ping")),
    "delegate": (
        {"prompt": "Look", "steps": [{"text": "a"}], "late": ["cancel"]},
        script.delegate("Look", script.text("a"), late=script.cancel()),
    ),
    "delta": ("a", script.delta("a")),
    "error": ("Oh", script.error("Oh")),
    "fail": ("No disk", script.fail("No disk")),
    "hold": ("here", script.hold("here")),
    "init": ({"model": "m"}, script.init(model="m")),
    "pause": (0.5, script.pause(0.5)),
    "question": (
        {"prompt": "Which?", "options": ["a", "b"], "also": ["And?", {"prompt": "Or?", "multi_select": True}]},
        script.question("Which?", "a", "b", also=[script.question("And?"), script.question("Or?", multi_select=True)]),
    ),
    "raw": ({"event_type": "new", "payload": {"a": 1}}, script.raw("new", a=1)),
    "result": ({"content": "a", "usage": {"input_tokens": 1}}, script.result("a", usage={"input_tokens": 1})),
    "succeed": ("Done", script.succeed("Done")),
    "text": ("a", script.text("a")),
    "thinking": ("a", script.thinking("a")),
    "tool_result": ({"output": "a", "is_error": False}, script.tool_result("a", is_error=False)),
    "tool_use": ({"name": "Bash", "arguments": {"command": "ls"}}, script.tool_use("Bash", {"command": "ls"})),
}
FAULT_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "broken_body": ("{", faults.BrokenBody(b"{")),
    "cut": ({"events": 2, "manner": "eof"}, faults.Cut(2, "eof")),
    "cut_bytes": (9, faults.CutBytes(9)),
    "delay": (1, faults.Delay(1)),
    "drop": ("after", faults.Drop("after")),
    "html_page": (502, faults.HtmlPage(502)),
    "reply": ({"data": {"a": 1}, "status": 201}, faults.Reply({"a": 1}, 201)),
    "slow": ({"seconds": 0.1, "size": 5}, faults.Slow(0.1, size=5)),
    "status": ({"status": 429, "headers": {"Retry-After": "1"}}, faults.Status(429, headers={"Retry-After": "1"})),
    "wrong_length": ({"more": None}, faults.WrongLength(None)),
}
FAULT_CLASSES = {
    name
    for name in faults.__all__
    if inspect.isclass(getattr(faults, name))
    and any(hasattr(getattr(faults, name), hook) for hook in ("around", "frames", "chunks", "download", "delivery"))
    and not getattr(getattr(faults, name), "_is_protocol", False)
}


def test_every_step_and_fault_can_be_written() -> None:
    """Each public step and fault has a form in a document; only what needs a function has none."""
    functions = {name for name in script.__all__ if inspect.isfunction(getattr(script, name))}
    assert STEPS.keys() == functions == STEP_EXAMPLES.keys()
    written = {form.function.__name__ for form in FAULTS.values()}
    assert FAULT_CLASSES - written == {"Rewrite"}
    assert written <= FAULT_CLASSES


@pytest.mark.parametrize(("name", "value", "expected"), [(name, *each) for name, each in STEP_EXAMPLES.items()])
def test_steps(name: str, value: Any, expected: Any) -> None:
    """A step is written as its only argument, or as an object of its arguments."""
    (turn,) = read_document({"scripts": [{"steps": [{name: value}]}]}).scripts
    assert turn.steps == (expected,)


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    """A fault is written as a step is; what isn't given has its default."""
    value, expected = FAULT_EXAMPLES.get(name) or (None, FAULTS[name].function())
    (planned,) = read_document({"faults": [{name: value}]}).faults
    assert (planned.fault, planned.match, planned.times) == (expected, None, 1)


def test_what_a_fault_troubles() -> None:
    """A fault has a match of requests or of deliveries, and a number of times."""
    match = {"method": "GET", "path": "/tasks", "nth": 2}
    chosen = {"event": "task.completed"}
    document = read_document(
        {"faults": [{"cut": None, "match": match, "times": None}, {"late_delivery": 2, "deliveries": chosen}]}
    )
    assert [(each.match, each.times) for each in document.faults] == [
        (faults.Match("GET", "/tasks", nth=2), None),
        (faults.Deliveries("task.completed"), 1),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the document must be an object, not []"),
        ({"script": 1}, "the document has no 'script': there are scripts, faults, release"),
        ({"scripts": 1}, "scripts must be a list, not 1"),
        ({"scripts": [{}]}, "scripts[0]: steps is required"),
        ({"scripts": [{"steps": [1]}]}, "scripts[0].steps[0] must be an object, not 1"),
        ({"scripts": [{"steps": [{}]}]}, "scripts[0].steps[0] must have one step, not nothing"),
        ({"scripts": [{"steps": [{"txt": 1}]}]}, "scripts[0].steps[0]: there is no step 'txt': did you mean text?"),
        ({"scripts": [{"steps": ["§"]}]}, "scripts[0].steps[0]: there is no step '§': there are artifact, cancel"),
        (
            {"scripts": [{"steps": [{"text": False}]}]},
            "scripts[0].steps[0].text.content must be text, not false (put it in quotes)",
        ),
        ({"scripts": [{"steps": [{"text": {}}]}]}, "scripts[0].steps[0].text: content is required"),
        ({"scripts": [{"steps": [{"cancel": 1}]}]}, "scripts[0].steps[0].cancel takes nothing: leave its value empty"),
        ({"scripts": [{"steps": [], "times": "x"}]}, 'scripts[0].times must be a whole number or null, not "x"'),
        ({"scripts": [{"steps": [], "prompt": "("}]}, "scripts[0].prompt must be a regular expression: missing )"),
        (
            {"scripts": [{"steps": [{"raw": {"event_type": "x", "payload": 1}}]}]},
            "scripts[0].steps[0].raw.payload must be an object or null, not 1",
        ),
        ({"faults": [{"cut": {"manner": "x"}}]}, 'faults[0].cut.manner must be reset or eof or clean, not "x"'),
        ({"faults": [{"drop": "befor"}]}, 'faults[0].drop.when must be before or after, not "befor"'),
        ({"faults": [{"cut": {"event": 1}}]}, "faults[0].cut has no 'event': there are events, manner"),
        ({"faults": [{"cut": 1, "drop": "after"}]}, "faults[0] must have one fault, not cut, drop"),
        ({"faults": [{"cut": 1, "match": {"path": "("}}]}, "faults[0].match: missing )"),
        ({"release": ["a", 2]}, "release[1] must be text, not 2"),
    ],
)
def test_mistakes(data: Any, message: str) -> None:
    """What can't be read is named by its path in the document, with what would be right."""
    with pytest.raises(ScriptError) as caught:
        read_document(data)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("html_page", {"html_page": None}),
        ("status=429", {"status": 429}),
        ('cut={"events": 2}', {"cut": {"events": 2}}),
        ('{"cut": 1, "times": 3}', {"cut": 1, "times": 3}),
    ],
)
def test_a_fault_as_an_argument(text: str, expected: Any) -> None:
    """A command takes a fault as a name, a name and JSON, or an object."""
    (planned,) = read_document({"faults": [expected]}).faults
    assert parse_fault(text) == planned


def test_a_fault_as_a_wrong_argument() -> None:
    """What isn't JSON after the name is an error that shows what would be."""
    with pytest.raises(ScriptError, match="must be JSON, such as 503"):
        parse_fault("status=")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"scripts": [{"steps": [{"text": "Hi"}]}]}'),
        ("a.yaml", "scripts:\n  - steps:\n      - text: Hi\n"),
        ("a.yml", "scripts: [{steps: [{text: Hi}]}]"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    """A file is YAML if its name says so, else JSON."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    (turn,) = load_document(tmp_path / name).scripts
    assert turn.steps == (script.text("Hi"),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "this isn't JSON in UTF-8: Expecting property name"),
        ("a.json", b'"\xff"', "this isn't JSON in UTF-8: 'utf-8' codec"),
        ("a.yaml", b"a: [", "this isn't YAML: while parsing a flow"),
        ("a.json", b'{"scripts": 1}', "scripts must be a list, not 1"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """An error about a file begins with its name."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScriptError) as caught:
        load_document(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: {message}")


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that isn't there is named."""
    with pytest.raises(ScriptError, match=r"none\.json: No such file"):
        load_document(tmp_path / "none.json")


def test_yaml_needs_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyYAML the error says how to get it; JSON needs nothing."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "a.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(ScriptError, match=r'pip install "rebyte-async\[emulator\]", or write JSON'):
        load_document(tmp_path / "a.yaml")


STORY = {"scripts": [{"prompt": "Hi", "steps": [{"text": "Hello"}, {"hold": "gate"}, {"text": "Bye"}]}]}


async def test_a_document_is_played(emulator: Emulator, http: RawClient) -> None:
    """`load` sets scripts, and releases what they hold."""
    emulator.load(STORY)
    task_id = await http.create("Hi")
    await emulator.reached("gate")
    emulator.load({"release": ["gate"]})
    assert await http.texts(task_id) == ["Hello", "Bye"]


def test_a_file_is_loaded(tmp_path: Path) -> None:
    """`load` takes a file, too."""
    (tmp_path / "story.json").write_text(json.dumps({"faults": [{"status": 500}]}), encoding="utf-8")
    with Emulator() as emulator:
        emulator.load(tmp_path / "story.json")
        assert [rule.fault for rule in emulator.faults] == [faults.Status(500)]


def find_fences(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_file_in_the_documentation_can_be_read(tmp_path: Path) -> None:
    """The documented file has scripts, faults and a release."""
    (page,) = find_fences("emulator.md", "yaml")
    (tmp_path / "story.yaml").write_text(page, encoding="utf-8")
    document = load_document(tmp_path / "story.yaml")
    assert (len(document.scripts), len(document.faults), document.release) == (2, 3, ("gate",))


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("sh") is None, reason="it needs curl and a shell")
def test_the_command_in_the_documentation_works() -> None:
    """The documented request of another program sets what it says."""
    (command,) = find_fences("testing.md", "sh")
    with Emulator() as emulator:
        environment = {**os.environ, "REBYTE_BASE_URL": emulator.url, "REBYTE_API_KEY": emulator.api_key}
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert f"`{done.stdout}`" in (DOCS / "testing.md").read_text(encoding="utf-8")


def control(emulator: Emulator) -> str:
    return emulator.url.removesuffix("/v1") + "/__emulator__/script"


async def test_a_document_over_http(emulator: Emulator, http: RawClient) -> None:
    """A program in any language sets scripts and faults by a request, which no fault troubles."""
    emulator.faults.add(faults.HtmlPage(), times=None)
    document = {**STORY, "faults": [{"status": 500}], "release": ["gate"]}
    headers = {"API_KEY": emulator.api_key}
    response = await http.call("POST", control(emulator), json=document, headers=headers)
    assert (response.status, response.json()) == (201, {"scripts": 1, "faults": 1, "release": 1})
    assert [type(rule.fault).__name__ for rule in emulator.faults] == ["HtmlPage", "Status"]


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        (lambda key: key, {"scripts": 1}, (400, "validation_error")),
        (lambda _: "rbk_other", STORY, (401, "invalid_api_key")),
    ],
)
async def test_a_refused_document(
    emulator: Emulator, http: RawClient, key: Callable[[str], str], data: Any, expected: tuple[int, str]
) -> None:
    """A mistake has its place in the response; the request needs the emulator's key."""
    response = await http.call("POST", control(emulator), json=data, headers={"API_KEY": key(emulator.api_key)})
    assert (response.status, response.code) == expected
