"""The tables of a journal in PostgreSQL, which docs/batch-many.md describes, and all statements on them.

The statements leave the planner no choice that would be wrong before it knows how many items a batch has: it learns
that some time after they were loaded, and takes a batch for half a percent of its table until then. So items are found
by their positions alone, or by subqueries that can't become joins.
"""

# ruff: noqa: S608 - statements are put together from the names below, never from values

from __future__ import annotations

from functools import cache

from attrs import fields

from rebyte_async.batch.journal.records import ItemRecord
from rebyte_async.batch.journal.schema import READ_COLUMNS

VERSION = 1
"""The version of the tables. They change with it alone."""
PRESENCE = 0xFFFF
"""The number, beside those of the shards, of the lock that every worker of a batch shares."""
SCHEMA_LOCK = 0x5242_0000_0000_0000
"""The advisory lock under which the schema is created."""

CREATE = """
CREATE SCHEMA IF NOT EXISTS rebyte_async;
CREATE TABLE rebyte_async.version (version integer PRIMARY KEY);
CREATE TABLE rebyte_async.batches (
    batch integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    batch_id text NOT NULL,
    created_at double precision NOT NULL,
    base_url text,
    sdk_version text NOT NULL,
    shards integer NOT NULL,
    last_run integer NOT NULL DEFAULT 0,
    total bigint,
    first_position bigint NOT NULL DEFAULT 0,
    last_position bigint NOT NULL DEFAULT 0,
    max_new_tasks bigint,
    max_open bigint
);
CREATE TABLE rebyte_async.shards (
    batch integer NOT NULL REFERENCES rebyte_async.batches ON DELETE CASCADE,
    shard integer NOT NULL,
    run integer,
    PRIMARY KEY (batch, shard)
);
CREATE TABLE rebyte_async.runs (
    batch integer NOT NULL REFERENCES rebyte_async.batches ON DELETE CASCADE,
    run integer NOT NULL,
    started_at double precision NOT NULL,
    ended_at double precision,
    pid integer NOT NULL,
    host text NOT NULL,
    note text,
    made bigint NOT NULL DEFAULT 0,
    open bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (batch, run)
);
CREATE TABLE rebyte_async.items (
    batch integer NOT NULL REFERENCES rebyte_async.batches ON DELETE CASCADE,
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard integer NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    request text NOT NULL,
    prompt_hash bytea NOT NULL,
    run integer NOT NULL,
    intent_run integer,
    state text NOT NULL CHECK (state IN ('accepted', 'creating', 'running', 'ended')),
    workspace_id text,
    task_id text,
    attempts integer NOT NULL,
    intent_at double precision,
    status text,
    final_result text,
    error text,
    started_at double precision,
    ended_at double precision,
    UNIQUE (batch, key)
);
CREATE UNIQUE INDEX items_task ON rebyte_async.items (batch, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX items_prompt ON rebyte_async.items (batch, prompt_hash);
CREATE INDEX items_open ON rebyte_async.items (batch, shard, position) WHERE state <> 'ended';
CREATE TABLE rebyte_async.former_tasks (
    batch integer NOT NULL REFERENCES rebyte_async.batches ON DELETE CASCADE,
    task_id text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (batch, task_id)
);
CREATE TABLE rebyte_async.workspaces (
    batch integer NOT NULL REFERENCES rebyte_async.batches ON DELETE CASCADE,
    slot integer NOT NULL,
    name text NOT NULL,
    workspace_id text,
    intent_at double precision,
    PRIMARY KEY (batch, slot)
);
"""

TYPES = {
    "state": "text",
    "workspace_id": "text",
    "task_id": "text",
    "attempts": "integer",
    "intent_at": "double precision",
    "intent_run": "integer",
    "status": "text",
    "final_result": "text",
    "error": "text",
    "started_at": "double precision",
    "ended_at": "double precision",
    "run": "integer",
    "request": "text",
}
"""The types of the columns of an item that change."""
RECORD_COLUMNS = tuple(field.name for field in fields(ItemRecord))
"""The fields of an `ItemRecord`."""
_RECORD = ", ".join(RECORD_COLUMNS)
_RECORD_WITHOUT_REQUEST = _RECORD.replace("request", "'' AS request")
_RECENT = 200
_SAMPLES = 3

