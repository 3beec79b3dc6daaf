"""Watching a turn of a task from the command line: follow it, show it, and say what became of it when that ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import click
from anyio import move_on_after
from attrs import define, field

from rebyte_async import AsyncRebyte, TaskEventStream
from rebyte_async.cli.exits import Exit, complain, complain_of, exit_of, explain, forget_output, of_status
from rebyte_async.cli.loop import InterruptedBySignal, run_loop
from rebyte_async.cli.reads import LOOK, cancel_task, note_suspects, readable
from rebyte_async.cli.view.base import Ending, Stop
from rebyte_async.cli.view.clean import one_line
from rebyte_async.errors import AmbiguousRequestError, ConfigurationError, RebyteError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from rebyte_async.cli.reads import Source
    from rebyte_async.cli.view.base import View
    from rebyte_async.types.tasks import TaskResult

__all__ = ["Watch", "api_client"]

_TICK = 0.05


def api_client() -> AsyncRebyte:
    """A client as the environment says.

    Raises:
        ConfigurationError: There is no key, or a setting can't be right.
    """
    if not os.environ.get("REBYTE_API_KEY", "").strip():
        raise ConfigurationError("there is no API key: set REBYTE_API_KEY (rebyte-async demo needs none)")
    return AsyncRebyte()


@define
class Watch:
    """One turn that is watched."""

    view: View
    open_client: Callable[[], AbstractAsyncContextManager[AsyncRebyte]]
    """Makes the client, inside the event loop."""
    start: Callable[[AsyncRebyte], Source]
    """Says what to follow."""
    prepare: Callable[[AsyncRebyte], Awaitable[None]] | None = None
    """What is to be done before that, such as uploads: nothing has been started until it is through."""
    finish: Callable[[AsyncRebyte, TaskResult], Awaitable[None]] | None = None
    """What is to be done after the turn has ended."""
    task_id: str | None = None
    """The task; None while it is being made."""
    timeout: float | None = None
    cancel: bool = False
    """Whether the remote task is canceled when the watching ends before it does."""
    creates: bool = False
    """Whether it starts something that costs money."""
    is_local: bool = False
    """Whether the remote end goes away with this process."""
    _source: Source | None = field(default=None, init=False)
    _began: float = field(factory=time.monotonic, init=False)
    _announced: bool = field(default=False, init=False)
    _prepared: bool = field(default=False, init=False)
    _hurried: bool = field(default=False, init=False)
    _aftermath: str = field(default="", init=False)

    def run(self) -> int:
        """Watch to the end.

        Returns:
            The exit code.
        """
        try:
            with self.view:
                result = run_loop(self._main, notice=self._notice)
        except InterruptedBySignal as interrupt:
            return self._interrupted(interrupt.number)
        except KeyboardInterrupt:
            return self._interrupted(signal.SIGINT)
        except BrokenPipeError:
            forget_output()
            return Exit.BROKEN_PIPE
        except RebyteError as error:
            return self._failed(error)
        return self._outcome(result)

    async def _main(self) -> TaskResult | None:
        """The result, or None when the time ran out."""
        async with self.open_client() as client:
            limit = asyncio.timeout(self.timeout)
            try:
                async with limit:
                    return await self._follow(client)
            except TimeoutError:
                if not limit.expired():
                    raise
                await self._after(client)
                return None
            except (asyncio.CancelledError, BrokenPipeError):
                await self._after(client)
                raise
            except AmbiguousRequestError as error:
                seconds = time.monotonic() - self._began
                await note_suspects(error, client, task_id=self.task_id, seconds=seconds)
                raise

    async def _follow(self, client: AsyncRebyte) -> TaskResult:
        if self.prepare is not None:
            async with self._ticking():
                await self.prepare(client)
            self.view.status("starting the task")
        self._prepared = True
        self._source = source = self.start(client)
        async with source, self._ticking():
            async for event in readable(source, self.view.warn):
                self._announce()
                self.view.event(event)
            self._announce()
            stream = source if isinstance(source, TaskEventStream) else source.stream
            assert stream is not None  # noqa: S101 - it has been iterated
            self.view.ended(_ending(stream, time.monotonic() - self._began))
        if self.finish is not None:
            await self.finish(client, stream.result)
        return stream.result

    @property
    def _stream(self) -> TaskEventStream | None:
        source = self._source
        return source if source is None or isinstance(source, TaskEventStream) else source.stream

    @asynccontextmanager
    async def _ticking(self) -> AsyncGenerator[None]:
        """Have the view's time go by, until the block is left."""
        ticker = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker

    async def _tick(self) -> None:
        while True:
            is_new = self._source is not None and not isinstance(self._source, TaskEventStream)
            if is_new:  # one that exists is announced when something comes of it
                self._announce()
            self.view.tick()
            await asyncio.sleep(_TICK)

    def _announce(self) -> None:
        """Tell the view which task it is, as soon as that is known."""
        if self._source is not None:
            self.task_id = self._source.task_id
        if self.task_id is not None and self._stream is not None and not self._announced:
            self._announced = True
            self.view.started(self.task_id)

    def _notice(self, signals: int) -> None:
        self._hurried = signals > 1
        if self.cancel and not self._hurried:
            self.view.status("canceling the remote task; Ctrl-C again to leave at once")

    async def _after(self, client: AsyncRebyte) -> None:
        """See to the remote task when the watching ends early, as far as there is one."""
        if self._source is not None:
            self.task_id = self._source.task_id
        if not self.cancel or self.task_id is None or self._hurried:
            return
        with suppress(RebyteError), move_on_after(LOOK):
            task = await client.tasks.get(self.task_id)
            if not task.is_terminal:
                task = await cancel_task(client, self.task_id)
            if task.is_terminal:
                self._aftermath = f"{task.status}"

    def _outcome(self, result: TaskResult | None) -> int:
        if result is None:
            return self._left("TimeoutError", f"the time ran out after {self.timeout:g} s", Exit.TIMEOUT)
        code = of_status(result.status)
        if code is not Exit.OK:
            complain(one_line(f"task {result.task_id} {_ended_as(result)}"))
        return code

    def _interrupted(self, number: int) -> int:
        return self._left("Interrupted", "interrupted", 128 + number)

    def _left(self, error: str, what: str, code: int) -> int:
        """The watching ended before the turn did."""
        message = f"{what}: {self._fate()}"
        self._stop(error, message, code)
        click.echo(message, err=True)
        if not self._aftermath and self.task_id is not None and not self.is_local:
            click.echo(f"  watch it again:  rebyte-async events {self.task_id}", err=True)
            click.echo(f"  cancel it:       rebyte-async cancel {self.task_id}", err=True)
        return code

    def _fate(self) -> str:
        """What becomes of the remote task."""
        if self.is_local:
            return "the demo ended with it, nothing is left running"
        if self._aftermath:
            had = "is" if self._aftermath == "canceled" else "had already"
            return f"task {self.task_id} {had} {self._aftermath}"
        if self.creates and not self._prepared:
            return "nothing was started"
        if self.task_id is None or (self.creates and self._stream is None):
            where = "your newest tasks" if self.task_id is None else f"task {self.task_id}"
            return f"it isn't known whether the agent was started; look at {where} before you run it again"
        if self.cancel:
            return f"task {self.task_id} may still be running: it isn't known to be canceled"
        return f"task {self.task_id} keeps running"

    def _failed(self, error: RebyteError) -> int:
        code, message = exit_of(error), explain(error)
        self._stop(type(error).__name__, message, code)
        complain_of(error)
        if self._stream is not None and code in {Exit.NETWORK, Exit.SERVER, Exit.UNREADABLE, Exit.LIMITED}:
            click.echo(f"  watch it again:  rebyte-async events {self.task_id}", err=True)
        return code

    def _stop(self, error: str, message: str, code: int) -> None:
        stream = self._stream
        cursor = None if stream is None else stream.cursor
        stop = Stop(error=error, message=message, exit_code=code, task_id=self.task_id, cursor=cursor)
        with suppress(BrokenPipeError):
            self.view.stopped(stop)


def _ending(stream: TaskEventStream, seconds: float) -> Ending:
    return Ending(
        result=stream.result,
        prompt_id=stream.prompt_id,
        last_seq=None if stream.done is None else stream.done.last_seq,
        cursor=stream.cursor,
        seconds=seconds,
    )


def _ended_as(result: TaskResult) -> str:
    if result.status == "canceled":
        return "was canceled"
    reason = result.final_result.strip().partition("\n")[0]
    how = "failed" if result.status == "failed" else f"ended as {result.status}"
    return f"{how}: {reason}" if reason else how
