"""Read a batch in PostgreSQL, beside those who write to it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg

from rebyte_async.batch.journal.postgres import schema
from rebyte_async.batch.journal.postgres.journal import PostgresJournal
from rebyte_async.batch.journal.postgres.opening import Access, explaining, open_session
from rebyte_async.batch.journal.postgres.session import Facts


class Source:
    """What a `JournalReader` of a batch reads from. It writes nothing, and takes no lock."""

    def __init__(self, journal: PostgresJournal) -> None:
        self._session = open_session(journal, Access.READER, None)
        self._batch = self._session.facts.batch
        self.facts: Mapping[str, str] = _to_texts(self._session.facts)
        """What the batch's row says of it, under the names that the facts of a journal file have."""
        with explaining():
            self._session.execute("SET idle_in_transaction_session_timeout = 0")  # a report takes its time

    def counts(self) -> list[Any]:
        return self._query(schema.SELECT_COUNTS, self._batch)

    def last_run(self) -> list[Any]:
        workers = self._query(schema.SELECT_WORKERS, schema.lock_key(self._batch, schema.PRESENCE))[0][0]
        return [(*row, workers) for row in self._query(schema.SELECT_LAST_RUN, self._batch)]

    def page(self, after: int, statuses: tuple[str, ...] | None, limit: int) -> list[Any]:
        chosen = None if statuses is None else list(statuses)
        return self._query(schema.SELECT_PAGE, self._batch, after, self._batch, self._batch, chosen, chosen, limit)

    def begin(self) -> None:
        self._query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def end(self) -> None:
        with suppress(psycopg.Error):
            self._session.execute("ROLLBACK")

    def close(self) -> None:
        self._session.close()

    def _query(self, statement: str, *values: object) -> list[Any]:
        with explaining():
            return self._session.execute(statement, *values)


def _to_texts(facts: Facts) -> dict[str, str]:
    texts = {"batch_id": facts.batch_id, "created_at": repr(facts.created_at)}
    texts |= {} if facts.base_url is None else {"base_url": facts.base_url}
    return texts | ({} if facts.total is None else {"total": str(facts.total)})
