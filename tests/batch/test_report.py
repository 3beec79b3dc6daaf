"""The report on a batch: its figures, and the page as a browser shows it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebyte_async.batch import read_journal, write_report
from rebyte_async.batch.report.document import fair_cap, make_document
from rebyte_async.batch.report.statistics import (
    FailureGroups,
    assign_lanes,
    bin_durations,
    generalize_error,
    percentiles,
)
from support.browser import Seen, open_page
from support.journals import BEGIN, make_rows, row, write_journal

_HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<!--<script>document.title='owned'",
    "<img src=x onerror=\"document.title='owned'\">",
    "<a href=\"javascript:document.title='owned'\">click</a>",
    "{{script}} {{data}} \u2028\u2029 \x00 & &lt; ${document.title='owned'}",
)


def _document(path: Path, rows: list[dict[str, Any]], **options: int) -> dict[str, Any]:
    with read_journal(write_journal(path, rows)) as reader:
        return make_document(reader, **options)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The path of a journal that doesn't exist yet."""
    return tmp_path / "run.sqlite3"


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 50), st.integers(0, 20)))))
def test_lanes(given: list[tuple[int, int] | None]) -> None:
    """No two bars of a lane overlap, and there are no more lanes than bars at one time."""
    spans = [None if span is None else (float(span[0]), float(span[0] + span[1])) for span in given]
    lanes = assign_lanes(spans)
    assert [lane is None for lane in lanes] == [span is None for span in spans]
    placed = sorted((lane, span) for lane, span in zip(lanes, spans, strict=True) if lane is not None and span)
    for (lane, (_, end)), (next_lane, (start, _)) in pairwise(placed):
        assert lane != next_lane or end <= start
    # A bar without length counts as well for the moment at which it is.
    most = max((sum(s <= at <= e for s, e in filter(None, spans)) for at, _ in filter(None, spans)), default=0)
    assert len({lane for lane in lanes if lane is not None}) <= most


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_every_duration_is_in_a_bin(seconds: list[float]) -> None:
    """Bins cover all durations, and each is in the one whose edges are around it."""
    bins = bin_durations(seconds)
    assert list(bins.edges) == sorted(bins.edges)
    for duration in seconds:
        index = bins.index(duration)
        assert bins.edges[index] <= max(duration, 0.01) or index == 0
        assert duration <= bins.edges[index + 1] * 1.000001


def test_bins_suit_both_narrow_and_wide_durations() -> None:
    """Similar durations get bins of equal width; durations that differ much get bins of equal ratio."""
    narrow = bin_durations([10.0, 11.0, 12.0] * 9).edges
    wide = bin_durations([1.0, 10.0, 5000.0] * 9).edges
    assert narrow[1] - narrow[0] == pytest.approx(narrow[-1] - narrow[-2])
    assert wide[1] / wide[0] == pytest.approx(wide[-1] / wide[-2])


def test_percentiles() -> None:
    """A percentile is the least duration that this share of the durations doesn't exceed."""
    seconds = [float(number) for number in range(1, 101)]
    random.Random(1).shuffle(seconds)
    assert percentiles(seconds, 50, 90, 99, 100) == (50, 90, 99, 100)
    assert percentiles([7.0], 50, 100) == (7, 7)
    assert percentiles([], 50) == ()


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("TaskFailedError: exit code 12", "TaskFailedError: exit code 3", True),
        ("E: no task 6d3c1f3a-1b2c-4d5e-8f90-0123456789ab", "E: no task ffffffff-1b2c-4d5e-8f90-0123456789ab", True),
        ("E: request req_9f8e7d6c5b4a3210", "E: request req_0000000000000001", True),
        ("ServerError: 503 Unavailable", "ServerError: 500 Unavailable", False),
        ("E: HTTP 503", "E: HTTP 429", False),
        ("E: exit code 412", "E: exit code 3", True),
        ("E: took 450 ms", "E: took 1,234,567.25 ms", True),
        ("E: row 7", "E: row 123456789012345678", True),
        ("E: item task_7", "E: item task_123456789012", True),
        ("E: 7GB are left of 2.5GB", "E: 1024GB are left of 10.25GB", True),
        ("A: no", "B: no", False),
        (None, "", True),
    ],
)
def test_failures_are_grouped_by_kind(one: str | None, other: str, *, are_alike: bool) -> None:
    """Ids and numbers don't keep failures apart; classes, words and HTTP statuses do."""
    assert (generalize_error(one) == generalize_error(other)) is are_alike
    groups = FailureGroups()
    assert groups.add("failed", one) == 0
    assert groups.add("failed", other) == (0 if are_alike else 1)
    assert groups.add("error", one) == len(groups.groups) - 1
    assert sum(group.count for group in groups.groups) == 3


