"""Runs: start a task or its next turn, and follow it to its end, in one value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Self

import anyio
from attrs import define, field

from rebyte_async._wire.redact import printable
from rebyte_async.errors import AmbiguousRequestError, RebyteError, TaskCanceledError, TaskFailedError
from rebyte_async.streams import TaskEventStream
from rebyte_async.types.events import TaskEvent
from rebyte_async.types.tasks import TaskResult

_REMOTE_CANCEL_TIMEOUT = 30.0  # seconds that canceling the remote task may take after the local wait was cancelled


@define(eq=False, repr=False)
class TaskRun:
    """A task, or a turn of one, that starts when it is first awaited or iterated, once for all of it.

    `client.tasks.run` makes it.

        result = await client.tasks.run("Summarise data.csv")

        async with client.tasks.run("Build a REST API") as run:
            async for event in run:
                ...
            result = await run

    However often it is awaited, it starts one task. After a wait that was cancelled, awaiting it again resumes where
    that wait ended. Breaking out of an iteration leaves a connection open until `close` or `async with` closes it.
    """

    # A run is given the three calls that it needs: knowing `Tasks`, which makes runs, would be a circle.
    _upload: Callable[[], Awaitable[None]]
    _submit: Callable[[], Awaitable[TaskEventStream]]
    _cancel: Callable[[str], Awaitable[object]]
    task_id: str | None
    """The task, once it is known."""
    _check: bool
    _cancel_remote: bool
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _stream: TaskEventStream | None = field(default=None, init=False)
    _failure: RebyteError | None = field(default=None, init=False)  # why it couldn't be started; it is not tried again

    @property
    def stream(self) -> TaskEventStream | None:
        """The run's stream, with its `done`, `cursor` and `result`; None until the run has started."""
        return self._stream

    def __await__(self) -> Generator[object, None, TaskResult]:
        return self._wait().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        async with self._lock:
            try:
                return await (await self._ensure_started()).__anext__()
            except asyncio.CancelledError:
                await self._on_cancelled()
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, asyncio.CancelledError):
            await self._on_cancelled()
        await self.close()

    async def close(self) -> None:
        """Close the stream. The remote task continues."""
        if self._stream is not None:
            await self._stream.close()

    async def _wait(self) -> TaskResult:
        async with self._lock:
            try:
                result = await (await self._ensure_started()).until_done()
            except asyncio.CancelledError:
                await self._on_cancelled()
                raise
            except Exception:
                if self._stream is not None:
                    self._stream.disconnect()
                raise
        if self._check and result.status == "failed":
            reason = result.final_result.strip().split("\n", 1)[0][:200] or "it gave no reason"
            raise TaskFailedError(f"task {result.task_id} failed: {printable(reason)}", result=result)
        if self._check and result.status == "canceled":
            raise TaskCanceledError(f"task {result.task_id} was canceled", result=result)
        return result

    async def _ensure_started(self) -> TaskEventStream:
        if self._failure is not None:
            raise self._failure
        if self._stream is None:
            await self._upload()  # separately: a cancelled upload has started nothing, so it can be repeated
            self._stream = await self._submit_once()
            self.task_id = self._stream.task_id
        return self._stream

    async def _submit_once(self) -> TaskEventStream:
        """Submit the run, in a way that no cancellation can leave it unknown whether it was submitted.

        The submit runs in its own asyncio task. When the caller is cancelled meanwhile, it is given up, or with
        `cancel_remote` awaited, so that the remote task is known and can be canceled. If it has not returned a stream
        by then, the run has failed: a repetition could start, and charge for, a second agent.
        """
        submitting = asyncio.ensure_future(self._submit())
        try:
            return await asyncio.shield(submitting)
        except asyncio.CancelledError:
            if not self._cancel_remote:
                submitting.cancel()
            with (
                suppress(asyncio.CancelledError, RebyteError),
                anyio.move_on_after(_REMOTE_CANCEL_TIMEOUT, shield=True),
            ):
                self._stream = await submitting
            submitting.cancel()
            if self._stream is not None:
                self.task_id = self._stream.task_id
            else:
                self._failure = AmbiguousRequestError(
                    "the wait for this run was cancelled while it was being submitted: it may have started",
                    method="POST",
                )
                self._failure.task_id = self.task_id
            raise
        except RebyteError as error:
            self._failure = error
            raise

    async def _on_cancelled(self) -> None:
        """Close the connection after a cancelled wait, and cancel the remote task if `cancel_remote` asks for it."""
        if self._stream is None or self._stream.done is not None:
            return
        self._stream.disconnect()
        if self._cancel_remote:
            with suppress(RebyteError), anyio.move_on_after(_REMOTE_CANCEL_TIMEOUT, shield=True):
                await self._cancel(self._stream.task_id)