SELECT_SCHEMA_EXISTS = (
    "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'rebyte_async' AND c.relname = 'version')"
)
"""By the catalog's rows, since `to_regclass` may answer from a cache of before the lock."""
SELECT_VERSION = "SELECT version FROM rebyte_async.version"
INSERT_VERSION = "INSERT INTO rebyte_async.version VALUES (%s)"
BATCH_COLUMNS = "batch, name, batch_id, created_at, base_url, sdk_version, shards, total, max_new_tasks, max_open"
SELECT_BATCH = f"SELECT {BATCH_COLUMNS} FROM rebyte_async.batches WHERE name = %s"
SELECT_BATCH_NAMES = "SELECT name FROM rebyte_async.batches ORDER BY batch DESC LIMIT 10"
INSERT_BATCH = (
    "INSERT INTO rebyte_async.batches (name, batch_id, created_at, sdk_version, shards) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT (name) DO NOTHING RETURNING batch"
)
INSERT_SHARDS = "INSERT INTO rebyte_async.shards (batch, shard) SELECT %s, generate_series(0, %s - 1)"
INSERT_RUN = (
    "WITH next AS (UPDATE rebyte_async.batches SET last_run = last_run + 1 WHERE batch = %s RETURNING last_run) "
    "INSERT INTO rebyte_async.runs (batch, run, started_at, pid, host) SELECT %s, last_run, %s, %s, %s FROM next "
    "RETURNING run"
)
OWN_ALL_SHARDS = "UPDATE rebyte_async.shards SET run = %s WHERE batch = %s"
OWN_SHARD = "UPDATE rebyte_async.shards SET run = %s WHERE batch = %s AND shard = %s"
UPDATE_RUN = (
    "UPDATE rebyte_async.runs SET ended_at = coalesce(%s, ended_at), note = coalesce(%s, note) "
    "WHERE batch = %s AND run = %s"
)
SET_TOTAL = "UPDATE rebyte_async.batches SET total = %s WHERE batch = %s"
SET_BASE_URL = "UPDATE rebyte_async.batches SET base_url = %s WHERE batch = %s"
SET_SDK_VERSION = "UPDATE rebyte_async.batches SET sdk_version = %s WHERE batch = %s"
TAKE_OVER = (
    "UPDATE rebyte_async.items AS i SET run = %s, request = new.request "
    "FROM unnest(%s::bigint[], %s::text[]) AS new (position, request) WHERE i.position = new.position"
)
SELECT_NOTES = "SELECT note FROM rebyte_async.runs WHERE batch = %s AND run < %s AND note IS NOT NULL ORDER BY run"
SELECT_NOTE = "SELECT note FROM rebyte_async.runs WHERE batch = %s AND run = %s"
SELECT_LAST_RUN = "SELECT started_at, ended_at, pid FROM rebyte_async.runs WHERE batch = %s ORDER BY run DESC LIMIT 1"
SELECT_TOTALS = "SELECT coalesce(sum(made), 0), coalesce(sum(open), 0) FROM rebyte_async.runs WHERE batch = %s"
SELECT_LIMITS = "SELECT max_new_tasks, max_open FROM rebyte_async.batches WHERE batch = %s"
COUNT_CREATES = "UPDATE rebyte_async.runs SET made = made + %s, open = open + %s WHERE batch = %s AND run = %s"

