"""A thread that writes into a SQLite file: what is asked for meanwhile is committed together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from functools import partial
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
        self._taken: list[Job] = []
        """What the thread has in hand."""
        self._broken: JournalError | None = None
        self._failure: BaseException | None = None
        """What ended the thread before its time."""
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="rebyte-batch-journal", daemon=True)
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Start the thread, and open the file in it.

        Raises:
            JournalError: It can't be opened.
        """
        self._thread.start()  # where there can be no thread, `stop` has nothing to wait for
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
            _settle([(future, None, self._why_not())])
        else:
            self._jobs.put((job, future))
        return future

    async def stop(self) -> None:
        """Write what was asked for, close the file, and end the thread.

        Raises:
            BaseException: What `closed` raised.
        """
        self._stopped = True
        if self._thread.ident is None:
            return
        self._jobs.put(None)
        await asyncio.shield(self._ended)

    def _work(self) -> None:
        failure: BaseException | None = None
        at_the_end: BaseException | None = None
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - handed on to whoever waits
            failure = error
        try:
            self._closed()
        except BaseException as error:  # noqa: BLE001 - handed on to whoever stops it
            at_the_end = error
        self._call(partial(self._end, failure), at_the_end)

    def _serve(self) -> None:
        connection = self._open()
        try:
            self._tell([(self._started, None, None)])
            while self._turn(connection):
                pass
        finally:
            with suppress(sqlite3.Error):
                connection.close()

    def _end(self, failure: BaseException | None, at_the_end: BaseException | None) -> None:
        """Have nobody wait for a thread that has ended, however it came to that. Runs in the event loop."""
        self._stopped, self._failure = True, failure
        left = [future for _, future in self._taken]
        with suppress(Empty):
            while True:
                if (job := self._jobs.get_nowait()) is not None:
                    left.append(job[1])
        _settle([(self._started, None, failure), *((future, None, self._why_not()) for future in left)])
        _settle([(self._ended, None, at_the_end)])

    def _why_not(self) -> BaseException:
        return self._failure or JournalError(f"the journal {self._name} is closed")

    def _turn(self, connection: sqlite3.Connection) -> bool:
        """One commit; False when there is to be no other."""
        jobs = self._taken = list[Job]()
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
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
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

    def _explained(self, error: BaseException) -> BaseException:
        """What a failed write is to whoever asked for it. After a failure of the file nothing more is written."""
        if not isinstance(error, sqlite3.Error):
            return error
        self._broken = JournalError(
            f"can't write the journal {self._name}: {error}. What was written before is safe; run the batch again when "
            "this is mended, and it goes on where it stopped"
        )
        self._broken.__cause__ = error
        return self._broken

    def _tell(self, results: list[Result]) -> None:
        self._call(_settle, results)

    def _call(self, function: Callable[[T], None], argument: T) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(function, argument)


def _settle(results: list[Result]) -> None:
    for future, result, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(_tellable(error))
            future.exception()  # seen: nobody has to wait for a write


def _tellable(error: BaseException) -> BaseException:
    """An error as a future takes it, which refuses a StopIteration before Python 3.12, and whose waiter would hang."""
    if not isinstance(error, StopIteration):
        return error
    told = RuntimeError("a write raised StopIteration")
    told.__cause__ = error
    return told
