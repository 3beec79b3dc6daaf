"""A thread that writes into a SQLite file: what is asked for meanwhile is committed together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from rebyte_async.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Writer"]

T = TypeVar("T")
_TOGETHER = 1_000
"""How many writes a commit holds at most."""

Job: TypeAlias = "tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]"
Result: TypeAlias = "tuple[asyncio.Future[Any], Any, BaseException | None]"


class Writer:
    """Owns a connection, and the thread that is the only one to use it.

    Args:
        name: What errors call the file.
        open_: Makes the connection, in the thread.
        closed: Called in the thread when there is no connection any more, or was none.
    """

    def __init__(self, name: str, open_: Callable[[], sqlite3.Connection], closed: Callable[[], None]) -> None:
        self._name = name
        self._open = open_
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._broken: JournalError | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="rebyte-batch-journal", daemon=True)
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Start the thread, and open the file in it.

        Raises:
            JournalError: It can't be opened.
        """
        self._thread.start()
        try:
            await asyncio.shield(self._started)
        except asyncio.CancelledError:
            self._jobs.put(None)
            raise

    def write(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have something written. It is in the file, for good, when the future has its result.

        Writes are carried out in the order in which they were asked for. Nobody has to wait for the future.
        """
        future = self._loop.create_future()
        if self._stopped:
            _settle([(future, None, JournalError(f"the journal {self._name} is closed"))])
        else:
            self._jobs.put((job, future))
        return future

    async def stop(self) -> None:
        """Write what was asked for, close the file, and end the thread."""
        self._stopped = True
        self._jobs.put(None)
        await asyncio.shield(self._ended)

    def _work(self) -> None:
        try:
            connection = self._open()
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            self._closed()
            self._tell([(self._started, None, error), (self._ended, None, None)])
            return
        self._tell([(self._started, None, None)])
        try:
            while self._turn(connection):
                pass
        finally:
            with suppress(sqlite3.Error):
                connection.close()
            self._closed()
            self._tell([(self._ended, None, None)])

    def _turn(self, connection: sqlite3.Connection) -> bool:
        """One commit; False when there is to be no other."""
        jobs: list[Job] = []
        goes_on = True
        with suppress(Empty):
            job = self._jobs.get()
            while job is not None and len(jobs) < _TOGETHER:
                jobs.append(job)
                job = self._jobs.get_nowait() if len(jobs) < _TOGETHER else job
            goes_on = job is not None
        self._tell(self._committed(connection, jobs))
        return goes_on

    def _committed(self, connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Result]:
        if self._broken is not None:
            return [(future, None, self._broken) for _, future in jobs]
        try:
            results = self._transaction(connection, jobs)
        except Exception as error:  # noqa: BLE001 - told to whoever waits for it
            if len(jobs) > 1:
                # One of them can't be written: alone, each gets its own answer.
                return [result for job in jobs for result in self._committed(connection, [job])]
            return [(jobs[0][1], None, self._explained(error))]
        return [(future, result, None) for (_, future), result in zip(jobs, results, strict=True)]

    @staticmethod
    def _transaction(connection: sqlite3.Connection, jobs: Sequence[Job]) -> list[Any]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [job(connection) for job, _ in jobs]
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has rolled back itself where the disk is full
                connection.execute("ROLLBACK")
            raise
        return results

    def _explained(self, error: Exception) -> Exception:
        """What a failed write is to whoever asked for it. After a failure of the file nothing more is written."""
        if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.IntegrityError):
            return error
        self._broken = JournalError(
            f"can't write the journal {self._name}: {error}. What was written before is safe; run the batch again when "
            "this is mended, and it goes on where it stopped"
        )
        self._broken.__cause__ = error
        return self._broken

    def _tell(self, results: list[Result]) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(_settle, results)


def _settle(results: list[Result]) -> None:
    for future, result, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            future.exception()  # seen: nobody has to wait for a write
