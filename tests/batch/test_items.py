"""Items: made by code, read from JSON lines, and compared."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from rebyte_async import errors
from rebyte_async.batch import BatchItem, parse_jsonl, read_jsonl
from rebyte_async.batch.items import prompt_hash, to_new_item
from rebyte_async.types import FileRef

FULL = {
    "key": "k",
    "prompt": "Do it",
    "executor": "codex",
    "model": "m",
    "workspace_id": "w",
    "files": ["a.csv", {"id": "f1", "filename": "b.csv"}, {"name": "c.csv", "path": "d.csv"}],
    "skills": ["pdf"],
    "github_url": "a/b",
    "branch_name": "dev",
    "extra": {"effort": "high"},
    "metadata": {"row": 7},
}


def test_an_item_survives_a_round_trip_through_json() -> None:
    """An item's JSON makes the same item again."""
    item = BatchItem.from_json(FULL)
    assert item.files == ("a.csv", FileRef("f1", "b.csv"), ("c.csv", "d.csv"))
    assert item.as_json() == FULL
    assert BatchItem.from_json(item.as_json()) == item
    assert BatchItem("k", "Do it").as_json() == {"key": "k", "prompt": "Do it"}


def test_nulls_and_absent_fields_are_the_same() -> None:
    """A line in which unused fields are null makes the same item as one without them."""
    nulls = dict.fromkeys(FULL) | {"key": "k", "prompt": "Do it"}
    assert BatchItem.from_json(nulls) == BatchItem("k", "Do it")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "must be a JSON object, not list"),
        ({"key": "k"}, "needs prompt"),
        ({}, "needs key and prompt"),
        ({"key": "k", "prompt": "p", "promt": "p"}, "an item has no promt; it has key, prompt, executor"),
        ({"key": "", "prompt": "p"}, "key must be a string that isn't empty"),
        ({"key": 7, "prompt": "p"}, "key must be a string that isn't empty, not 7"),
        ({"key": "k" * 501, "prompt": "p"}, "at most 500 characters"),
        ({"key": "k", "prompt": " "}, "prompt must be a string"),
        ({"key": "k", "prompt": "p" * 100_001}, "at most 100,000"),
        ({"key": "k", "prompt": "p", "model": 3}, "model must be a string"),
        ({"key": "k", "prompt": "p", "files": "a.csv"}, "files must be a list, not str"),
        ({"key": "k", "prompt": "p", "files": [{"id": "f1"}]}, 'a file must be a path, {"id"'),
        ({"key": "k", "prompt": "p", "files": [7]}, "a file must be a path"),
        ({"key": "k", "prompt": "p", "skills": "pdf"}, "skills must be a list"),
        ({"key": "k", "prompt": "p", "metadata": []}, "metadata must be a mapping of JSON values, not list"),
        ({"key": "k", "prompt": "p", "metadata": {7: 1}}, "metadata must have names that are strings, not 7"),
        ({"key": "k", "prompt": "p", "extra": []}, "extra must be a mapping"),
        ({"key": "k", "prompt": "p", "extra": {"workspaceId": "w"}}, "fields that have an argument: workspaceId"),
    ],
)
def test_wrong_items_are_refused(document: Any, said: str) -> None:
    """The error names the field, and says what it must be."""
    with pytest.raises(errors.InvalidRequestError) as caught:
        BatchItem.from_json(document)
    assert said in str(caught.value)


@pytest.mark.parametrize("files", [b"x", "a.csv", 7, FileRef("f1", "a"), [("a",)], [(1, b"x")]])
def test_files_must_be_a_list_of_attachments(files: Any) -> None:
    """A single path, a file alone or half a pair is refused."""
    with pytest.raises(errors.InvalidRequestError, match="files"):
        BatchItem("k", "p", files=files)


def test_the_fingerprint_covers_everything_that_is_sent() -> None:
    """Items have equal fingerprints if their creates are equal, whatever their keys and their metadata are."""
    base = to_new_item(BatchItem.from_json(FULL))
    unsent = {"key": "other", "metadata": {"row": 8}}
    assert to_new_item(BatchItem.from_json(FULL | unsent)).fingerprint == base.fingerprint
    others = dict.fromkeys(FULL.keys() - unsent.keys(), "x") | {
        "files": ["x"],
        "skills": ["x"],
        "extra": {},
        "github_url": "a/x",
    }
    for name, other in others.items():
        assert to_new_item(BatchItem.from_json(FULL | {name: other})).fingerprint != base.fingerprint, name
    mixed = BatchItem("k", "p", extra={"a": {"x": 1, "y": [2, {"q": 1, "p": 2}]}, "b": 2})
    turned = BatchItem("k", "p", extra={"b": 2, "a": {"y": [2, {"p": 2, "q": 1}], "x": 1}})
    assert to_new_item(mixed).fingerprint == to_new_item(turned).fingerprint


