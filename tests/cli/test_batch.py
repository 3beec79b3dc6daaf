"""`rebyte-async batch`: what is read from a journal, and what a run leaves."""

from __future__ import annotations

import csv
import json
import re
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli.inline import run_inline
from cli.process import environment

from rebyte_async.batch import BatchProgress, read_journal
from rebyte_async.batch.journal.lock import Note
from rebyte_async.batch.progress_lines import LineView
from rebyte_async.emulator import Drop, Emulator, Match, Status, fail, init, text
from support.journals import BEGIN, make_rows, row, write_journal
from support.systems import FILE_MODES, LINKS

if TYPE_CHECKING:
    from pathlib import Path


def write_items(path: Path, *prompts: str) -> Path:
    """A file of items; their keys are k0, k1 and so on."""
    lines = [json.dumps({"key": f"k{number}", "prompt": prompt}) + "\n" for number, prompt in enumerate(prompts)]
    path.write_text("\n".join(lines))  # an empty line between two is none of them
    return path


def outcomes(path: Path) -> dict[str, dict[str, Any]]:
    """The outcomes of a file by their keys, each of which must come once."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    by_key = {line["key"]: line for line in lines}
    assert len(by_key) == len(lines)
    return by_key


@pytest.fixture
def emulator(rebyte_emulator: Emulator) -> Emulator:
    """An emulator whose agent fails prompts that ask for it."""
    rebyte_emulator.script(init(), fail("No such file"), prompt=re.compile("fail"), times=None)
    return rebyte_emulator


def test_a_batch_from_run_to_report(emulator: Emulator, tmp_path: Path) -> None:
    """A run gives one outcome for each item; the same command again makes nothing new; the rest reads the journal."""
    items, journal, out = write_items(tmp_path / "items.jsonl", "a", "b", "fail"), tmp_path / "j", tmp_path / "out"
    env = environment(emulator)
    command = ("batch", "run", str(items), "--journal", str(journal), "--out", str(out))
    first = run_inline(*command, env=env)
    assert (first.code, first.out) == (3, "")
    summary, again = first.err.splitlines()
    assert summary.startswith("2 completed, 1 failed in ")
    assert again.split() == ["run", "those", "again:", "rebyte-async", "batch", "retry", str(journal), "--failed"]
    assert {key: line["status"] for key, line in outcomes(out).items()} == {
        "k0": "completed",
        "k1": "completed",
        "k2": "failed",
    }
    before = outcomes(out)
    out.unlink()
    second = run_inline(*command, env=env)
    assert second.code == 3
    assert outcomes(out) == before
    assert len(emulator.tasks) == 3

    status = json.loads(run_inline("batch", "status", str(journal), "--json", env=env).out)
    assert status["given"] == 3
    assert (status["run"], status["items"], status["completed"], status["failed"], status["waiting"]) == (
        "ended",
        3,
        2,
        1,
        0,
    )
    assert "completed\t2\nfailed\t1\n" in run_inline("batch", "status", str(journal), env=env).out
    page = tmp_path / "report.html"
    report = run_inline("batch", "report", str(journal), "--html", str(page), env=env)
    assert (report.code, report.out) == (0, "")
    assert re.fullmatch(r"wrote .*report\.html \(\d\.\d MB\)\n", report.err)
    assert "No such file" in page.read_text("utf-8")
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


@FILE_MODES
def test_what_a_batch_writes_is_private(emulator: Emulator, tmp_path: Path) -> None:
    """Files with prompts or results can be read by their owner alone; a file that is replaced keeps its mode."""
    items, journal, out = write_items(tmp_path / "items.jsonl", "a"), tmp_path / "j", tmp_path / "out"
    env = environment(emulator)
    command = ("batch", "run", str(items), "--journal", str(journal), "--out", str(out))
    assert run_inline(*command, env=env).code == 0
    assert run_inline("batch", "export", str(journal), "--out", str(tmp_path / "table"), env=env).code == 0
    assert run_inline("batch", "report", str(journal), "--html", str(tmp_path / "page"), env=env).code == 0
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path != items}
    assert {"j", "j-lock", "out", "page", "table"} <= made.keys()
    assert set(made.values()) == {0o600}
    out.chmod(0o640)
    assert run_inline(*command, env=env).code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_items_from_stdin(emulator: Emulator, tmp_path: Path) -> None:
    """Items come from stdin as they do from a file; the error of a bad line names stdin."""
    items, command = write_items(tmp_path / "items", "a", "b"), ("batch", "run", "-", "--journal", str(tmp_path / "j"))
    first = run_inline(*command, "--out", "-", env=environment(emulator), stdin=items.read_bytes())
    assert first.code == 0
    assert sorted(json.loads(line)["key"] for line in first.lines) == ["k0", "k1"]
    second = run_inline(*command, env=environment(emulator), stdin="{}")
    assert second.code == 1
    assert "stdin, line 1: an item needs" in second.err


def test_retry(emulator: Emulator, tmp_path: Path) -> None:
    """What failed is run again from the journal alone, and the file of outcomes is whole again."""
    items, journal, out = write_items(tmp_path / "items.jsonl", "a", "fail once", "b"), tmp_path / "j", tmp_path / "out"
    env = environment(emulator)
    assert run_inline("batch", "run", str(items), "--journal", str(journal), env=env).code == 3
    items.unlink()
    emulator.script(init(), text("Now it went well."), prompt=re.compile("fail"), times=None)
    nothing = run_inline("batch", "retry", str(journal), "--ambiguous", env=env)
    assert (nothing.code, nothing.err.splitlines()[0]) == (0, "0 items opened again")
    again = run_inline("batch", "retry", str(journal), "--failed", "--out", str(out), env=env)
    assert again.code == 0
    assert again.err.splitlines()[0] == "1 item opened again"
    lines = outcomes(out)
    assert list(lines) == ["k1", "k0", "k2"]  # what has come first, then what the journal had
    assert (lines["k1"]["status"], lines["k1"]["final_result"], lines["k1"]["attempts"]) == (
        "completed",
        "Now it went well.",
        2,
    )
    assert len(emulator.tasks) == 4


def test_the_spending_limit(emulator: Emulator, tmp_path: Path) -> None:
    """Items beyond the limit are skipped, which the command says; run again, it starts the next ones."""
    items, journal, out = write_items(tmp_path / "items.jsonl", *"abcde"), tmp_path / "j", tmp_path / "out"
    command = (
        "batch",
        "run",
        str(items),
        "--journal",
        str(journal),
        "--out",
        str(out),
        "--max-new-tasks",
        "3",
        "--ordered",
    )
    first = run_inline(*command, env=environment(emulator))
    assert (first.code, len(emulator.tasks)) == (10, 3)
    assert [line["status"] for line in outcomes(out).values()] == ["completed"] * 3 + ["skipped"] * 2
    assert f"start the skipped ones:  rebyte-async {' '.join(command)}\n" in first.err
    assert run_inline(*command, env=environment(emulator)).code == 0
    assert list(outcomes(out)) == ["k0", "k1", "k2", "k3", "k4"]
    assert len(emulator.tasks) == 5


def test_why_items_failed_is_pointed_at(emulator: Emulator, tmp_path: Path) -> None:
    """Where no file has the outcomes, the run names the command that shows the failures, and it shows them."""
    items, journal = write_items(tmp_path / "items.jsonl", "a", "fail"), str(tmp_path / "j")
    run = run_inline("batch", "run", str(items), "--journal", journal, env=environment(emulator))
    why = run.err.splitlines()[1].removeprefix("  see why:                 rebyte-async ")
    assert why == f"batch export {journal} --status=failed"
    assert [json.loads(line)["key"] for line in run_inline(*why.split(), env=environment(emulator)).lines] == ["k1"]


def test_outcomes_on_stdout(emulator: Emulator, tmp_path: Path) -> None:
    """`--out -` prints each outcome as it comes."""
    items = write_items(tmp_path / "items.jsonl", "a", "b")
    done = run_inline(
        "batch", "run", str(items), "--journal", str(tmp_path / "j"), "--out", "-", env=environment(emulator)
    )
    assert (done.code, {json.loads(line)["key"] for line in done.lines}) == (0, {"k0", "k1"})
    assert not (tmp_path / "-.part").exists()


def test_a_wrong_key_keeps_what_was_known(emulator: Emulator, tmp_path: Path) -> None:
    """A key that is refused ends the run with its code; the file of outcomes still has every line."""
    items, journal, out = write_items(tmp_path / "items.jsonl", *"abcdef"), tmp_path / "j", tmp_path / "out"
    command = ("batch", "run", str(items), "--journal", str(journal), "--out", str(out), "--max-new-tasks", "2")
    assert run_inline(*command, env=environment(emulator)).code == 10
    refused = run_inline(*command, env=environment(emulator) | {"REBYTE_API_KEY": "rbk_wrong"})
    assert refused.code == 8
    warning, error, *_ = refused.err.splitlines()
    assert warning.startswith("warning: the batch takes no new items: ")
    assert error.startswith("error: the batch can't continue: InvalidAPIKeyError: ")
    assert "  continue:  rebyte-async batch run " in refused.err
    assert {line["status"] for line in outcomes(out).values()} >= {"completed"}
    assert {"k0", "k1"} <= outcomes(out).keys()


def test_an_ambiguous_item(emulator: Emulator, tmp_path: Path) -> None:
    """An item of which a task may exist has its own exit code, which takes precedence."""
    emulator.faults.add(Drop("after"), Match("POST", "/tasks"))
    items = write_items(tmp_path / "items.jsonl", "fail", "b", "c")
    journal = tmp_path / "j"
    options = ("--journal", str(journal), "--on-ambiguous", "report", "--concurrency", "1")
    done = run_inline("batch", "run", str(items), *options, env=environment(emulator))
    assert done.code == 6
    assert done.err.rstrip().endswith("batch retry j --ambiguous".replace("j", str(journal)))
    lines = run_inline("batch", "export", str(journal), "--status", "ambiguous", env={}).lines
    assert [json.loads(line)["key"] for line in lines] == ["k0"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"key": "a"}', "line 1: an item needs prompt"),
        ('{"key": "a", "prompt": "b", "colour": 1}', "line 1: an item has no colour"),
        ("nonsense", "line 1: this is no JSON object"),
    ],
)
def test_a_line_that_is_no_item(emulator: Emulator, tmp_path: Path, line: str, complaint: str) -> None:
    """The line is named, and what would be right."""
    items = tmp_path / "items.jsonl"
    items.write_text(line)
    done = run_inline("batch", "run", str(items), "--journal", str(tmp_path / "j"), env=environment(emulator))
    assert done.code == 1
    assert complaint in done.err


def test_what_can_be_refused_is_refused_before_it_costs(emulator: Emulator, tmp_path: Path) -> None:
    """A file that can't be written, no journal and a choice that is missing are found before any task is made."""
    items, journal = write_items(tmp_path / "items.jsonl", "a"), str(tmp_path / "j")
    env = environment(emulator)
    nowhere = run_inline(
        "batch", "run", str(items), "--journal", journal, "--out", str(tmp_path / "no" / "out"), env=env
    )
    assert (nowhere.code, nowhere.err) == (1, f"error: {tmp_path}/no/out: No such file or directory\n")
    missing = run_inline("batch", "retry", journal, "--failed", env=env)
    assert (missing.code, missing.err) == (1, f"error: there is no journal {journal}\n")
    assert run_inline("batch", "run", str(items), env=env).code == 2
    which = run_inline("batch", "retry", journal, env=env)
    assert (which.code, "say which: --failed, --canceled, --ambiguous" in which.err) == (2, True)
    for same in ((str(items), "--journal", str(items)), (str(items), "--journal", journal, "--out", str(items))):
        clash = run_inline("batch", "run", *same, env=env)
        assert (clash.code, "can't be two things at once" in clash.err) == (2, True)
    assert not emulator.tasks
    assert not list(tmp_path.glob("j*"))


