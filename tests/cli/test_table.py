"""The parts of tables and records that are pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.cli.view.document import as_document
from rebyte_async.cli.view.human import ago, flat, size
from rebyte_async.cli.view.table import Column, lay_out
from rebyte_async.types import AgentComputer, Prompt, Task

COLUMNS = [
    Column[str](heading="ID", of=str),
    Column[str](heading="STATUS", of=str, rank=1),
    Column[str](heading="CREATED", of=str, rank=2),
    Column[str](heading="TITLE", of=str, is_flexible=True),
]


@given(st.lists(st.tuples(*[st.text("x日", max_size=50)] * 4), min_size=1, max_size=4), st.integers(1, 150))
def test_a_table_fits_and_its_ids_are_whole(rows: list[tuple[str, ...]], room: int) -> None:
    """No table is wider than its room, no id is cut, and what doesn't fit is no table."""
    widths = lay_out([column.heading for column in COLUMNS], rows, COLUMNS, room)
    if widths is None:
        return
    shown = [width for width in widths if width]
    assert sum(shown) + 2 * (len(shown) - 1) <= room
    assert widths[0] >= max(len(row[0]) for row in rows)
    assert widths[3] > 0


def test_columns_go_by_their_rank() -> None:
    """The less a column matters, the earlier it goes; what may be cut is cut before."""
    row = ["i" * 36, "completed", "5 min ago", "t" * 80]
    headings = [column.heading for column in COLUMNS]
    assert lay_out(headings, [row], COLUMNS, 200) == [36, 9, 9, 80]
    assert lay_out(headings, [row], COLUMNS, 80) == [36, 9, 9, 20]
    assert lay_out(headings, [row], COLUMNS, 60) == [36, 9, 0, 11]
    assert lay_out(headings, [row], COLUMNS, 50) == [36, 0, 0, 12]
    assert lay_out(headings, [row], COLUMNS, 40) is None


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_960, "1.0 MB"), (60_000_000, "60.0 MB")]
)
def test_size(count: int, words: str) -> None:
    """Sizes have one digit behind the point."""
    assert size(count) == words


def test_ago() -> None:
    """What was within a week is told from now on, what is older by its date."""
    now = datetime.now(UTC)
    words = [ago(now - timedelta(seconds=seconds)) for seconds in (-5, 0, 5, 90, 7_300, 200_000)]
    assert words == ["just now", "just now", "5 s ago", "1 min ago", "2 h ago", "2 d ago"]
    assert ago(datetime(2020, 5, 6, 12, tzinfo=UTC)).startswith("2020-05-0")


def test_flat() -> None:
    """For programs a value is on one line, without tabs or control characters."""
    assert flat(("a\tb\n", True, None, "\x1b[2Jc")) == "a b,yes,,c"


def test_documents_have_the_fields_by_name_and_no_secret() -> None:
    """JSON has every field of a model under its own name, but for what is secret."""
    made = datetime(2026, 1, 2, tzinfo=UTC)
    task = Task(id="t", status="succeeded", created_at=made, prompts=(Prompt(id="p"),))
    document = as_document(task)
    assert (document["status"], document["created_at"]) == ("completed", "2026-01-02T00:00:00+00:00")
    assert document["prompts"] == [{"id": "p", "status": None, "submitted_at": None, "completed_at": None}]
    computer = as_document(AgentComputer(id="c", sandbox_api_key="s3cret", sandbox_base_url="http://x"))
    assert "sandbox_api_key" not in computer
    assert computer["sandbox_base_url"] == "http://x"
