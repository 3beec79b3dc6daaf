"""Items of rows: tables of files and of the application, and the prompts, keys and metadata made of them."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as some

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, items_from_rows
from rebyte_async.batch.rows import PromptTemplate
from rebyte_async.batch.tables import Row, parse_table
from rebyte_async.emulator import Emulator
from rebyte_async.errors import BatchError, ConfigurationError, InvalidRequestError
from support.batches import creates, outcomes_of, runner_of, texts


def read(content: str | bytes, form: Any = "csv", delimiter: str = ",") -> list[Row]:
    """The rows of a table, which is called `t`."""
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(parse_table(file, form, delimiter, name="t"))


def cells(content: str | bytes, delimiter: str = ",") -> list[list[str]]:
    """The cells of the rows of a CSV."""
    return [list(row.columns.values()) for row in read(content, delimiter=delimiter)]


def make(row: Mapping[str, Any], prompt: Any = "Do {text}", key: Any = "id", **more: Any) -> BatchItem:
    """The item of one row."""
    (item,) = items_from_rows([row], prompt=prompt, key=key, **more)
    return item


# --- Tables: the cases of csv-spectrum (github.com/max-mapper/csv-spectrum), and what breaks files in practice.


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('a,b\n1,"a ""b"" c"\n', [["1", 'a "b" c']]),
        ('a,b\n1,"x, y"\n', [["1", "x, y"]]),
        ('a,b\n1,"""x"", y"\n', [["1", '"x", y']]),
        ('a,b\n1,"x\ny"\n', [["1", "x\ny"]]),
        ('a,b\r\n1,"x\r\ny"\r\n', [["1", "x\r\ny"]]),
        ('a,b\n1,""\n2,\n', [["1", ""], ["2", ""]]),
        ('a,b\n1,"{""x"": ""y"", ""z"": [1, 2]}"\n', [["1", '{"x": "y", "z": [1, 2]}']]),
        ("a,b\r1,2\r3,4", [["1", "2"], ["3", "4"]]),
        ("a,b\n\n1,ʤ\n\r\n", [["1", "ʤ"]]),
        ("\ufeffa,b\n1,2\n", [["1", "2"]]),
        ("\n\na,b\n1,2", [["1", "2"]]),
        ("a,b\n1, 2 \n", [["1", " 2 "]]),
        ("a,b\n1,it's \u2028 one\n", [["1", "it's \u2028 one"]]),
        ("a,b\n", []),
        ("\ufeffsep=;\r\na;b\r\n1;2,3\r\n", [["1", "2,3"]]),
        ('"sep=\t"\na\tb\n1\t2\n', [["1", "2"]]),
    ],
)
def test_tables_are_read_as_others_write_them(content: str, rows: list[list[str]]) -> None:
    """Quotes, line ends of all kinds inside and outside of cells, a byte order mark and empty lines are understood."""
    assert cells(content) == rows
    assert {name for row in read(content) for name in row.columns} <= {"a", "b"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_table_that_python_writes_is_read_back(delimiter: str) -> None:
    """A table that the csv module writes gives the same cells, whatever they are."""

    @given(some.lists(some.tuples(some.text(some.characters(exclude_characters="\0", codec="utf-8")), some.text("ab"))))
    def check(rows: list[tuple[str, str]]) -> None:
        file = io.StringIO(newline="")
        csv.writer(file, delimiter=delimiter).writerows([("a", "b"), *rows])
        assert cells(file.getvalue(), delimiter) == [list(row) for row in rows]

    check()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "t is empty: its first line must name the columns"),
        ("a,b,a\n", "t, line 1: two columns have the name 'a'"),
        ("a,b\n1,2\n\n1\n", "t, line 4: the row has 1 cell, and there are 2 columns"),
        ('a,b\n"1\n1",2\n1,2,3\n', "t, line 4: the row has 3 cells, and there are 2 columns: quote cells"),
        ('a,b\n1,2\n1,"2\n', "t, line 3: a quote that this row opens is never closed"),
        ('a,b\n"1"x,2\n', "t, line 2: this is no row of a table: ',' expected after '\"'; a quote within"),
        (
            "sep=;\na;b\n1;2\n1;2;3\n",
            "t, line 4: the row has 3 cells, and there are 2 columns: quote cells that have a ';'",
        ),
        ("sep=;\n", "t is empty: its first line must name the columns"),
        (
            "a,b\n" + "1" * 200_000 + ",2\n",
            "t, line 2: a cell of this row has more than 131,072 characters: is a quote not",
        ),
        (b"a,b\n1,\0\n", "t, line 2: it has a NUL character: this is no text, or not UTF-8: save the file as UTF-8"),
        ("a,b\n1,ä\n".encode("utf-16"), "t, line 1: "),
        (
            b'a,b\n"x\ny",1\nM\xfcller,2\n',
            "t, line 4: this isn't UTF-8 (0xfc after 'M'): save the file as UTF-8 (in Excel: 'CSV UTF-8')",
        ),
    ],
)
def test_the_error_of_a_bad_row_names_its_line(content: str | bytes, said: str) -> None:
    """The line is that on which the row begins, also after cells with line ends in them."""
    with pytest.raises(BatchError) as caught:
        read(content)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "t, line 3: a row must be a mapping of columns to values, not list"),
        ('{"a": 1,}', "t, line 3: this is no JSON object: "),
    ],
)
def test_the_error_of_a_bad_object_names_its_line(line: str, said: str) -> None:
    """Empty lines of JSON lines are skipped, and counted."""
    good = '\ufeff{"a": [1]}\r\n\n'
    assert [row.columns for row in read(good, "jsonl")] == [{"a": [1]}]
    with pytest.raises(BatchError) as caught:
        read(good + line, "jsonl")
    assert said in str(caught.value)
    assert "line 1" not in str(caught.value)


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    """The name says how a file is written; the delimiter of a CSV can be given."""
    contents = {"t.csv": "id,text\n1,x\n", "t.TSV": "id\ttext\n1\tx\n", "t.jsonl": '{"id": 1, "text": "x"}\n'}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        (item,) = items_from_rows(tmp_path / name, prompt="Do {text}", key="id")
        assert (item.key, item.prompt, item.metadata) == ("1", "Do x", {"text": "x"})
        assert item.origin == f"{tmp_path / name}, line {1 if name == 't.jsonl' else 2}"
    (tmp_path / "semicolons.csv").write_text("id;text\n1;x\n")
    (item,) = items_from_rows(str(tmp_path / "semicolons.csv"), prompt="{text}", key="id", delimiter=";")
    assert item.prompt == "x"
    with pytest.raises(BatchError, match="the only column is 'id;text'; if these are several, give the delimiter"):
        next(items_from_rows(tmp_path / "semicolons.csv", prompt="{text}", key="id"))