SELECT_KNOWN = f"SELECT {_RECORD} FROM rebyte_async.items WHERE batch = %s AND key = ANY(%s)"
INSERT_ITEMS = (
    "INSERT INTO rebyte_async.items (batch, shard, key, fingerprint, request, prompt_hash, run, state, attempts) "
    "SELECT %s, shard, key, fingerprint, request, prompt_hash, %s, 'accepted', 0 "
    "FROM unnest(%s::integer[], %s::text[], %s::bytea[], %s::text[], %s::bytea[]) WITH ORDINALITY "
    "AS new (shard, key, fingerprint, request, prompt_hash, number) ORDER BY number RETURNING key, position"
)
CREATE_STAGE = (
    "CREATE TEMPORARY TABLE stage (number integer, shard integer, key text, fingerprint bytea, request text, "
    "prompt_hash bytea)"
)
SELECT_STAGED = (
    f"SELECT s.request, {', '.join('i.' + column for column in RECORD_COLUMNS)} FROM pg_temp.stage AS s "
    f"CROSS JOIN LATERAL (SELECT {_RECORD} FROM rebyte_async.items WHERE batch = %s AND key = s.key OFFSET 0) AS i "
    "WHERE i.run = %s OR i.fingerprint <> s.fingerprint OR i.request <> s.request ORDER BY s.number"
)
"""Items of the stage that the batch has already, and that differ or come twice, with their new requests."""
INSERT_FROM_STAGE = (
    "INSERT INTO rebyte_async.items (batch, shard, key, fingerprint, request, prompt_hash, run, state, attempts) "
    "SELECT %s, shard, key, fingerprint, request, prompt_hash, %s, 'accepted', 0 FROM pg_temp.stage "
    "ORDER BY number ON CONFLICT (batch, key) DO NOTHING RETURNING position"
)
NOTE_POSITIONS = (
    "UPDATE rebyte_async.batches SET last_position = greatest(last_position, %s), "
    "first_position = CASE first_position WHEN 0 THEN %s ELSE least(first_position, %s) END WHERE batch = %s"
)
"""Records between which positions the items of a batch are, of which other batches may have some."""
SET_LIMITS = "UPDATE rebyte_async.batches SET max_new_tasks = %s, max_open = %s WHERE batch = %s"
SELECT_IN_STATE = (
    f"SELECT {_RECORD} FROM rebyte_async.items WHERE batch = %s AND state = %s ORDER BY intent_at, position"
)
SELECT_RUNNING = SELECT_IN_STATE.replace(_RECORD, _RECORD_WITHOUT_REQUEST)
OF_RUN = "AND shard IN (SELECT shard FROM rebyte_async.shards WHERE batch = %s AND run = %s) ORDER BY"
"""In the place of `ORDER BY`: only items of the shards that a run owns."""
SELECT_OPEN_IN_SHARD = (
    f"SELECT {_RECORD} FROM rebyte_async.items WHERE batch = %s AND shard = %s AND state <> 'ended' "
    "AND state <> 'accepted' ORDER BY intent_at, position"
)
SELECT_ACCEPTED_IN_SHARD = (
    f"SELECT {_RECORD} FROM rebyte_async.items WHERE batch = %s AND shard = %s AND state <> 'ended' "
    "AND state = 'accepted' AND position > %s ORDER BY position LIMIT %s"
)
SELECT_UNDECIDED = (
    f"SELECT {_RECORD} FROM (SELECT DISTINCT unnest(%s::bytea[]) AS wanted) AS hashes CROSS JOIN LATERAL "
    f"(SELECT {_RECORD} FROM rebyte_async.items WHERE batch = %s AND prompt_hash = wanted OFFSET 0) AS i "
    "WHERE (state = 'creating' OR status = 'ambiguous') AND intent_at IS NOT NULL ORDER BY position"
)
SELECT_OWNED_TASKS = (
    "SELECT wanted FROM unnest(%s::text[]) AS wanted "
    "WHERE (SELECT true FROM rebyte_async.items WHERE batch = %s AND task_id = wanted LIMIT 1) "
    "OR (SELECT true FROM rebyte_async.former_tasks WHERE batch = %s AND task_id = wanted LIMIT 1)"
)
SELECT_KNOWN_PROMPTS = (
    "SELECT wanted FROM unnest(%s::bytea[]) AS wanted "
    "WHERE (SELECT true FROM rebyte_async.items WHERE batch = %s AND prompt_hash = wanted LIMIT 1)"
)
SELECT_SAMPLES = (
    "SELECT task_id, prompt_hash FROM (SELECT task_id, prompt_hash, request, position FROM rebyte_async.items "
    f"WHERE batch = %s AND task_id IS NOT NULL ORDER BY position DESC LIMIT {_RECENT}) AS recent "
    f"ORDER BY length(request) DESC, position DESC LIMIT {_SAMPLES}"
)
SELECT_LATEST_INTENT = "SELECT max(intent_at) FROM rebyte_async.items WHERE batch = %s AND intent_at < %s"
SELECT_MIN_OFFSET = (
    "SELECT min(started_at - intent_at) FROM rebyte_async.items "
    "WHERE batch = %s AND task_id IS NOT NULL AND intent_at >= %s AND (%s::integer IS NULL OR intent_run = %s)"
)
SELECT_ENDED = (
    "SELECT position, key, status, intent_at, task_id FROM rebyte_async.items "
    "WHERE batch = %s AND state = 'ended' AND status = ANY(%s)"
)
SAVE_FORMER_TASKS = (
    "INSERT INTO rebyte_async.former_tasks (batch, task_id, position) SELECT %s, task_id, position "
    "FROM unnest(%s::text[], %s::bigint[]) AS former (task_id, position) ON CONFLICT (batch, task_id) DO NOTHING"
)
SELECT_AGENT_COMPUTERS = (
    "SELECT slot, name, workspace_id, intent_at FROM rebyte_async.workspaces WHERE batch = %s ORDER BY slot"
)
SAVE_AGENT_COMPUTER = (
    "INSERT INTO rebyte_async.workspaces (batch, slot, name, workspace_id, intent_at) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT (batch, slot) DO UPDATE SET name = excluded.name, workspace_id = excluded.workspace_id, "
    "intent_at = excluded.intent_at"
)

