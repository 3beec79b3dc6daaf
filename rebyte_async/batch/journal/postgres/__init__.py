"""The journal of a batch in PostgreSQL. Only `journal` and `parts` can be imported without its driver."""

from __future__ import annotations

from rebyte_async.batch.journal.postgres.journal import PostgresJournal

__all__ = ["PostgresJournal"]