@given(st.lists(st.integers(0, 2_000), min_size=1), st.integers(100_000, 200_000))
def test_a_fair_cap_uses_the_limit(lengths: list[int], room: int) -> None:
    """Texts cut at the cap fit into the limit, and none is cut where all fit."""
    cap = fair_cap(lengths, room)
    if sum(lengths) <= room:
        assert cap >= max(lengths)
    elif cap > 100:
        assert room - len(lengths) <= sum(min(length, cap) for length in lengths) <= room


def test_the_document_of_a_run(journal: Path) -> None:
    """The document has the totals, and each item with its status, its place in time and its group of failures."""
    open_ = {"status": None, "final_result": None, "ended_at": None}
    document = _document(
        journal,
        [
            row("a", started_at=BEGIN, ended_at=BEGIN + 4),
            row("b", started_at=BEGIN + 1, ended_at=BEGIN + 3, status="failed", error="Bad 7", final_result=None),
            row("c", started_at=BEGIN + 4, state="running", **open_),
            row("d", started_at=None, state="accepted", task_id=None, attempts=0, **open_),
            row("e", started_at=BEGIN + 3, ended_at=BEGIN + 6, status="failed", error="Bad 8", final_result=None),
            row("f", started_at=BEGIN + 5, ended_at=BEGIN + 6, status="failed", final_result="I couldn't.\nSorry."),
        ],
    )
    items = document["items"]
    assert dict(zip(document["statuses"], document["counts"], strict=True)) == {
        **dict.fromkeys(document["statuses"], 0),
        "completed": 1,
        "failed": 3,
        "running": 1,
        "accepted": 1,
    }
    assert [document["statuses"][status] for status in items["status"]] == [
        "completed",
        "failed",
        "running",
        "accepted",
        "failed",
        "failed",
    ]
    assert items["lane"] == [0, 1, 0, None, 1, 2]
    assert items["end"][2] == (BEGIN + 6) * 1000  # its bar reaches to the last time in the journal
    assert items["group"] == [-1, 0, -1, -1, 0, 1]
    assert [(group["error"], group["count"]) for group in document["failures"]] == [("Bad N", 2), ("I couldn't.", 1)]
    assert document["durations"]["percentiles"] == {"50": 2, "90": 4, "99": 4, "100": 4}
    assert (document["total"], document["attempts"]) == (6, 5)
    assert sum(map(sum, document["durations"]["counts"].values())) == 4


def test_items_and_results_beyond_the_limits(journal: Path) -> None:
    """Of too many items failures are listed first, final results are cut to fit, and the rest is counted."""
    rows = [row(str(number), final_result="x" * 3_000) for number in range(30)]
    rows += [row("bad", status="failed", error="y" * 5_000, final_result=None, prompt="z" * 5_000)]
    document = _document(journal, rows, most_items=10, most_characters=60_000)
    items = document["items"]
    assert items["key"] == [*map(str, range(9)), "bad"]
    assert (document["total"], sum(document["counts"])) == (31, 31)
    assert document["cap"] == 2_000
    assert (len(items["result"][0]), items["more"][0]) == (2_000, 1_000)
    assert items["error"][-1].endswith(" … [3,000 more characters]")
    assert items["prompt"][-1].endswith(" … [4,000 more characters]")


def test_an_empty_journal(journal: Path) -> None:
    """A run that has just begun has a report."""
    document = _document(journal, [])
    assert (document["total"], document["items"], document["first"]) == (0, {"lane": []}, None)


def _page(journal: Path, rows: list[dict[str, Any]]) -> Path:
    page = journal.with_name("report.html")
    with read_journal(write_journal(journal, rows)) as reader:
        assert write_report(reader, page) == page.stat().st_size
    assert not list(journal.parent.glob("*.part"))
    return page


def _open(page: Path, tmp_path: Path, at: str = "") -> Seen:
    seen = open_page(page, at=at, profile=tmp_path / "profile")
    assert not seen.console
    return seen


def test_the_page_shows_a_run(journal: Path, tmp_path: Path) -> None:
    """Counts, a bar for each item under its key, durations, failures by error, and the item that the address names."""
    rows = make_rows(20, concurrency=4)
    seen = _open(_page(journal, rows), tmp_path, at="item=chapter-00003")
    assert seen.texts("count") == ["20 items", "16 completed", "2 failed", "1 running", "1 waiting"]
    assert set(seen.texts("ytick")) >= {f"chapter-{number:05d}" for number in range(19)}
    assert seen.texts("failure") == [
        "1 failed · ServerError: 503 Service unavailable",
        "1 failed · The agent ran out of its N turns",
    ]
    assert seen.text("percentiles").startswith("median ")
    assert seen.tags["tr"] == 1 + 20 + 1
    assert rows[3]["final_result"] in seen.text("details")
    assert "Summarise chapter 3 of the report." in seen.text("details")


