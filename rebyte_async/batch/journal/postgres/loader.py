"""Load items into a batch by COPY, all of them in one transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from rebyte_async.batch.journal.postgres import schema
from rebyte_async.batch.journal.postgres.journal import PostgresJournal, shard_of
from rebyte_async.batch.journal.postgres.opening import Access, explaining, open_session
from rebyte_async.batch.journal.postgres.store import begin_run, check_storable, to_records
from rebyte_async.batch.journal.records import NewItem, find_conflict
from rebyte_async.errors import BatchError


class Loader:
    """A load that is under way. Its calls block, so they are made in a thread, one at a time.

    The load is a run of its own, so that an item which comes twice is found.
    """

    def __init__(self, journal: PostgresJournal) -> None:
        self._session = session = open_session(journal, Access.LOADER, None)
        self._batch = session.facts.batch
        self._added = 0
        self._positions: list[int] = []  # the least and the greatest of each part
        try:
            with explaining():
                session.execute("SET idle_in_transaction_session_timeout = 0")  # items may come slowly
                session.execute(schema.CREATE_STAGE)
                self._run = begin_run(session, Access.LOADER, time.time(), os.getpid())
                session.run_number = None  # it owns no shard
                session.execute("BEGIN")
        except BaseException:
            session.close()
            raise

    def add(self, items: Sequence[NewItem]) -> tuple[int, BatchError] | None:
        """Add items. If one of them can't be added, return its number and the reason; then nothing may be added."""
        seen: set[str] = set()
        for number, item in enumerate(items):
            if (refusal := check_storable(item)) is not None:
                return number, refusal
            if item.key in seen:
                return number, BatchError(
                    f"the key {item.key!r:.80} comes twice: each item of a batch needs a key of its own"
                )
            seen.add(item.key)
        with explaining():
            self._copy(items)
            changed = self._session.execute(schema.SELECT_STAGED, self._batch, self._run)
            for record in to_records([row[1:] for row in changed]):
                number = next(number for number, item in enumerate(items) if item.key == record.key)
                if (conflict := find_conflict(record, items[number], self._run)) is not None:
                    return number, conflict
            if changed:
                self._session.change_requests({row[1]: row[0] for row in changed})
            added = [row[0] for row in self._session.execute(schema.INSERT_FROM_STAGE, self._batch, self._run)]
            self._positions += [min(added), max(added)] if added else []
            self._added += len(added)
        return None

    def _copy(self, items: Sequence[NewItem]) -> None:
        shards = self._session.facts.shards
        self._session.execute("TRUNCATE pg_temp.stage")
        with (
            self._session.connection.cursor() as cursor,
            cursor.copy("COPY pg_temp.stage FROM STDIN WITH (FORMAT binary)") as copy,
        ):
            copy.set_types(["int4", "int4", "text", "bytea", "text", "bytea"])
            for number, item in enumerate(items):
                shard = shard_of(item.prompt_hash, shards)
                copy.write_row((number, shard, item.key, item.fingerprint, item.request, item.prompt_hash))

    def finish(self, max_new_tasks: int | None, max_open: int | None) -> int:
        """Commit the load and the limits of the batch, and return how many items were new."""
        with explaining():
            self._session.note_positions(self._positions)
            self._session.execute(schema.SET_LIMITS, max_new_tasks, max_open, self._batch)
            self._session.execute(schema.UPDATE_RUN, time.time(), None, self._batch, self._run)
            self._session.execute("COMMIT")
        return self._added

    def close(self) -> None:
        """End the load. What wasn't committed is not loaded."""
        self._session.close()