@pytest.mark.parametrize("name", ["no.csv", "folder.csv", "a\0.csv"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """What isn't there, a folder, and what is no path at all are errors of the batch."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BatchError, match="can't read "):
        next(items_from_rows(tmp_path / name, prompt="{x}", key="id"))


def test_a_long_table_takes_no_memory(tmp_path: Path) -> None:
    """Rows are read as they are needed, and the file is closed with the generator."""
    with (tmp_path / "long.csv").open("w") as file:
        file.write("id,text\n")
        file.writelines(f"{number},{'x' * 100}\n" for number in range(30_000))
    tracemalloc.start()
    try:
        items = items_from_rows(tmp_path / "long.csv", prompt="Do {text}", key="id")
        next(items)
        begun = tracemalloc.get_traced_memory()[0]
        assert sum(1 for _ in items) == 29_999
        assert tracemalloc.get_traced_memory()[1] < begun + 200_000
    finally:
        tracemalloc.stop()
    half_read = items_from_rows(tmp_path / "long.csv", prompt="Do {text}", key="id")
    next(half_read)
    half_read.close()  # else the test would fail by its ResourceWarning


# --- Prompts, keys and metadata


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("Do {text}", "Do {id} {0}"),
        ("{text}{text}", "{id} {0}{id} {0}"),
        ("{{text}} {id}", "{text} 7"),
        ("{a.b} {a[0]} {with space}", "dotted indexed spaced"),
        ("{none}|{yes}|{number}|{list}|{day}", '|true|1.5|["ä"]|2026-11-29'),
    ],
)
def test_a_template_has_the_texts_of_columns(template: str, prompt: str) -> None:
    """A name is the whole name of a column, and what a value says isn't read again."""
    row = {"id": 7, "text": "{id} {0}", "a.b": "dotted", "a[0]": "indexed", "with space": "spaced", "none": None}
    row |= {"yes": True, "number": 1.5, "list": ["ä"], "day": date(2026, 11, 29)}
    assert make(row, template).prompt == prompt


@given(some.text())
def test_escaped_braces_are_the_text_itself(literal: str) -> None:
    """A text whose braces are doubled is its own prompt."""
    template = PromptTemplate.parse(literal.replace("{", "{{").replace("}", "}}") + "{a}")
    assert template.fill(Row("row 1", {"a": ""})) == literal


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{text", "{}", "{text!r}", "{text:>9}", "{text:{id}}", '{"a": "x"}', "", "Classify", "{{text}}"],
)
def test_what_is_no_template_is_refused_at_once(template: str) -> None:
    """Formats, single braces and the lack of columns are refused before a row is read; the error says what to write."""
    with pytest.raises(InvalidRequestError, match="prompt must be a text with") as caught:
        items_from_rows("never.csv", prompt=template, key="id")
    assert "write {{ and }} for braces" in str(caught.value)


@pytest.mark.parametrize("template", ["{text.__class__}", "{text[0]}", "{id.real}"])
def test_a_template_reaches_no_attribute_and_no_index(template: str) -> None:
    """What would be an attribute or an index in other templates is the name of a column here, which there isn't."""
    with pytest.raises(BatchError, match=r"row 1: there is no column .* for the prompt; the columns are 'id', 'text'"):
        make({"id": 1, "text": "x"}, template)


@pytest.mark.parametrize(
    ("row", "options", "said"),
    [
        ({"text": "x"}, {}, "row 1: there is no column 'id' for the key; the only column is 'text'"),
        ({}, {}, "row 1: there is no column 'id' for the key; the columns are none"),
        ({"id": 1, "text": "x"}, {"metadata": ["no"]}, "there is no column 'no' for the metadata"),
        ({"id": "", "text": "x"}, {}, "row 1: the key in the column 'id' is empty"),
        ({"id": " ", "text": "x"}, {}, "row 1: the key in the column 'id' is empty"),
        ({"id": None, "text": "x"}, {}, "row 1: the key in the column 'id' is empty"),
        ({"id": 1.0, "text": "x"}, {}, "row 1: the key in the column 'id' must be a text or a whole number, not 1.0"),
        ({"id": True, "text": "x"}, {}, "must be a text or a whole number, not True"),
        ({"id": 1, "text": "x"}, {"key": lambda _: None}, "row 1: the key is empty"),
        ({"id": "k" * 501, "text": "x"}, {}, "row 1: key "),
        ({"id": 1, "text": " "}, {"prompt": "{text}"}, "row 1: prompt must be"),
        ({"id": 1, "text": "x"}, {"prompt": lambda _: 7}, "row 1: prompt must be"),
        ({"id": 1, "text": "x"}, {"model": 7}, "row 1: model must be a string"),
        ({1: "x"}, {}, "row 1: columns must have names that are strings, not 1"),
        ("id", {}, "row 1: a row must be a mapping of columns to values, not str"),
    ],
)
def test_the_error_of_a_row_names_it(row: Any, options: dict[str, Any], said: str) -> None:
    """The error names the row, what is wrong with it, and the columns that there are."""
    with pytest.raises(BatchError) as caught:
        make(row, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prompt": 7}, "prompt must be a text or a function"),
        ({"key": ""}, "key must be the name of a column or a function"),
        ({"key": 7}, "key must be the name of a column or a function"),
        ({"metadata": "label"}, "metadata must be the names of columns"),
        ({"metadata": 7}, "metadata must be the names of columns"),
        ({"delimiter": ";"}, "delimiter is for files of CSV"),
        ({"rows": {"id": 1}}, "rows must be a path or an iterable of mappings, not dict"),
        ({"rows": 7}, "rows must be a path or an iterable of mappings, not int"),
        ({"rows": "t.parquet"}, "its name must end in .csv, .tsv or .jsonl"),
        ({"rows": "t.csv", "delimiter": ";;"}, "delimiter must be one character"),
        ({"rows": "t.csv", "delimiter": 7}, "delimiter must be one character"),
        ({"rows": "t.jsonl", "delimiter": ";"}, "JSON lines have no delimiter"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    """They are refused by the call, before a row is read."""
    arguments: dict[str, Any] = {"rows": [], "prompt": "{text}", "key": "id"} | options
    with pytest.raises((InvalidRequestError, ConfigurationError)) as caught:
        items_from_rows(**arguments)
    assert said in str(caught.value)


def test_prompts_and_keys_may_be_functions() -> None:
    """A function gets the row; an error that it raises comes as it is, with the place of the row."""
    item = make({"a": 1, "b": 2}, lambda row: f"Add {row['a'] + row['b']}", lambda row: f"{row['a']}-{row['b']}")
    assert (item.key, item.prompt, item.metadata) == ("1-2", "Add 3", {"a": 1, "b": 2})
    with pytest.raises(KeyError) as caught:
        make({"a": 1}, lambda row: row["b"], "a")
    assert caught.value.__notes__ == ["while an item was made of row 1"]


def test_columns_become_metadata() -> None:
    """All columns but the key are kept, as JSON has them, or those that are chosen; options are those of every item."""
    row = {"id": 1, "text": "x", "at": datetime(2026, 1, 1, tzinfo=UTC), "n": float("nan"), "list": (1, 2)}
    item = make(row, executor="codex")
    assert item.metadata == {"text": "x", "at": "2026-01-01T00:00:00+00:00", "n": None, "list": [1, 2]}
    assert item.executor == "codex"
    assert json.dumps(item.as_json())
    assert make(row, metadata=["id"]).metadata == {"id": 1}
    assert make(row, metadata=[]).metadata == {}


async def test_rows_may_come_asynchronously(client: AsyncRebyte) -> None:
    """Async rows make items as sync ones do, and are closed with them."""
    closed: list[str] = []

    async def rows() -> AsyncGenerator[dict[str, Any]]:
        try:
            for number in range(3):
                yield {"id": number, "text": f"{number}"}
        finally:
            closed.append("rows")

    found = await outcomes_of(runner_of(client), items_from_rows(rows(), prompt="Do {text}", key="id"))
    assert sorted(found) == ["0", "1", "2"]
    items = items_from_rows(rows(), prompt="Do {text}", key="id")
    assert (await anext(items)).key == "0"
    await items.aclose()
    assert closed == ["rows", "rows"]


async def test_a_table_is_a_batch(emulator: Emulator, client: AsyncRebyte, tmp_path: Path) -> None:
    """Each row becomes a task, once over two runs; a key that comes twice is named with its line."""

    def rows() -> Iterator[BatchItem]:
        path = tmp_path / "t.csv"
        return items_from_rows(path, prompt="Do {text}", key="id")

    def write(*lines: str) -> None:
        (tmp_path / "t.csv").write_text("\n".join(["id,text", *lines]))

    await anyio.to_thread.run_sync(write, "a,x", "b,y")
    runner = runner_of(client, journal=tmp_path / "run.sqlite3")
    first = await outcomes_of(runner, rows())
    assert {key: outcome.metadata for key, outcome in first.items()} == {"a": {"text": "x"}, "b": {"text": "y"}}
    assert await outcomes_of(runner, rows()) == first
    assert texts(emulator) == ["Do x", "Do y"]
    await anyio.to_thread.run_sync(write, "a,x", "b,y", "a,x")
    with pytest.raises(BatchError, match="line 4: the key 'a' comes twice"):
        await outcomes_of(runner, rows())
    assert creates(emulator) == 2
