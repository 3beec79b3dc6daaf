"""`rebyte-async batch` with a journal in PostgreSQL: loaded, worked on, read, and tried again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import anyio
import pytest
from cli.inline import run_inline
from cli.process import Finished, environment, run_command
from psycopg.conninfo import conninfo_to_dict

from rebyte_async.cli.batch_journal import hide_passwords
from rebyte_async.emulator import Emulator, fail, init, pause, text
from support.postgres import Postgres

BATCH = ("--batch", "nightly")


@pytest.fixture
def uri(postgres: Postgres) -> str:
    """The URI of an empty database, with a password that the server doesn't ask for."""
    found = conninfo_to_dict(postgres.make_database())
    return f"postgresql://postgres:s3cret@/{found['dbname']}?host={found['host']}"


def write_items(path: Path, *prompts: str) -> str:
    """A file of items; their keys are k0, k1 and so on."""
    lines = [json.dumps({"key": f"k{number}", "prompt": prompt}) + "\n" for number, prompt in enumerate(prompts)]
    path.write_text("".join(lines))
    return str(path)


def test_a_batch_from_load_to_report(rebyte_emulator: Emulator, tmp_path: Path, uri: str) -> None:
    """Items are loaded once, workers run them, and whatever reads a journal in a file reads this one."""
    rebyte_emulator.script(init(), fail("No such file"), prompt=re.compile("fail"), times=1)
    env = environment(rebyte_emulator)
    items = write_items(tmp_path / "items.jsonl", "a", "b", "fail")
    load = ("batch", "load", items, "--journal", uri, *BATCH)
    assert run_inline(*load, env={}).err == "3 new items in the batch 'nightly'\n"
    assert run_inline(*load, env={}).err == "0 new items in the batch 'nightly'\n"
    before = json.loads(run_inline("batch", "status", uri, *BATCH, "--json", env={}).out)
    assert (before["journal"], before["items"], before["waiting"]) == ("batch 'nightly'", 3, 3)

    worked = run_inline("batch", "work", "--journal", uri, *BATCH, env=env)
    assert (worked.code, worked.out) == (3, "")
    assert "2 completed, 1 failed in " in worked.err
    assert "batch export 'postgresql://postgres:…@/" in worked.err
    assert "--batch nightly --status=failed" in worked.err
    assert "s3cret" not in worked.err

    status = json.loads(run_inline("batch", "status", uri, *BATCH, "--json", env={}).out)
    assert (status["run"], status["completed"], status["failed"]) == ("ended", 2, 1)
    lines = run_inline("batch", "export", uri, *BATCH, env={}).out.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["k0", "k1", "k2"]
    exported = run_inline("batch", "export", uri, *BATCH, "--format", "csv", "--status", "failed", env={}).out
    assert exported.splitlines()[1].startswith("k2,failed,")
    page = tmp_path / "report.html"
    assert run_inline("batch", "report", uri, *BATCH, "--html", str(page), env={}).code == 0
    assert "batch 'nightly'" in page.read_text().replace("&#x27;", "'")

    retried = run_inline("batch", "retry", uri, *BATCH, "--failed", env=env)
    assert retried.code == 0
    assert "1 item opened again" in retried.err
    assert len(rebyte_emulator.tasks) == 4


def test_run_is_load_and_work(rebyte_emulator: Emulator, tmp_path: Path, uri: str) -> None:
    """The same command continues; its file has the outcomes of all items, whichever worker ended them."""
    env = environment(rebyte_emulator)
    out = tmp_path / "out.jsonl"
    for count in (2, 3):
        items = write_items(tmp_path / "items.jsonl", *"abc"[:count])
        command = ("batch", "run", items, "--journal", uri, *BATCH, "--out", str(out), "--max-new-tasks", "3")
        assert run_inline(*command, env=env).code == 0
        assert sorted(json.loads(line)["key"] for line in out.read_text().splitlines()) == ["k0", "k1", "k2"][:count]
    assert len(rebyte_emulator.tasks) == 3