def test_another_process_has_the_journal(emulator: Emulator, tmp_path: Path) -> None:
    """A second run says who has the journal, and touches neither it nor the outcomes of the first."""
    fcntl = pytest.importorskip("fcntl")
    items, journal, out = write_items(tmp_path / "items.jsonl", "a"), tmp_path / "j", tmp_path / "out"
    (tmp_path / "out.part").write_text("of the first\n")
    with (tmp_path / "j-lock").open("wb") as lock:
        lock.write(Note(pid=4711).to_bytes())
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = run_inline(
            "batch", "run", str(items), "--journal", str(journal), "--out", str(out), env=environment(emulator)
        )
    assert busy.code == 1
    assert "4711" in busy.err
    assert (tmp_path / "out.part").read_text() == "of the first\n"
    assert not out.exists()


ROWS = ("--prompt", "Classify: {text}", "--key", "id")


def test_rows_are_items(emulator: Emulator, tmp_path: Path) -> None:
    """Each row of a table is a task, with its columns in the outcomes; the same command makes nothing new."""
    table = tmp_path / "rows.csv"
    table.write_bytes(b'\xef\xbb\xbfid,text,team\r\n1,"a, b",x\r\n2,c,y\r\n')
    out, journal = tmp_path / "out", tmp_path / "j"
    command = ("batch", "run", str(table), *ROWS, "--executor", "codex", "--journal", str(journal), "--out", str(out))
    for _ in range(2):
        done = run_inline(*command, env=environment(emulator))
        assert (done.code, done.err.splitlines()[0].partition(" in ")[0]) == (0, "2 completed")
    assert {key: line["metadata"] for key, line in outcomes(out).items()} == {
        "1": {"text": "a, b", "team": "x"},
        "2": {"text": "c", "team": "y"},
    }
    sent = [request.json() for request in emulator.log.select("POST", "/tasks")]
    assert sorted((body["prompt"], body["executor"]) for body in sent) == [
        ("Classify: a, b", "codex"),
        ("Classify: c", "codex"),
    ]
    with read_journal(journal) as reader:
        assert reader.total == 2


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"id;text;team\n1;a;x\n", ("--delimiter", ";", "--format", "csv")),
        (b"id\ttext\tteam\n1\ta\tx\n", ("--format", "tsv")),
        (b"id\ttext\tteam\n1\ta\tx\n", ("--format", "csv", "--delimiter", "\\t")),
        (b'{"id": 1, "text": "a", "team": "x"}\n', ("--format", "jsonl")),
    ],
)
def test_rows_from_stdin(emulator: Emulator, tmp_path: Path, content: bytes, options: tuple[str, ...]) -> None:
    """Rows come from stdin in each format, and some columns can be chosen for the outcomes."""
    more = ("--metadata", "team", "--journal", str(tmp_path / "j"), "--out", "-")
    done = run_inline("batch", "run", "-", *ROWS, *options, *more, env=environment(emulator), stdin=content)
    assert done.code == 0
    (line,) = map(json.loads, done.lines)
    assert (line["key"], line["metadata"]) == ("1", {"team": "x"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,txt\n1,a\n", "rows.csv, line 2: there is no column 'text' for the prompt; the columns are 'id', 'txt'"),
        ("id,text\n1,a\n,b\n", "rows.csv, line 3: the key in the column 'id' is empty"),
        ("id,text\n1,a\n2\n", "rows.csv, line 3: the row has 1 cell"),
        ("id,text\n1,a\n2,\xff\n", "rows.csv, line 3: this isn't UTF-8"),
        ("id,text\n1,a\n1,a\n", "rows.csv, line 3: the key '1' comes twice"),
    ],
)
def test_a_bad_row_is_named(emulator: Emulator, tmp_path: Path, content: str, said: str) -> None:
    """All rows are checked before anything is sent; a key that comes twice is found when its turn comes."""
    (tmp_path / "rows.csv").write_bytes(content.encode("latin-1"))
    command = ("batch", "run", str(tmp_path / "rows.csv"), *ROWS, "--journal", str(tmp_path / "j"))
    done = run_inline(*command, env=environment(emulator))
    assert done.code == 1
    assert said in done.err
    assert len(emulator.tasks) == ("twice" in said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rows.csv",), "rows.csv has rows: say with --prompt what to do"),
        (("rows.csv", "--prompt", "{text}"), "give both --prompt and --key"),
        (("rows.jsonl", "--key", "id"), "give both --prompt and --key"),
        (("rows.jsonl", "--delimiter", ";"), "give both --prompt and --key"),
        (("rows.jsonl", "--model", "m"), "give both --prompt and --key"),
        (("rows.csv", "--prompt", "{text", "--key", "id"), "prompt must be a text with {column} in it"),
        (("rows.csv", *ROWS, "--delimiter", "ab"), "delimiter must be one character"),
        (("rows.jsonl", *ROWS, "--delimiter", ";"), "JSON lines have no delimiter"),
        (("rows.txt", *ROWS), "its name must end in .csv, .tsv or .jsonl"),
        (("rows.xlsx", *ROWS), "its name must end in .csv, .tsv or .jsonl: save the spreadsheet as CSV first"),
        (
            ("rows.csv", "--prompt", "Classify", "--key", "id"),
            "it names no column, so that all rows would have the same",
        ),
        (("-", *ROWS), "say with --format how the rows of stdin are written"),
    ],
)
def test_wrong_options_for_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    """What doesn't go together is refused before anything is read, and the error says what to give."""
    monkeypatch.chdir(tmp_path)
    for name in ("rows.csv", "rows.jsonl", "rows.txt", "rows.xlsx"):
        (tmp_path / name).write_text("")
    done = run_inline("batch", "run", *arguments, "--journal", "j", env={})
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert not (tmp_path / "j").exists()


