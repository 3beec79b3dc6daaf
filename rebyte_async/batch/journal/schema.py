"""The SQL of a journal file: its tables, which are documented in docs/batch.md, and all statements on them."""

# ruff: noqa: S608 - statements are put together from the names below, never from values

from __future__ import annotations

from functools import cache

APPLICATION_ID = 0x52425442
"""The owner of the file in SQLite's header: "RBTB"."""
VERSION = 2
"""The version of the tables, in SQLite's `user_version`. They change with it alone."""

COLUMNS = {
    "meta": ("name", "value"),
    "runs": ("run", "started_at", "ended_at", "pid", "note"),
    "items": (
        "key",
        "fingerprint",
        "request",
        "prompt_hash",
        "run",
        "state",
        "workspace_id",
        "task_id",
        "attempts",
        "intent_at",
        "status",
        "final_result",
        "error",
        "started_at",
        "ended_at",
    ),
    "former_tasks": ("task_id", "position"),
    "workspaces": ("slot", "name", "state", "workspace_id", "intent_at"),
}
"""The tables with a check sum in each row, and the columns that it covers: all but the position of an item."""

_TABLES = (
    """
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        is_open INTEGER NOT NULL,
        commits INTEGER NOT NULL,
        total INTEGER NOT NULL,
        check_sum INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        check_sum INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        started_at REAL NOT NULL,
        ended_at REAL,
        pid INTEGER NOT NULL,
        note TEXT,
        check_sum INTEGER NOT NULL
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
        attempts INTEGER NOT NULL,
        intent_at REAL,
        status TEXT,
        final_result TEXT,
        error TEXT,
        started_at REAL,
        ended_at REAL,
        check_sum INTEGER NOT NULL
    )
    """,
    "CREATE INDEX items_open ON items (state) WHERE state IN ('creating', 'running')",
    """
    CREATE TABLE former_tasks (
        task_id TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        check_sum INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE workspaces (
        slot INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('creating', 'known')),
        workspace_id TEXT,
        intent_at REAL,
        check_sum INTEGER NOT NULL
    )
    """,
)
_TRIGGERS = tuple(
    f"CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} "
    f"BEGIN UPDATE state SET total = total + {change}; END"
    for table in COLUMNS
    for event, change in (("INSERT", "NEW.check_sum"), ("UPDATE", "NEW.check_sum - OLD.check_sum"))
)
"""`state.total` is the sum of all check sums, so that a row that is lost, or an old one that is back, is noticed."""
CREATE = (*_TABLES, *_TRIGGERS, "INSERT INTO state VALUES (1, 0, 0, 0, row_sum(0, 0, 0))")

ITEM_COLUMNS = ", ".join(("position", *COLUMNS["items"]))
"""The fields of an `ItemRecord`."""
READ_COLUMNS = (
    "position, key, request, state, status, task_id, workspace_id, attempts, final_result, error, started_at, ended_at"
)
"""The fields of a `JournalItem`."""
_RECENT = 200
"""Of how many of the latest tasks samples are taken."""
_SAMPLES = 3

SELECT_STATE = "SELECT is_open, commits, total, check_sum FROM state"
COUNT_COMMIT = (
    "UPDATE state SET is_open = :is_open, commits = :commits, check_sum = row_sum(:is_open, :commits, total) "
    "WHERE commits = :commits - 1"
)
SELECT_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
SELECT_META = "SELECT name, value FROM meta"
SELECT_NEXT_RUN = "SELECT coalesce(max(run), 0) + 1 FROM runs"
SELECT_NOTES = "SELECT note FROM runs WHERE run < ? AND note IS NOT NULL"
SELECT_NOTE = "SELECT note FROM runs WHERE run = ?"
SELECT_LAST_RUN = "SELECT started_at, ended_at, pid FROM runs ORDER BY run DESC LIMIT 1"

SELECT_ITEM = f"SELECT {ITEM_COLUMNS} FROM items WHERE key = ?"
SELECT_SAMPLES = (
    "SELECT task_id, prompt_hash FROM (SELECT * FROM items WHERE task_id IS NOT NULL ORDER BY position DESC "
    f"LIMIT {_RECENT}) ORDER BY length(request) DESC, position DESC LIMIT {_SAMPLES}"
)
SELECT_LATEST_INTENT = "SELECT max(intent_at) FROM items WHERE intent_at < ?"
SELECT_MIN_OFFSET = "SELECT min(started_at - intent_at) FROM items WHERE task_id IS NOT NULL AND intent_at >= ?"
SELECT_COUNTS = "SELECT state, status, count(*), min(started_at), max(ended_at) FROM items GROUP BY state, status"

SELECT_AGENT_COMPUTERS = "SELECT slot, name, workspace_id, intent_at FROM workspaces ORDER BY slot"


@cache
def insert(table: str, *columns: str) -> str:
    """Return the statement that adds a row with values for some columns, by their names, and none in the others."""
    summed = ", ".join(f":{column}" if column in columns else "NULL" for column in COLUMNS[table])
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}, check_sum) VALUES ({values}, row_sum({summed}))"


@cache
def save(table: str) -> str:
    """Return the statement that adds a whole row, or replaces the one with its key, which is its first column."""
    key, *others = COLUMNS[table]
    changes = ", ".join(f"{column} = excluded.{column}" for column in (*others, "check_sum"))
    return f"{insert(table, *COLUMNS[table])} ON CONFLICT ({key}) DO UPDATE SET {changes}"


@cache
def update(table: str, key: str, *columns: str) -> str:
    """Return the statement that changes some columns of the row with a key; it takes their values by their names."""
    changes = ", ".join(f"{column} = :{column}" for column in columns)
    summed = ", ".join(f":{column}" if column in columns else column for column in COLUMNS[table])
    return f"UPDATE {table} SET {changes}, check_sum = row_sum({summed}) WHERE {key} = :{key}"


def select_sums(table: str) -> str:
    return f"SELECT check_sum, {', '.join(COLUMNS[table])} FROM {table}"


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