def test_the_page_at_ten_thousand_items(journal: Path, tmp_path: Path) -> None:
    """Ten thousand items share rows in the timeline, the table has pages, and a status can be chosen."""
    rows = make_rows(10_000, words=50)
    seen = _open(_page(journal, rows), tmp_path, at="status=failed")
    failed = [given["key"] for given in rows if given["status"] == "failed"]
    assert seen.texts("count")[0] == "10,000 items"
    assert re.search(r"9,968 items share 6\d rows", seen.text("timeline-note"))
    assert seen.text("found") == f"{len(failed)} of 10,000"
    assert seen.texts("key")[1:] == failed[:50]
    assert len(seen.texts("failure")) == len(
        {generalize_error(given["error"]) + given["status"] for given in rows if given["error"]}
    )


def test_the_document_has_metadata_as_texts(journal: Path) -> None:
    """Values are texts; short ones have columns of the table, three at most; what is long is cut, and counted."""
    given: list[dict[str, Any]] = [
        {"text": "x" * 3_000, "team": "billing", "score": 0.5, "tags": ["a", {"ü": None}], "more": True},
        {"none": None, "team": "", "n" * 100: "late"},
        {str(number): number for number in range(32)},
        {},
    ]
    rows = [row(str(number), request={"metadata": metadata}) for number, metadata in enumerate(given)]
    document = _document(journal, [*rows, row("none")])
    assert document["metadata"] == ["team", "score", "tags"]
    first, second, third, *rest = document["items"]["metadata"]
    (name, text), *others = first
    assert (name, text[-27:]) == ("text", "x … [1,032 more characters]")
    assert others == [("team", "billing"), ("score", "0.5"), ("tags", '["a", {"ü": null}]'), ("more", "true")]
    assert second == [("none", ""), ("team", ""), ("n" * 60 + " … [40 more characters]", "late")]
    assert (third[29], third[30:]) == (("29", "29"), [("…", "2 more, which an export has")])
    assert rest == [[], []]


def test_metadata_is_in_the_table_and_in_the_search(journal: Path, tmp_path: Path) -> None:
    """Metadata has columns, is found by the search, and is in the details, names of JavaScript's own included."""
    rows = make_rows(20, concurrency=4)
    for number, one in enumerate(rows):
        metadata = {"team": f"team-{number % 3}", "constructor": number, "text": f"a long text {number} " * 9}
        one["request"] = json.dumps(json.loads(one["request"]) | ({"metadata": metadata} if number % 7 else {}))
    seen = _open(_page(journal, rows), tmp_path, at="search=TEAM-2")
    assert [heading for heading in seen.texts("metadata") if not heading.startswith("team-")][:2] == [
        "team",
        "constructor",
    ]
    assert seen.text("found") == "5 of 20"
    assert [text for text in seen.texts("metadata") if text.startswith("team-")] == ["team-2"] * 5
    seen = _open(journal.with_name("report.html"), tmp_path, at="item=chapter-00005")
    assert "team-2" in seen.text("details")
    assert "a long text 5 a long text 5" in seen.text("details")


def test_a_hostile_result_does_nothing(journal: Path, tmp_path: Path) -> None:
    """The words of items and agents are text in the page: they add no element and run nothing."""
    rows = [row(f"{number} {text}", prompt=text, final_result=text) for number, text in enumerate(_HOSTILE)]
    rows += [row(f"bad {text}", prompt=text, status="failed", error=text) for text in _HOSTILE]
    rows += [row("<b>bold</b>")]  # a chart's labels can have tags like this
    for one in rows:
        metadata = {text: text for text in (*_HOSTILE[:3], "__proto__")} | {"<s>": "<s>short</s>"}
        one["request"] = json.dumps(json.loads(one["request"]) | {"metadata": metadata})
    page = _page(journal, rows)
    hostile = _open(page, tmp_path, at=f"item=0%20{_HOSTILE[0]}")
    assert hostile.text("title") == "Batch run.sqlite3"
    assert (hostile.tags["script"], hostile.tags["a"], hostile.tags["img"]) == (3, 0, 0)
    assert not {"onerror", "onclick", "src", "href"} & hostile.attributes
    assert hostile.text("details").count(_HOSTILE[0]) == 6  # key, task, prompt, result, a name in metadata, its value
    assert not hostile.tags["s"]
    assert "<s>short</s>" in hostile.texts("metadata")
    ticks = hostile.texts("ytick")
    assert {f"{number} {text}"[:23] + "…" for number, text in enumerate(_HOSTILE[:4])} | {"<b>bold</b>"} <= set(ticks)
    assert set(hostile.texts("failure")) == {f"1 failed · {generalize_error(text)}" for text in _HOSTILE}
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    assert data is not None
    assert json.loads(data[1])["items"]["result"][:5] == list(_HOSTILE)


def test_the_report_needs_its_extra(journal: Path) -> None:
    """Without plotly it says what to install, and importing batches doesn't import it."""
    write_journal(journal, [row("a")])
    script = (
        "import sys; sys.modules['plotly'] = None\n"
        "from rebyte_async.batch import read_journal, write_report\n"
        "write_report(read_journal(sys.argv[1]), 'never.html')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(journal)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("the report needs an extra: pip install 'rebyte-async[report]'")
