"""Group commit: writes to a SQLite file run in one thread, and those asked for during a commit share the next one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, TypeVar

from rebyte_async.errors import JournalError

T = TypeVar("T")
_MOST_TOGETHER = 1_000
"""Writes in one commit."""

Job: TypeAlias = "Callable[[sqlite3.Connection], Any]"
Result: TypeAlias = "tuple[Any, BaseException | None]"
"""The value of a job, or its error. A future can't hold every error: it refuses StopIteration."""


class Database(Protocol):
    """What the jobs of a writer write to."""

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, in which no transaction is under way."""
        ...

    def commit(self) -> None:
        """Commit the transaction that is under way."""
        ...

    def close(self) -> None:
        """Release the database."""
        ...


class Writer:
    """Owns an open database and the thread that is the only one to use it.

    The queue and the other state belong to the event loop, which hands the thread one commit at a time. No task drains
    the queue: a loop that shuts down cancels all tasks, and just then the last writes matter.

    Args:
        name: The file's name in errors.
        connect: Opens the database, in the thread.
    """

    def __init__(self, name: str, connect: Callable[[], Database]) -> None:
        self._name = name
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="rebyte-batch-journal")
        self._database: Database | None = None
        """Used in the thread only."""
        self._queue: deque[tuple[Job, asyncio.Future[Result]]] = deque()
        self._is_committing = False
        self._closed: asyncio.Future[Result] | None = None
        """Set when `stop` was called; done when the database is closed."""
        self._failure: BaseException | None = None
        """Why nothing is written any more."""

    async def start(self) -> None:
        """Start the thread, and open the database in it.

        Raises:
            JournalError: The file can't be opened.
            RuntimeError: There can be no thread.
        """
        try:
            opening = self._loop.run_in_executor(self._executor, self._open)
        except RuntimeError:  # the system has no thread to give, so there is nothing for `stop` to close
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._closed = self._loop.create_future()
            self._closed.set_result((None, None))
            raise
        opening.add_done_callback(lambda done: done.exception())  # no log complains if the caller was cancelled
        await asyncio.shield(opening)

    def _open(self) -> None:
        self._database = self._connect()

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in a transaction. What it wrote is on disk when this returns.

        Jobs run in the order of their calls, also those whose callers are cancelled.

        Raises:
            JournalError: The writer is stopped, or the file can't be written.
            BaseException: What the job raised; nothing of it is written.
        """
        if self._failure is not None or self._closed is not None:
            raise self._failure or JournalError(f"the journal {self._name} is closed")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._queue.append((job, future))
        self._advance()
        value, error = await future
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    async def stop(self) -> None:
        """Finish the writes that were asked for, close the database, and end the thread.

        Raises:
            BaseException: What closing it raised.
        """
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._advance()
        _, error = await asyncio.shield(self._closed)
        if error is not None:
            raise error

    def _advance(self) -> None:
        """Start the next commit, or close the database when all is written. One of them runs at a time."""
        if self._is_committing:
            return
        if self._queue:
            self._is_committing = True
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST_TOGETHER))]
            commit = self._loop.run_in_executor(self._executor, self._commit, [job for job, _ in batch])
            commit.add_done_callback(lambda done: self._on_committed(done, [future for _, future in batch]))
        elif self._closed is not None:
            self._is_committing = True  # nothing follows
            self._loop.run_in_executor(self._executor, self._close).add_done_callback(self._on_closing_done)

    def _on_committed(self, commit: asyncio.Future[list[Result]], futures: Sequence[asyncio.Future[Result]]) -> None:
        error = commit.exception()
        results = commit.result() if error is None else [(None, error)] * len(futures)
        for future, result in zip(futures, results, strict=True):
            if not future.done():  # its caller may have been cancelled
                future.set_result(result)
        # The next commit starts after the callers have resumed: what they write next is in it. Fewer, larger commits
        # measured 1.5 times the items a second of an immediate start on a busy disk.
        self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._is_committing = False
        self._advance()

    def _on_closing_done(self, closing: asyncio.Future[None]) -> None:
        self._executor.shutdown(wait=False)
        if self._closed is not None:
            self._closed.set_result((None, closing.exception()))

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _commit(self, jobs: Sequence[Job]) -> list[Result]:
        """Run jobs in one transaction. Runs in the thread, like all that follows."""
        if self._failure is not None:
            return [(None, self._failure)] * len(jobs)
        try:
            return self._run_in_transaction(jobs)
        except BaseException as error:  # noqa: BLE001 - raised to the caller of `write`
            if len(jobs) > 1:
                # One of them can't be written. Alone, each gets its own result.
                return [result for job in jobs for result in self._commit([job])]
            return [(None, self._explain(error))]

    def _run_in_transaction(self, jobs: Sequence[Job]) -> list[Result]:
        if self._database is None:
            raise JournalError(f"the journal {self._name} isn't open")
        connection = self._database.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            results: list[Result] = [(job(connection), None) for job in jobs]
            self._database.commit()
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has rolled back itself where the disk is full
                connection.execute("ROLLBACK")
            raise
        return results

    def _explain(self, error: BaseException) -> BaseException:
        """Turn a failure of the file into the error that this and all later writes raise."""
        if not isinstance(error, sqlite3.Error):
            return error
        self._failure = JournalError(
            f"can't write the journal {self._name}: {error}. What was written before is safe: remove the cause and run "
            "the batch again, and it continues where it stopped"
        )
        self._failure.__cause__ = error
        return self._failure