def test_the_limits_of_a_batch(rebyte_emulator: Emulator, tmp_path: Path, uri: str) -> None:
    """`load` sets how many tasks all workers may make; a worker that may make no more says so with its exit code."""
    env = environment(rebyte_emulator)
    items = write_items(tmp_path / "items.jsonl", *"abcde")
    load = ("batch", "load", items, "--journal", uri, *BATCH)
    assert run_inline(*load, "--max-new-tasks", "2", "--max-open", "1", env={}).code == 0
    assert run_inline("batch", "work", "--journal", uri, *BATCH, env=env).code == 10
    assert len(rebyte_emulator.tasks) == 2
    assert run_inline(*load, env={}).code == 0
    assert run_inline("batch", "work", "--journal", uri, *BATCH, env=env).code == 0
    assert len(rebyte_emulator.tasks) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status", "URI"), "a database has the journals of many batches: name one with --batch"),
        (("status", "run.sqlite3", *BATCH), "--batch is for a journal in a database: a file has one batch"),
        (("work", "--journal", "run.sqlite3", *BATCH), "workers share a journal in a database"),
        (("load", "ITEMS", "--journal", "run.sqlite3"), "workers share a journal in a database"),
        (
            ("run", "ITEMS", "--journal", "URI", *BATCH, "--ordered"),
            "--ordered and --workspaces are for a journal in a",
        ),
        (("retry", "URI", *BATCH, "--failed", "--max-new-tasks", "1"), "--max-new-tasks is a limit of the batch there"),
        (("status", "URI", "--batch", ""), "batch must"),
    ],
)
def test_what_does_not_go_with_a_journal(
    rebyte_emulator: Emulator, tmp_path: Path, uri: str, arguments: tuple[str, ...], message: str
) -> None:
    """The error says what is right, and nothing is sent."""
    items = write_items(tmp_path / "items.jsonl", "a")
    named = {"URI": uri, "ITEMS": items}
    run_inline("batch", "load", items, "--journal", uri, *BATCH, env={})
    found = run_inline(
        "batch", *(named.get(argument, argument) for argument in arguments), env=environment(rebyte_emulator)
    )
    assert found.code == 2
    assert message in " ".join(found.err.split())
    assert len(rebyte_emulator.log) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status", "URI", *BATCH), "error: the database has no journals: load the items of a batch first"),
        (("work", "--journal", "URI", *BATCH), "error: the database has no journals: load the items of a batch first"),
        (("status", "postgresql://a:s3cret@127.0.0.1:1/x", *BATCH), "error: can't connect to the database"),
        (("export", "postgresql://a:s3cret@[::1/x", *BATCH), "error: the dsn of the journal can't be read"),
    ],
)
def test_a_database_without_the_batch(
    rebyte_emulator: Emulator, uri: str, arguments: tuple[str, ...], message: str
) -> None:
    """The error names what is missing, and shows no password."""
    given = (uri if argument == "URI" else argument for argument in arguments)
    found = run_inline("batch", *given, env=environment(rebyte_emulator))
    assert found.code == 1
    assert found.err.startswith(message)
    assert "s3cret" not in found.err
    assert len(rebyte_emulator.log) == 0


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://user:s3cret@db.internal/x", "postgresql://user:…@db.internal/x"),
        ("postgres://:s3cret@/x?host=/run", "postgres://:…@/x?host=/run"),
        ("postgresql://db/x?sslmode=require&password=s3cret", "postgresql://db/x?sslmode=require&password=…"),
        ("postgresql://user:s3@cret@db:5433/x?password=more", "postgresql://user:…@db:5433/x?password=…"),
        ("postgresql://user@db/x", "postgresql://user@db/x"),
        ("items:a@b.jsonl", "items:a@b.jsonl"),
    ],
)
def test_passwords_are_hidden(given: str, shown: str) -> None:
    """What the command says to type next has all of a URI but its passwords."""
    assert list(hide_passwords(["batch", given])) == ["batch", shown]


async def test_workers_of_two_homes_share_a_batch(rebyte_emulator: Emulator, tmp_path: Path, uri: str) -> None:
    """Workers have nothing in common but the URI of the database, as on two machines."""
    items = write_items(tmp_path / "items.jsonl", *(f"Do {number}" for number in range(40)))
    rebyte_emulator.script(text("a"), pause(0.2), text("b"), times=None)
    load = ("batch", "load", items, "--journal", uri, *BATCH)
    assert (await run_command(*load, env=environment(rebyte_emulator))).code == 0
    workers: list[Finished] = []

    async def work(number: int) -> None:
        home = tmp_path / f"home{number}"
        home.mkdir()
        env = environment(rebyte_emulator) | {"HOME": str(home), "TMPDIR": str(home)}
        command = ("batch", "work", "--journal", uri, *BATCH, "--concurrency", "4")
        workers.append(await run_command(*command, env=env))

    async with anyio.create_task_group() as group:
        for number in range(2):
            group.start_soon(work, number)
    assert [worker.code for worker in workers] == [0, 0]
    ended = [int(found[1]) for worker in workers if (found := re.search(r"(\d+) completed", worker.err))]
    assert sum(ended) == 40 == len(rebyte_emulator.tasks)
