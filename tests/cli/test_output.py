"""The parts of tables and records that are pure."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rebyte_async import errors
from rebyte_async.cli.exits import exit_code_for, explain
from rebyte_async.cli.view.json import to_document, to_json_line
from rebyte_async.cli.view.screen import Screen
from rebyte_async.cli.view.table import Column, choose_columns
from rebyte_async.cli.view.text import format_age, format_arguments, format_plain, format_size
from rebyte_async.types import AgentComputer, Prompt, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = [
    Column[str](heading="ID", of=str),
    Column[str](heading="STATUS", of=str, rank=1),
    Column[str](heading="CREATED", of=str, rank=2),
    Column[str](heading="TITLE", of=str, is_flexible=True),
]


def draw(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Draw a table, and return its lines."""
    out = io.StringIO()
    screen = Screen(out)
    screen.console.width = width
    screen.print_table(COLUMNS, rows)
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).split("\n")[:-1]]


@given(st.lists(st.tuples(*[st.text("x日", max_size=50)] * 4), min_size=1, max_size=4), st.integers(1, 150))
def test_a_table_fits_and_its_ids_are_whole(rows: list[tuple[str, ...]], room: int) -> None:
    """No table is wider than its room, no id is cut, and the flexible column is never left out."""
    chosen = choose_columns(COLUMNS, rows, room)
    if chosen is None:
        return
    heading, *lines = draw(rows, room)
    assert len(lines) == len(rows)
    assert max(map(cell_len, (heading, *lines))) <= room
    assert all(line.startswith(row[0]) for line, row in zip(lines, rows, strict=True))
    assert heading.split() == [COLUMNS[index].heading for index in chosen]
    assert 3 in chosen or not any(row[3] for row in rows)


def test_columns_go_by_their_rank() -> None:
    """The less a column matters, the earlier it is left out; a flexible one is cut before that."""
    ids, row = "i" * 36, ["i" * 36, "completed", "5 min ago", "t" * 80]
    gap = " " * 34
    for room, columns, lines in (
        (200, [0, 1, 2, 3], [f"ID{gap}  STATUS     CREATED    TITLE", f"{ids}  completed  5 min ago  {'t' * 80}"]),
        (80, [0, 1, 2, 3], [f"ID{gap}  STATUS     CREATED    TITLE", f"{ids}  completed  5 min ago  {'t' * 19}…"]),
        (60, [0, 1, 3], [f"ID{gap}  STATUS     TITLE", f"{ids}  completed  {'t' * 10}…"]),
        (50, [0, 3], [f"ID{gap}  TITLE", f"{ids}  {'t' * 11}…"]),
    ):
        assert choose_columns(COLUMNS, [row], room) == columns
        assert draw([row], room) == lines
    assert choose_columns(COLUMNS, [row], 40) is None
    assert draw([row], 40) == ["i" * 36, "  completed · 5 min ago · ttttttttttttt…"]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_960, "1,000.0 kB"),
        (1_049_960, "1.0 MB"),
        (60_000_000, "60.0 MB"),
    ],
)
def test_size(count: int, words: str) -> None:
    """Sizes have one digit after the point."""
    assert format_size(count) == words


def test_format_age() -> None:
    """A time within a week is given as an age, an older one as a date."""
    now = datetime.now(UTC)
    words = [format_age(now - timedelta(seconds=seconds)) for seconds in (-5, 0, 5, 90, 7_300, 200_000)]
    assert words == ["just now", "just now", "5 s ago", "1 min ago", "2 h ago", "2 d ago"]
    assert format_age(datetime(2020, 5, 6, 12, tzinfo=UTC)).startswith("2020-05-0")


def test_format_plain() -> None:
    """For programs a value is on one line, without tabs or control characters."""
    assert format_plain(("a\tb\n", True, None, "\x1b[2Jc")) == "a b,yes,,c"


def test_documents_have_the_fields_by_name_and_no_secret() -> None:
    """JSON has every field of a model under its own name, but for what is secret."""
    made = datetime(2026, 1, 2, tzinfo=UTC)
    task = Task(id="t", status="succeeded", created_at=made, prompts=(Prompt(id="p"),))
    document = to_document(task)
    assert (document["status"], document["created_at"]) == ("completed", "2026-01-02T00:00:00+00:00")
    assert document["prompts"] == [{"id": "p", "status": None, "submitted_at": None, "completed_at": None}]
    computer = to_document(AgentComputer(id="c", sandbox_api_key="s3cret", sandbox_base_url="http://x"))
    assert "sandbox_api_key" not in computer
    assert computer["sandbox_base_url"] == "http://x"


@pytest.mark.parametrize("depth", [1, 400, 1000])
def test_a_line_of_json_is_what_any_reader_takes(depth: int) -> None:
    """Infinity, which a number such as 1e999 becomes, is null; what can be read can be written, however deep."""
    value: Any = [float("inf"), float("-inf"), float("nan"), 1.5]
    for _ in range(depth):
        value = {"v": [value]} if depth == 1 else [value]
    line = to_json_line({"payload": value})
    assert line.endswith("[null, null, null, 1.5]" + ("]}" if depth == 1 else "]" * depth) + "}")
    assert "\n" not in format_arguments({"v": value})


def test_a_status_that_is_unknown_has_its_own_exit_code() -> None:
    """A wait that was given up for an unknown status is no failure of the network."""
    unknown = errors.StreamInterruptedError("given up: its status stays 'expired'", last_status="expired")
    assert exit_code_for(unknown) == 13
    assert explain(unknown).startswith("given up: its status stays 'expired' (look at the task (client.tasks.get, or ")
    assert exit_code_for(errors.StreamInterruptedError("given up")) == 7
