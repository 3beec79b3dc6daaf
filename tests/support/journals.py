"""Journals for tests: open ones, and files with made-up runs."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from rebyte_async.batch.journal import RunJournal, store_at
from rebyte_async.batch.journal.integrity import create_tables
from rebyte_async.batch.journal.schema import COUNT_COMMIT, insert, save

__all__ = ["BEGIN", "make_rows", "open_run_journal", "row", "write_journal"]

BEGIN = 1_700_000_000.0
_ERRORS = (
    "TaskFailedError: the build failed with exit code {n}",
    "TaskFailedError: no space left on device",
    "RateLimitedError: 429 Too many requests, request {id}",
    "ServerError: 503 Service unavailable",
    "The agent ran out of its {n} turns",
)
_SENTENCE = "the report says that revenue grew in most regions while costs stayed flat and two risks remain open"


@asynccontextmanager
async def open_run_journal(path: Path, *, base_url: str | None = None) -> AsyncGenerator[RunJournal, None]:
    """Open the journal of a run that begins, and close it without recording the run's end."""
    journal = RunJournal(store_at(path), base_url=base_url)
    await journal.begin_run()
    try:
        yield journal
    finally:
        await journal.store.aclose()


def row(key: str, **values: Any) -> dict[str, Any]:
    """The row of an item that completed after a second with the result "hello"."""
    prompt = values.pop("prompt", f"Do {key}")
    request = {"key": key, "prompt": prompt} | values.pop("request", {})
    return {
        "key": key,
        "fingerprint": b"",
        "request": json.dumps(request),
        "prompt_hash": b"",
        "run": 1,
        "state": "ended",
        "task_id": f"task-{key}",
        "workspace_id": "ws-1",
        "attempts": 1,
        "intent_at": BEGIN,
        "status": "completed",
        "final_result": "hello",
        "error": None,
        "started_at": BEGIN,
        "ended_at": BEGIN + 1,
    } | values


def write_journal(path: Path, rows: Iterable[dict[str, Any]], *, pid: int = 1) -> Path:
    """Write a journal file with these rows, of a run without an end, as it is when it was closed."""
    facts = {
        "batch_id": "0b9f4d7e-2f61-4a53-8d0c-5d1f6b8a9c10",
        "created_at": str(BEGIN - 2),
        "base_url": "https://api.example/v1",
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        create_tables(connection, facts)
        connection.execute("BEGIN")
        run = {"run": 1, "started_at": BEGIN, "ended_at": None, "pid": pid, "note": None}
        connection.execute(save("runs"), run)
        connection.executemany(insert("items", *row("any")), rows)
        connection.execute(COUNT_COMMIT, {"is_open": False, "commits": 2})
        connection.execute("COMMIT")
    connection.close()
    return path


def make_rows(count: int, *, concurrency: int = 64, seed: int = 1, words: int = 150) -> list[dict[str, Any]]:
    """Return the rows of a plausible run: most items complete, some fail, the last ones run or wait."""
    chance = random.Random(seed)
    busy = [BEGIN] * concurrency
    left = min(concurrency, count // 10)
    rows = list[dict[str, Any]]()
    for number in range(count):
        lane = busy.index(min(busy))
        start = busy[lane] + chance.random() * 0.4
        end = busy[lane] = start + chance.lognormvariate(3.2, 0.7)
        rest = count - number
        ending = _open(waits=rest <= left // 2) if rest <= left else _ended(chance, words)
        values = {"started_at": start, "ended_at": end, "request": {"executor": "claude"}} | ending
        prompt = f"Summarise chapter {number} of the report.\nKeep it short."
        rows.append(row(f"chapter-{number:05d}", prompt=prompt, **values))
    return rows


def _open(*, waits: bool) -> dict[str, Any]:
    not_ended = {"status": None, "final_result": None, "ended_at": None}
    if waits:
        return not_ended | {"state": "accepted", "task_id": None, "started_at": None, "attempts": 0}
    return not_ended | {"state": "running"}


def _ended(chance: random.Random, words: int) -> dict[str, Any]:
    luck = chance.random()
    if luck < 0.9:
        count = max(1, round(chance.lognormvariate(0, 0.8) * words))
        return {"final_result": " ".join(chance.choices(_SENTENCE.split(), k=count))}
    if luck < 0.97:
        error = chance.choice(_ERRORS).format(n=chance.randrange(100), id=f"req_{chance.getrandbits(64):016x}")
        return {"status": chance.choice(["failed", "failed", "error"]), "error": error, "final_result": None}
    if luck < 0.985:
        return {"status": "canceled", "final_result": None}
    error = "AmbiguousRequestError: the answer was lost; it may be task-1 or task-2"
    return {"status": "ambiguous", "error": error, "task_id": None, "final_result": None}
