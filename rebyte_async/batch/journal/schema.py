"""The SQL of a journal file: its tables, which are documented in docs/batch.md, and all statements on them."""

# ruff: noqa: S608 - statements are put together from the names below, never from values

from __future__ import annotations

from functools import cache

APPLICATION_ID = 0x52425442
"""The owner of the file in SQLite's header: "RBTB"."""
VERSION = 1
"""The version of the tables, in SQLite's `user_version`. They change with it alone."""

TABLES = (
    """
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        started_at REAL NOT NULL,
        ended_at REAL,
        pid INTEGER NOT NULL,
        note TEXT
    )
    """,
    """
    CREATE TABLE items (
        position INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        fingerprint BLOB NOT NULL,
        request TEXT NOT NULL,
        prompt_hash BLOB NOT NULL,
        run INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('accepted', 'creating', 'running', 'ended')),
        workspace_id TEXT,
        task_id TEXT UNIQUE,
        attempts INTEGER NOT NULL DEFAULT 0,
        intent_at REAL,
        status TEXT,
        final_result TEXT,
        error TEXT,
        started_at REAL,
        ended_at REAL
    )
    """,
    "CREATE INDEX items_open ON items (state) WHERE state IN ('creating', 'running')",
    """
    CREATE TABLE former_tasks (
        task_id TEXT PRIMARY KEY,
        position INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE workspaces (
        slot INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('creating', 'known')),
        workspace_id TEXT,
        intent_at REAL
    )
    """,
)

ITEM_COLUMNS = (
    "position, key, fingerprint, request, prompt_hash, run, state, workspace_id, task_id, attempts, intent_at, status, "
    "final_result, error, started_at, ended_at"
)
"""The fields of an `ItemRecord`."""
READ_COLUMNS = (
    "position, key, request, state, status, task_id, workspace_id, attempts, final_result, error, started_at, ended_at"
)
"""The fields of a `JournalItem`."""
_RECENT = 200
"""Of how many of the latest tasks samples are taken."""
_SAMPLES = 3

SELECT_META = "SELECT name, value FROM meta"
SET_META = "INSERT INTO meta VALUES (?, ?)"

ADD_RUN = "INSERT INTO runs (started_at, pid) VALUES (?, ?)"
END_RUN = "UPDATE runs SET ended_at = ? WHERE run = ?"
NOTE_RUN = "UPDATE runs SET note = ? WHERE run = ?"
SELECT_NOTES = "SELECT note FROM runs WHERE run < ? AND note IS NOT NULL"
SELECT_LAST_RUN = "SELECT started_at, ended_at, pid FROM runs ORDER BY run DESC LIMIT 1"

SELECT_ITEM = f"SELECT {ITEM_COLUMNS} FROM items WHERE key = ?"
ADD_ITEM = "INSERT INTO items (key, fingerprint, request, prompt_hash, run, state) VALUES (?, ?, ?, ?, ?, 'accepted')"
CLAIM_ITEM = "UPDATE items SET run = ? WHERE position = ?"
ADD_FORMER_TASK = "INSERT OR IGNORE INTO former_tasks (task_id, position) VALUES (?, ?)"
SELECT_SAMPLES = (
    "SELECT task_id, prompt_hash FROM (SELECT * FROM items WHERE task_id IS NOT NULL ORDER BY position DESC "
    f"LIMIT {_RECENT}) ORDER BY length(request) DESC, position DESC LIMIT {_SAMPLES}"
)
SELECT_LATEST_INTENT = "SELECT max(intent_at) FROM items WHERE intent_at < ?"
SELECT_MIN_OFFSET = "SELECT min(started_at - intent_at) FROM items WHERE task_id IS NOT NULL AND intent_at >= ?"
SELECT_COUNTS = "SELECT state, status, count(*), min(started_at), max(ended_at) FROM items GROUP BY state, status"

SELECT_AGENT_COMPUTERS = "SELECT slot, name, workspace_id, intent_at FROM workspaces ORDER BY slot"
SAVE_AGENT_COMPUTER = (
    "INSERT OR REPLACE INTO workspaces (slot, name, state, workspace_id, intent_at) VALUES (?, ?, ?, ?, ?)"
)


@cache
def update_items(*columns: str) -> str:
    return f"UPDATE items SET {', '.join(f'{column} = ?' for column in columns)} WHERE position = ?"


def select_in_state(*, with_request: bool) -> str:
    columns = ITEM_COLUMNS if with_request else ITEM_COLUMNS.replace("request", "''")
    return f"SELECT {columns} FROM items WHERE state = ? ORDER BY intent_at, position"


def select_undecided(hashes: int) -> str:
    return (
        f"SELECT {ITEM_COLUMNS} FROM items WHERE (state = 'creating' OR status = 'ambiguous') "
        f"AND intent_at IS NOT NULL AND prompt_hash IN ({_placeholders(hashes)})"
    )


def select_ended(statuses: int) -> str:
    return (
        "SELECT position, key, status, intent_at, task_id FROM items "
        f"WHERE state = 'ended' AND status IN ({_placeholders(statuses)})"
    )


def select_known(table: str, column: str, values: int) -> str:
    return f"SELECT {column} FROM {table} WHERE {column} IN ({_placeholders(values)})"


def select_page(statuses: int | None, size: int) -> str:
    """Return the query for the next items after a position; of some statuses, or of all (None), ended or not."""
    chosen = "" if statuses is None else f"AND status IN ({_placeholders(statuses)}) "
    return f"SELECT {READ_COLUMNS} FROM items WHERE position > ? {chosen}ORDER BY position LIMIT {size}"


def _placeholders(count: int) -> str:
    return ",".join("?" * count)