def test_export(tmp_path: Path) -> None:
    """Outcomes are exported as JSON lines and CSV, to stdout or a file; items that haven't ended are counted."""
    journal = write_journal(tmp_path / "j", make_rows(50, concurrency=4))
    lines = run_inline("batch", "export", str(journal), env={})
    assert (lines.code, lines.err) == (0, "4 of 50 items haven't ended\n")
    documents = [json.loads(line) for line in lines.lines]
    assert len(documents) == 46
    table = tmp_path / "out.csv"
    done = run_inline("batch", "export", str(journal), "--format", "csv", "--out", str(table), env={})
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"wrote 46 outcomes to {table}\n")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {str(line.pop("metadata")) for line in documents} == {"{}"}
    assert rows == [{name: "" if value is None else str(value) for name, value in line.items()} for line in documents]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ((), '{"key": "a", '),
        (("--format", "csv"), "key,status,"),
        (("-o", "t.csv"), "key,status,"),
        (("-o", "t.CSV", "--format", "jsonl"), '{"key": "a", '),
        (("-o", "t.txt"), '{"key": "a", '),
    ],
)
def test_the_name_of_an_export_says_its_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], first: str
) -> None:
    """A file whose name ends in .csv is one, unless a format is given; else lines of JSON are written."""
    monkeypatch.chdir(tmp_path)
    write_journal(tmp_path / "j", [row("a")])
    done = run_inline("batch", "export", "j", *options, env={})
    assert done.code == 0
    assert (done.out or (tmp_path / options[1]).read_text()).startswith(first)


