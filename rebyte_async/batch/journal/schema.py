"""The tables of a journal. They are documented in docs/batch.md, and change with `VERSION` alone."""

from __future__ import annotations

__all__ = ["APPLICATION_ID", "TABLES", "VERSION"]

APPLICATION_ID = 0x52425442
"""What SQLite's header says of whose file it is: "RBTB"."""
VERSION = 1
"""The version of the tables, in SQLite's `user_version`."""

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