def test_an_upload_source_without_a_path_is_written_as_its_name_and_type() -> None:
    """Bytes and open files have no JSON form, so their names and types are written."""
    file = io.BytesIO(b"x")
    document = BatchItem("k", "p", files=[("a", b"1"), ("b", file), file, ("c", Path("d"))]).as_json()
    assert document["files"] == [
        {"name": "a", "source": "bytes"},
        {"name": "b", "source": "BytesIO"},
        {"name": "", "source": "BytesIO"},
        {"name": "c", "path": "d"},
    ]


def test_items_without_a_json_form_are_refused() -> None:
    """The error names the item's key."""
    with pytest.raises(errors.InvalidRequestError, match="'k' can't be written as JSON"):
        to_new_item(BatchItem("k", "p", extra={"x": object()}))
    with pytest.raises(errors.InvalidRequestError, match="'k' can't be written as JSON"):
        to_new_item(BatchItem("k", "p", metadata={"x": object()}))
    with pytest.raises(errors.InvalidRequestError, match="can't be written as JSON"):
        to_new_item(BatchItem("k", "half a pair: \ud83d"))


def test_prompts_are_compared_without_line_ends_and_outer_space() -> None:
    """Line ends and white space around a prompt make no difference."""
    assert prompt_hash(" a\r\nb\rc\n") == prompt_hash("a\nb\nc")
    assert prompt_hash("a b") != prompt_hash("a  b")


async def test_a_file_of_lines_is_read_lazily(tmp_path: Path) -> None:
    """Lines are items, empty lines are skipped, and the error of a bad line names it."""
    path = tmp_path / "items.jsonl"
    lines = [f'{{"key": "k{number}", "prompt": "p"}}' for number in range(700)]
    path.write_text("\n".join(["", *lines, "  ", '{"key": 1}']), encoding="utf-8")
    found: list[str] = []
    with pytest.raises(errors.BatchError, match=rf"{path}, line 703: an item needs prompt"):
        async for item in read_jsonl(path):
            found.append(item.key)  # noqa: PERF401 - it ends with an error
    assert found == [f"k{number}" for number in range(700)]


async def test_the_error_of_a_line_without_json_names_it(tmp_path: Path) -> None:
    """The error names the file and the line."""
    path = tmp_path / "items.jsonl"
    path.write_text('{"key": "k", "prompt": "p"}\n{"key": \n', encoding="utf-8")
    with pytest.raises(errors.BatchError, match="line 2: this is no JSON object"):
        [item async for item in read_jsonl(path)]
    with pytest.raises(errors.BatchError, match=r"can't read .*No such file"):
        [item async for item in read_jsonl(tmp_path / "none")]


async def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Windows editors put one at the start of a file."""
    path = tmp_path / "items.jsonl"
    path.write_text('{"key": "a", "prompt": "Do it"}\n', encoding="utf-8-sig")
    assert [item.key async for item in read_jsonl(path)] == ["a"]


def test_lines_are_items_as_they_come() -> None:
    """No line is read before the item of the one before it is taken; the error of a bad line names it."""
    lines = iter([b'\xef\xbb\xbf{"key": "a", "prompt": "p"}\n', b"\n", b'{"key": "b", "prompt": "p"}\n', b"{}\n"])
    items = parse_jsonl(lines, name="stdin")
    assert next(items).key == "a"
    assert next(lines) == b"\n"
    assert next(items).key == "b"
    with pytest.raises(errors.BatchError, match="stdin, line 3: an item needs"):
        next(items)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "shift_jis", "utf-16"])
async def test_a_line_that_is_no_utf_8_is_refused(tmp_path: Path, encoding: str) -> None:
    """A prompt with replaced letters would be sent and paid for."""
    path = tmp_path / "items.jsonl"
    text = "Müller" if encoding == "latin-1" else "\u20ac" if encoding == "cp1252" else "\u65e5\u672c"
    path.write_bytes(b'{"key": "a", "prompt": "first"}\n{"key": "b", "prompt": "' + text.encode(encoding) + b'"}\n')
    found: list[str] = []
    with pytest.raises(errors.BatchError, match=r"line 2: this isn't UTF-8 \(byte \d+ is 0x"):
        async for item in read_jsonl(path):
            found.append(item.key)  # noqa: PERF401 - it ends with an error
    assert found == ["a"]