def test_formulas_are_guarded_unless_they_are_wanted(tmp_path: Path) -> None:
    """Texts that begin as formulas do are guarded in a CSV; an option leaves them."""
    journal = write_journal(tmp_path / "j", [row("a", final_result="=1+1", request={"metadata": {"n": "-5"}})])
    for option, result in ((), "'=1+1"), (("--no-guard",), "=1+1"):
        lines = run_inline("batch", "export", str(journal), "--format", "csv", *option, env={}).lines
        (found,) = csv.DictReader(lines)
        assert (found["final_result"], found["n"]) == (result, "-5")


@LINKS
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A pipe or a device stays what it is."""
    journal = write_journal(tmp_path / "j", [row("a")])
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    for command in (("export", str(journal), "--out", str(link)), ("report", str(journal), "--html", str(link))):
        assert run_inline("batch", *command, env={}).code == 0
    assert link.is_symlink()
    assert not link.is_file()


def test_export_keeps_what_was_there_when_it_fails(tmp_path: Path) -> None:
    """A file that is there is replaced by a whole one, or not at all."""
    journal = write_journal(tmp_path / "j", make_rows(2_000))
    content = bytearray(journal.read_bytes())
    content[-300_000:] = b"\xa5" * 300_000
    journal.write_bytes(content)
    out = tmp_path / "out"
    out.write_text("from before")
    failed = run_inline("batch", "export", str(journal), "--out", str(out), env={})
    assert (failed.code, failed.out) == (1, "")
    assert "damaged" in failed.err
    assert out.read_text() == "from before"
    assert not list(tmp_path.glob(".*"))


def test_text_of_agents_can_do_nothing(tmp_path: Path) -> None:
    """Lines of JSON hold nothing that a terminal obeys, and CSV keeps line breaks and quotes apart from its own."""
    answer = 'a "quote",\r\nand \x1b[2J more'
    journal = write_journal(tmp_path / "j", [row("k\n1", final_result=answer)])
    (line,) = run_inline("batch", "export", str(journal), env={}).lines
    assert line.isprintable()
    assert json.loads(line)["final_result"] == answer
    out = tmp_path / "out.csv"
    assert run_inline("batch", "export", str(journal), "--format", "csv", "--out", str(out), env={}).code == 0
    with out.open(encoding="utf-8", newline="") as file:
        assert [(line["key"], line["final_result"]) for line in csv.DictReader(file)] == [("k\n1", answer)]


def test_status_of_a_killed_run(tmp_path: Path) -> None:
    """A run whose process is gone is distinguished from one that ended and one that runs."""
    journal = write_journal(tmp_path / "j", [row("a", state="running", status=None, ended_at=None)], pid=2**22 + 1)
    status = json.loads(run_inline("batch", "status", str(journal), "--json", env={}).out)
    assert (status["run"], status["running"], status["last_ended_at"]) == ("broken off", 1, None)
    assert status["first_started_at"] == "2023-11-14T22:13:20+00:00"
    assert BEGIN == 1_700_000_000


def test_the_report_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where plotly isn't installed, one line says what to install, and nothing is written."""
    for name in ("plotly", "plotly.offline"):
        monkeypatch.setitem(sys.modules, name, None)
    journal = write_journal(tmp_path / "j", [row("a")])
    done = run_inline("batch", "report", str(journal), "--html", str(tmp_path / "report.html"), env={})
    assert (done.code, done.err.count("\n")) == (14, 1)
    assert done.err.endswith("the report needs an extra: pip install 'rebyte-async[report]'\n")
    assert not list(tmp_path.glob("*report*"))


