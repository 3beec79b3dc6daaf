"""Exports of a journal: CSV that others read as it was written, and that no spreadsheet computes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rebyte_async.batch import read_journal, write_outcomes
from rebyte_async.batch.exports import guard_cell
from rebyte_async.errors import ConfigurationError
from support.journals import row, write_journal

DANGEROUS = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
GUARDED = re.compile(r"^'(?='*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
TEXTS = some.one_of(some.text(), some.text("'=+-@\t\r\n0159.e"))


def export(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> list[dict[str, str]]:
    """The rows of the CSV of a journal."""
    name = tmp_path / "out.csv"
    with read_journal(write_journal(tmp_path / "j", rows)) as reader:
        count = write_outcomes(reader, name, **options)
    with name.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, strict=True))
    assert count == len(found)
    return found


@given(TEXTS)
def test_a_guarded_text_is_no_formula_and_can_be_given_back(text: str) -> None:
    """What begins as a formula does is guarded unless it is a number; removing the guard gives every text back."""
    guarded = guard_cell(text)
    assert not DANGEROUS.match(guarded) or NUMBER.fullmatch(guarded)
    assert GUARDED.sub("", guarded) == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(A1)", "'=HYPERLINK(A1)"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+49 89 1234", "'+49 89 1234"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("-1+1", "'-1+1"),
        ("\t=1", "'\t=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_what_is_guarded(text: str, cell: str) -> None:
    """Numbers stay numbers, and an apostrophe that guards nothing stays alone."""
    assert guard_cell(text) == cell


@pytest.mark.parametrize("text", ['a "quote", and\na line', "\r", "a\r\nb", "\r\n", "=1\r", ",;\t", "ʤ\u2028", ""])
def test_every_cell_is_read_back(tmp_path: Path, text: str) -> None:
    """A reader of CSV finds the text that was given, whatever line ends and quotes it has."""
    (found,) = export(tmp_path, row("a", final_result=text, request={"metadata": {"n": text}}), guard_formulas=False)
    assert (found["final_result"], found["n"]) == (text, text)


def test_metadata_has_columns(tmp_path: Path) -> None:
    """All names in the metadata of any item are columns after the fields; a field's name is marked as one."""
    rows = [
        row("a", request={"metadata": {"team": "x", "key": "own", "n": 1.5, "is": True}}),
        row("b", request={"metadata": {"=sum": {"deep": ["ä"]}, "metadata.key": "second", "no": None}}),
        row("c", status="failed"),
        row("d", status=None, state="running", ended_at=None, request={"metadata": {"unseen": 1}}),
    ]
    found = export(tmp_path, *rows)
    assert list(found[0])[:9] == [
        "key",
        "status",
        "task_id",
        "final_result",
        "error",
        "attempts",
        "started_at",
        "ended_at",
        "workspace_id",
    ]
    shown = [{name: value for name, value in line.items() if value and name in list(line)[9:]} for line in found]
    assert shown == [
        {"team": "x", "metadata.metadata.key": "own", "n": "1.5", "is": "true"},
        {"'=sum": '{"deep": ["ä"]}', "metadata.key": "second"},
        {},
    ]
    assert found[2]["error"] == "hello"


def test_an_export_may_have_some_statuses(tmp_path: Path) -> None:
    """Items with other statuses are left out, with the columns that they alone have."""
    rows = [row("a", request={"metadata": {"alone": 1}}), row("b", status="failed")]
    (found,) = export(tmp_path, *rows, statuses=["failed"])
    assert found["key"] == "b"
    assert "alone" not in found


def test_lines_of_json_have_the_metadata_as_it_is(tmp_path: Path) -> None:
    """Each line is an outcome with its metadata as an object, and nothing in it is guarded."""
    metadata = {"team": "=x", "deep": [{"a": None}]}
    with read_journal(write_journal(tmp_path / "j", [row("a", request={"metadata": metadata})])) as reader:
        assert write_outcomes(reader, tmp_path / "out.jsonl") == 1
        with pytest.raises(ConfigurationError, match="form must be 'csv' or 'jsonl', not 'parquet'"):
            write_outcomes(reader, tmp_path / "out.parquet")
        with pytest.raises(ConfigurationError, match="not 'xml'"):
            write_outcomes(reader, tmp_path / "out.csv", form="xml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    document = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert (document["metadata"], document["workspace_id"]) == (metadata, "ws-1")


def test_deeply_nested_metadata_is_written(tmp_path: Path) -> None:
    """What a parser of JSON takes is written, however deeply it is nested."""
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    (found,) = export(tmp_path, row("a", request={"metadata": {"deep": deep}}))
    assert found["deep"] == json.dumps(deep)


def test_what_is_no_unicode_is_replaced(tmp_path: Path) -> None:
    """Half of a surrogate pair, which UTF-8 can't have, is written as a question mark."""
    (found,) = export(tmp_path, row("a", request={"metadata": {"half": "\ud83d!"}}))
    assert found["half"] == "?!"