SELECT_COUNTS = (
    "SELECT state, status, count(*), min(started_at), max(ended_at) FROM rebyte_async.items WHERE batch = %s "
    "GROUP BY state, status"
)
SELECT_WORKERS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (classid::bigint << 32) | objid::bigint = %s"
)
"""The sessions that have a batch open to write to it."""
SELECT_PAGE = (
    f"SELECT {READ_COLUMNS} FROM rebyte_async.items WHERE batch + 0 = %s "
    "AND position > greatest(%s, (SELECT first_position - 1 FROM rebyte_async.batches WHERE batch = %s)) "
    "AND position <= (SELECT last_position FROM rebyte_async.batches WHERE batch = %s) "
    "AND (%s::text[] IS NULL OR status = ANY(%s)) ORDER BY position LIMIT %s"
)

TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
TRY_SHARED_LOCK = "SELECT pg_try_advisory_lock_shared(%s)"
UNLOCK = "SELECT pg_advisory_unlock(%s)"
CLAIM_SHARD = """
WITH open AS MATERIALIZED (
    SELECT shard FROM rebyte_async.shards AS s WHERE batch = %s AND NOT shard = ANY(%s) AND (
        SELECT true FROM rebyte_async.items AS i
        WHERE i.batch = s.batch AND i.shard = s.shard AND i.state <> 'ended' LIMIT 1
    )
    ORDER BY random()
)
SELECT shard FROM open WHERE pg_try_advisory_lock(%s + shard) LIMIT 1
"""
"""Locks one shard that has items to run, and that no session has locked."""
SELECT_HAS_OPEN = """
SELECT EXISTS (
    SELECT FROM rebyte_async.shards AS s WHERE batch = %s AND NOT shard = ANY(%s) AND (
        SELECT true FROM rebyte_async.items AS i
        WHERE i.batch = s.batch AND i.shard = s.shard AND i.state <> 'ended' LIMIT 1
    )
)
"""


def lock_key(batch: int, number: int) -> int:
    """Return the advisory lock of a shard, or of what else has a number beside those of the shards."""
    return SCHEMA_LOCK | batch << 16 | number


@cache
def update_items(columns: tuple[str, ...], *, is_fenced: bool) -> str:
    """Return the statement that changes some columns of items: arrays of the positions and of each column's values.

    A fenced one changes nothing in a shard that another run owns.
    """
    changes = ", ".join(f"{column} = new.{column}" for column in columns)
    arrays = "".join(f", %s::{TYPES[column]}[]" for column in columns)
    names = ", ".join(("position", *columns))
    fence = "AND (SELECT s.run FROM rebyte_async.shards AS s WHERE s.batch = i.batch AND s.shard = i.shard) = %s"
    return (
        f"UPDATE rebyte_async.items AS i SET {changes} FROM unnest(%s::bigint[]{arrays}) AS new ({names}) "
        f"WHERE i.position = new.position {fence if is_fenced else ''}"
    )