@pytest.mark.parametrize("command", [("export", "--out", "no/out"), ("report", "--html", "no/report.html")])
def test_a_folder_that_isnt_there(tmp_path: Path, command: tuple[str, ...]) -> None:
    """What can't be written is named, with the reason."""
    name, *rest = command
    done = run_inline("batch", name, str(write_journal(tmp_path / "j", [row("a")])), *rest, env={})
    assert done.code == 1
    assert re.match(r"error: .*/no/.*: No such file or directory\n", done.err)


def test_lines_for_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, a line says now and then how far it is, with all that is known and nothing else."""
    view = LineView(interval=0)
    view.show(BatchProgress())
    view.show(
        BatchProgress(
            total=2_000,
            running=3,
            creating=1,
            ended={"failed": 2, "completed": 1_000, "new\x1b[2J": 1},
            rate=2.0,
        )
    )
    view.show(BatchProgress(total=10, running=3, ended={"completed": 7}, rate=0.05))
    LineView(interval=3_600).show(BatchProgress())
    assert capsys.readouterr().err.splitlines() == [
        "0 done, 0 running, 0.0 items/min",
        (
            "1,003 of 2,000 done (1,000 completed, 2 failed, 1 new), 3 running, 1 being created, 2.0 items/s, "
            "about 8 min 18 s left"
        ),
        "7 of 10 done (7 completed), 3 running, 3.0 items/min",
    ]


@pytest.mark.parametrize("command", [("status",), ("export",), ("report", "--html", "never.html")])
def test_no_journal(tmp_path: Path, command: tuple[str, ...]) -> None:
    """What isn't there, or isn't a journal, is said so."""
    name, *rest = command
    path = tmp_path / "j"
    missing = run_inline("batch", name, str(path), *rest, env={})
    assert (missing.code, missing.err) == (1, f"error: there is no journal {path}\n")
    path.write_text("something else")
    other = run_inline("batch", name, str(path), *rest, env={})
    assert (other.code, other.out) == (1, "")
    assert "is not a batch journal" in other.err


def test_a_refused_create_is_the_items_own_end(emulator: Emulator, tmp_path: Path) -> None:
    """A create that is refused ends its item with the error, and the others continue."""
    emulator.faults.add(Status(404), Match("POST", "/tasks"))
    items, out = write_items(tmp_path / "items.jsonl", "a", "b"), tmp_path / "out"
    done = run_inline(
        "batch",
        "run",
        str(items),
        "--journal",
        str(tmp_path / "j"),
        "--out",
        str(out),
        "--concurrency",
        "1",
        env=environment(emulator),
    )
    assert done.code == 3
    lines = outcomes(out)
    assert [line["status"] for line in lines.values()] == ["error", "completed"]
    assert "NotFoundError" in lines["k0"]["error"]


@pytest.mark.parametrize("ending", [".part", "-wal", "-lock"])
def test_out_takes_no_place_of_the_journals(emulator: Emulator, tmp_path: Path, ending: str) -> None:
    """Outcomes are not written over a journal, nor over a file beside it."""
    items = write_items(tmp_path / "items.jsonl", "a")
    journal, out = (
        (tmp_path / "o.part", tmp_path / "o") if ending == ".part" else (tmp_path / "j", tmp_path / f"j{ending}")
    )
    env = environment(emulator)
    assert run_inline("batch", "run", str(items), "--journal", str(journal), env=env).code == 0
    before = journal.read_bytes()
    clash = run_inline("batch", "run", str(items), "--journal", str(journal), "--out", str(out), env=env)
    assert (clash.code, "can't be two things at once" in clash.err) == (2, True)
    assert journal.read_bytes() == before
    mine = tmp_path / "x.part"
    items.rename(mine)
    clash = run_inline("batch", "run", str(mine), "--journal", str(journal), "--out", str(tmp_path / "x"), env=env)
    assert (clash.code, "x.part would be" in clash.err) == (2, True)


def test_retry_forgets_nothing_before_it_can_run(emulator: Emulator, tmp_path: Path) -> None:
    """Without a key, or with that of another service, the outcomes stay in the journal."""
    items, journal = write_items(tmp_path / "items.jsonl", "fail"), tmp_path / "j"
    env = environment(emulator)
    assert run_inline("batch", "run", str(items), "--journal", str(journal), env=env).code == 3
    for change in ({"REBYTE_API_KEY": ""}, {"REBYTE_BASE_URL": "http://127.0.0.1:9/v1"}):
        assert run_inline("batch", "retry", str(journal), "--failed", env=env | change).code != 0
        status = json.loads(run_inline("batch", "status", str(journal), "--json", env=env).out)
        assert (status["failed"], status["waiting"]) == (1, 0)


def test_a_search_for_earlier_tasks_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first line is due, and once, so that a run which begins with a search doesn't seem to hang."""
    view = LineView(interval=3_600)
    for count in (0, 2, 2, 0):
        view.show(BatchProgress(total=5, searching=count))
    assert capsys.readouterr().err == "looking for the tasks of 2 creates that an earlier run left undecided\n"
    LineView(interval=0).show(BatchProgress(total=5, searching=1))
    first, second = capsys.readouterr().err.splitlines()
    assert "of 1 create that" in first
    assert "0 running, 1 of an earlier run being looked for" in second
