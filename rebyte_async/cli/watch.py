"""Watches a turn of a task: follows it, shows it, and says what becomes of the task when the watching ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from anyio import move_on_after
from attrs import define, evolve, field

from rebyte_async import AsyncRebyte, TaskEventStream
from rebyte_async._terminal import one_line
from rebyte_async.cli.exits import Exit, exit_code_for, exit_code_for_status, explain, print_error, report_error, say
from rebyte_async.cli.recovery import TIME_LIMIT, Followable, add_candidates, readable_events
from rebyte_async.cli.runtime import run
from rebyte_async.cli.view.base import Downloaded, Finished, Interrupted, View
from rebyte_async.errors import AmbiguousRequestError, RebyteError
from rebyte_async.resources import TaskRun
from rebyte_async.resources.waiting import cancel_until_terminal
from rebyte_async.types import TaskResult

_REFRESH_INTERVAL = 0.05


@define
class Watch:
    """The watching of one turn."""

    view: View
    open_client: Callable[[], AbstractAsyncContextManager[AsyncRebyte]]  # makes the client, inside the event loop
    start: Callable[[AsyncRebyte], Followable]  # returns the turn to follow
    prepare: Callable[[AsyncRebyte], Awaitable[None]] | None = None
    """Runs before `start`, such as uploads; nothing is started until it is done."""
    complete: Callable[[AsyncRebyte, TaskResult], Awaitable[Sequence[Downloaded] | None]] | None = None
    """Runs after the turn has ended, and returns what it has downloaded."""
    task_id: str | None = None  # the task; None while it is being created
    timeout: float | None = None  # seconds after which the watching ends
    cancel: bool = False  # whether the remote task is canceled when the watching ends before it does
    creates: bool = False  # whether `start` starts something that costs money
    is_local: bool = False  # whether the task ends with this process
    _source: Followable | None = field(default=None, init=False)
    _result: TaskResult | None = field(default=None, init=False)
    _began: float = field(factory=time.monotonic, init=False)
    _is_announced: bool = field(default=False, init=False)
    _is_prepared: bool = field(default=False, init=False)
    _is_hurried: bool = field(default=False, init=False)  # whether a second Ctrl-C came, which waits for nothing
    _remote_status: str = field(default="", init=False)
    """How the remote task ended, where that is known when the watching ends first."""

    def run(self) -> int:
        code = run(
            self._main,
            on_interrupt=lambda code: self._leave("Interrupted", "interrupted", code),
            on_error=self._fail,
            on_signal=self._note_signal,
            screen=self.view,
        )
        return self._end() if code == Exit.OK else code

    async def _main(self) -> None:
        async with self.open_client() as client:
            limit = asyncio.timeout(self.timeout)
            try:
                async with limit:
                    self._result = await self._follow(client)
            except TimeoutError:
                if not limit.expired():
                    raise
                await self._settle_remote_task(client)
            except AmbiguousRequestError as error:
                seconds = time.monotonic() - self._began
                await add_candidates(error, client, task_id=self.task_id, seconds=seconds)
                raise
            except RebyteError:
                raise
            except (asyncio.CancelledError, OSError):  # an OSError means that stdout can't be written
                await self._settle_remote_task(client)
                raise

    async def _follow(self, client: AsyncRebyte) -> TaskResult:
        if self.prepare is not None:
            async with self._refreshing():
                await self.prepare(client)
            self.view.set_status("starting the task")
        self._is_prepared = True
        self._source = source = self.start(client)
        async with source, self._refreshing():
            async for event in readable_events(source, self.view.warn):
                self._announce()
                self.view.show(event)
            self._announce()
            stream = self._stream
            assert stream is not None  # noqa: S101 - it has been iterated
            result = evolve(stream.result, workspace_id=self._workspace_id)
            seconds = time.monotonic() - self._began
            files = None if self.complete is None else await self.complete(client, result)
            finished = Finished(
                result=result,
                prompt_id=stream.prompt_id,
                last_seq=None if stream.done is None else stream.done.last_seq,
                cursor=stream.cursor,
                seconds=seconds,
                files=files,
            )
            self.view.finish(finished)
        return result

    @property
    def _stream(self) -> TaskEventStream | None:
        source = self._source
        return source if source is None or isinstance(source, TaskEventStream) else source.stream

    @property
    def _workspace_id(self) -> str | None:
        return self._source.workspace_id if isinstance(self._source, TaskRun) else None

    @asynccontextmanager
    async def _refreshing(self) -> AsyncGenerator[None]:
        refresher = asyncio.create_task(self._refresh())
        try:
            yield
        finally:
            refresher.cancel()
            with suppress(asyncio.CancelledError):
                await refresher

    async def _refresh(self) -> None:
        while True:
            if isinstance(self._source, TaskRun):  # another source's task is announced with its first event
                self._announce()
            self.view.refresh()
            await asyncio.sleep(_REFRESH_INTERVAL)

    def _announce(self) -> None:
        if self._source is not None:
            self.task_id = self._source.task_id
        if self.task_id is not None and self._stream is not None and not self._is_announced:
            self._is_announced = True
            self.view.begin(self.task_id, self._workspace_id)

    # --- The ends of the watching ---

    def _note_signal(self, count: int) -> None:
        self._is_hurried = count > 1
        if self.cancel and not self._is_hurried:
            self.view.set_status("canceling the remote task; Ctrl-C again to leave at once")

    async def _settle_remote_task(self, client: AsyncRebyte) -> None:
        """Cancel the remote task where that was asked for, when the watching ends early."""
        if self._source is not None:
            self.task_id = self._source.task_id
        if self._stream is not None and self._stream.done is not None:
            self._remote_status = f"{self._stream.done.status}"
            return
        if not self.cancel or self.task_id is None or self._is_hurried:
            return
        with suppress(RebyteError), move_on_after(TIME_LIMIT):
            task = await client.tasks.get(self.task_id)
            if not task.is_terminal:
                task = await cancel_until_terminal(client.tasks, self.task_id)
            if task.is_terminal:
                self._remote_status = f"{task.status}"

    def _end(self) -> int:
        if self._result is None:
            return self._leave("TimeoutError", f"the time ran out after {self.timeout:g} s", Exit.TIMEOUT)
        code = exit_code_for_status(self._result.status)
        if code is not Exit.OK:
            print_error(one_line(f"task {self._result.task_id} {_describe_failure(self._result)}"))
        return code

    def _leave(self, error: str, what: str, code: int) -> int:
        """Say what becomes of the task, since the watching ended before the turn did."""
        message = f"{what}: {self._fate()}"
        self._interrupt_view(error, message, code)
        say(message)
        if not self._remote_status and self.task_id is not None and not self.is_local:
            say(f"  watch it again:  rebyte-async events {self.task_id}")
            say(f"  cancel it:       rebyte-async cancel {self.task_id}")
        return code

    def _fate(self) -> str:
        if self.is_local:
            return "the demo ended with it, nothing is left running"
        if self._remote_status:
            had = "is" if self._remote_status == "canceled" else "had already"
            return f"task {self.task_id} {had} {self._remote_status}"
        if self.creates and not self._is_prepared:
            return "nothing was started"
        if self.task_id is None or (self.creates and self._stream is None):
            where = "your newest tasks" if self.task_id is None else f"task {self.task_id}"
            return f"it isn't known whether the agent was started; look at {where} before you run it again"
        if self.cancel:
            return f"task {self.task_id} may still be running: it isn't known to be canceled"
        return f"task {self.task_id} keeps running"

    def _fail(self, error: RebyteError | OSError) -> int:
        code = exit_code_for(error)
        if not isinstance(error, RebyteError):  # stdout is on a full disk, for example
            return self._leave(type(error).__name__, f"error: {explain(error)}", code)
        self._interrupt_view(type(error).__name__, explain(error), code)
        report_error(error)
        if self._stream is not None and code in {Exit.NETWORK, Exit.SERVER, Exit.UNREADABLE, Exit.LIMITED}:
            say(f"  watch it again:  rebyte-async events {self.task_id}")
        return code

    def _interrupt_view(self, error: str, message: str, code: int) -> None:
        cursor = None if self._stream is None else self._stream.cursor
        end = Interrupted(
            error=error,
            message=message,
            exit_code=code,
            task_id=self.task_id,
            cursor=cursor,
            workspace_id=self._workspace_id,
        )
        with suppress(OSError):
            self.view.interrupt(end)


def _describe_failure(result: TaskResult) -> str:
    if result.status == "canceled":
        return "was canceled"
    reason = result.final_result.strip().partition("\n")[0]
    how = "failed" if result.status == "failed" else f"ended as {result.status}"
    return f"{how}: {reason}" if reason else how
