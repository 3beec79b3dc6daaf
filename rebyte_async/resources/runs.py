"""Runs: start a task or its next turn, and follow it to its end, in one value."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from typing import Self

import anyio
from attrs import define, evolve, field

from rebyte_async._wire.redact import printable
from rebyte_async.errors import AmbiguousRequestError, RebyteError, TaskCanceledError, TaskFailedError
from rebyte_async.streams import TaskEventStream
from rebyte_async.types.events import Done, TaskEvent
from rebyte_async.types.tasks import Task, TaskResult

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
    _submit: Callable[[], Awaitable[tuple[Task | None, TaskEventStream]]]
    _cancel: Callable[[str], Awaitable[object]]
    task_id: str | None
    """The task, once it is known."""
    _check: bool
    _cancel_remote: bool
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _task: Task | None = field(default=None, init=False)
    _stream: TaskEventStream | None = field(default=None, init=False)
    _failure: RebyteError | None = field(default=None, init=False)  # why it couldn't be started; it is not tried again

    @property
    def stream(self) -> TaskEventStream | None:
        """The run's stream; None until the run has started."""
        return self._stream

    @property
    def task(self) -> Task | None:
        """The task as it was created; None before that, and for the next turn of a task."""
        return self._task

    @property
    def workspace_id(self) -> str | None:
        """The agent computer that the task runs on, for `client.artifacts`; None where `task` is."""
        return None if self._task is None else self._task.workspace_id

    @property
    def prompt_id(self) -> str | None:
        """The prompt of the turn; None until the stream knows it."""
        return None if self._stream is None else self._stream.prompt_id

    @property
    def cursor(self) -> str | None:
        """The position after the last event that was delivered, as of a stream; None until the run has started."""
        return None if self._stream is None else self._stream.cursor

    @property
    def done(self) -> Done | None:
        """The end of the turn, or None while it hasn't been reached."""
        return None if self._stream is None else self._stream.done

    @property
    def result(self) -> TaskResult | None:
        """What there is of the turn so far, as of a stream; None until the run has started."""
        return None if self._stream is None else evolve(self._stream.result, workspace_id=self.workspace_id)

    def __repr__(self) -> str:
        stream = self._stream
        if stream is None:
            return f"<TaskRun that has {'failed to start' if self._failure else 'not started'}>"
        return repr(stream).replace("TaskEventStream", "TaskRun", 1)

    async def text(self) -> AsyncGenerator[str, None]:
        """Start the run, if it hasn't, and read the text that the agent writes, as `TaskEventStream.text` does.

        Yields:
            Pieces of the text, as they come.
        """
        async for _ in self:
            if self._stream is not None and (piece := self._stream.last_piece):
                yield piece

    async def cancel(self) -> None:
        """Cancel the remote task; nothing happens where the run hasn't started, or has ended.

        Raises:
            RebyteError: The service can't be reached, or refuses.
        """
        if self._stream is not None and self._stream.done is None:
            await self._cancel(self._stream.task_id)

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

    async def aclose(self) -> None:
        """Do the same as `close`, for `contextlib.aclosing`."""
        await self.close()

    async def _wait(self) -> TaskResult:
        async with self._lock:
            try:
                result = await (await self._ensure_started()).until_done()
                result = evolve(result, workspace_id=self.workspace_id)
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
            return self._follow(*await self._submit_once())
        return self._stream

    def _follow(self, task: Task | None, stream: TaskEventStream) -> TaskEventStream:
        self._task, self._stream, self.task_id = task, stream, stream.task_id
        return stream

    async def _submit_once(self) -> tuple[Task | None, TaskEventStream]:
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
                self._follow(*await submitting)
            submitting.cancel()
            if self._stream is None:
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
