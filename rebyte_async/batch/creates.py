"""Send creates: each intent is in the journal before its request is sent, each result before the next step.

The states of an item's create, with the journal's state in brackets. The verbs on the arrows are writes to the journal,
which are on disk before the next state begins:

    accepted ──record_intent──▶ sent ──the response has the task: record_task──▶ created
    [accepted]               [creating]                                         [running]
       ▲                         │
       ├──not processed:─────────┤
       │  clear_intent           ├──refused: record_outcome──▶ [ended]
       │                         │
       │                         └──response lost──▶ ambiguous
       │                                            [creating]
       │                                                ├──matched: record_task─────────▶ created
       └──absent: clear_intents─────────────────────────┤                                [running]
                                                        └──undecidable: record_outcome──▶ [ended]

`Reconciler` decides what is ambiguous. These rules keep tasks from being made twice or shared:

- A request is sent only while its item is `creating` on disk. So a run that is killed at any instant leaves every item
  that may have a task `creating` or `running`, and the next run searches for the tasks of the former before it creates
  any.
- A request that was sent is not repeated before it is certain that it made nothing.
- While a create is ambiguous, no other create with the same prompt is sent (`PromptLocks`).
- A request in flight isn't cancelled with the item that waits for it: `drain` waits for it. The stop signal only ends
  waits in which no request is in flight.
- A worker sends a request only for a limited time after its intent, also where it stood still meanwhile: its items may
  have another owner by then, who looks for their tasks after that time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from anyio import CancelScope
from attrs import define, evolve, field, frozen

from rebyte_async._transport import Throttle, Transport
from rebyte_async.batch.context import RunContext
from rebyte_async.batch.failures import UnresolvedCreateError, as_batch_error, is_fatal, is_transient, summarize_error
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.journal import DuplicateTaskError, ItemRecord
from rebyte_async.batch.journal.store import BatchFullError
from rebyte_async.batch.limits import StoppedError, StopSignal
from rebyte_async.batch.reconciler import Reconciler
from rebyte_async.errors import AmbiguousRequestError, ConnectError, LimitExceededError, RebyteError
from rebyte_async.resources import Tasks
from rebyte_async.types.files import FileRef


@frozen
class CreateRequest:
    """The create of an item's task, before it is sent."""

    item: BatchItem
    record: ItemRecord
    files: Sequence[FileRef] = ()  # the uploaded files of the item
    workspace_id: str | None = None  # the agent computer to run on; None for a new one


class TaskCreator:
    """Makes the tasks of a run, each once."""

    def __init__(self, context: RunContext, reconciler: Reconciler) -> None:
        self._context = context
        self._reconciler = reconciler
        self._transport = _stoppable(context.transport, context.stop)
        self._tasks = evolve(context.tasks, transport=self._transport)
        """Sends the creates. Its waits before an attempt end with `StoppedError` when the stop signal is given."""
        self._permits = asyncio.Semaphore(context.tuning.max_parallel_creates)
        self.in_flight: set[asyncio.Task[None]] = set()

    async def create(self, request: CreateRequest) -> None:
        """Make the task of an item. Afterwards the item's record has it.

        Raises:
            StoppedError: The run is ending.
            UnresolvedCreateError: A task may have been made, and it can't be decided which.
            RebyteError: Certainly no task was made. If another run may succeed, the record is as before.
            BaseException: An error of the application's own parts, such as its session. The record stays `creating`,
                so that the next run finds out.
        """
        lost_responses = 0
        while True:
            try:
                await self._send(request)
            except AmbiguousRequestError as error:
                if await self._reconciler.resolve(request.record, error):
                    return
                lost_responses += 1
                if lost_responses > self._context.tuning.max_recreates:
                    raise UnresolvedCreateError(
                        f"the responses of {lost_responses} creates were lost; the last error: {summarize_error(error)}"
                    ) from error
            except BatchFullError:
                await self._context.stop.guard(self._context.time.sleep(self._context.tuning.full_batch_interval))
            except RebyteError as error:
                if not await self._context.outage.should_retry(error):
                    raise
            else:
                return

    async def _send(self, request: CreateRequest) -> None:
        """Send one create, which continues when the caller is cancelled: its task may still be recorded in time."""
        await self._acquire(request.record.prompt_hash)
        sending = asyncio.get_running_loop().create_task(self._send_recorded(request))
        self.in_flight.add(sending)
        sending.add_done_callback(self.in_flight.discard)
        # The error is retrieved here as well, because the caller may have been cancelled.
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(sending)

    async def _acquire(self, prompt_hash: bytes) -> None:
        """Take a permit and the lock of the prompt, both or none."""
        while True:
            await self._context.locks.wait_free(prompt_hash)
            await self._permits.acquire()
            if self._context.locks.is_free(prompt_hash):
                self._context.locks.start(prompt_hash)
                return
            self._permits.release()  # a create with this prompt became ambiguous meanwhile

    async def _send_recorded(self, request: CreateRequest) -> None:
        """Record the intent, send the create, and record its result."""
        is_ambiguous = True  # an error that isn't a RebyteError leaves it open whether the request was sent
        try:
            await self._context.stop.guard(self._reconciler.watermark.take())
            watermark = await self._reconciler.watermark.record()
            # The intent is recorded after the pause: a run that is killed in the pause leaves no ambiguous create.
            await self._context.stop.guard(self._context.transport.throttle.wait_until_open())
            intent_at = max(watermark.taken_at, self._context.clock.now())
            tasks = self._limited_tasks()
            await self._context.journal.record_intent(request.record, request.workspace_id, intent_at)
            await self._post(tasks, request)
            is_ambiguous = False
        except RebyteError as error:
            is_ambiguous = isinstance(error, AmbiguousRequestError)
            raise
        finally:
            self._permits.release()
            self._context.locks.complete(request.record.prompt_hash, is_ambiguous=is_ambiguous)

    def _limited_tasks(self) -> Tasks:
        """Return what sends a create whose intent is recorded from now on.

        A worker that stood still, or lost its session with the journal, may no longer be the owner of its items. The
        next owner waits as long as this one may send a create (`Tuning.send_timeout`) before it looks for its task.
        """
        if not self._context.settings.is_shared:
            return self._tasks
        return evolve(self._tasks, transport=self._transport.with_settings(may_send=_SendLimit(self._context).check))

    async def _post(self, tasks: Tasks, request: CreateRequest) -> None:
        item, record = request.item, request.record
        try:
            task = await tasks.create(
                item.prompt, **item.to_arguments(workspace_id=request.workspace_id, files=request.files)
            )
        except RebyteError as error:  # the intent stays if the create is ambiguous, or if the item itself was refused
            is_limit = isinstance(error, LimitExceededError)
            if is_limit or isinstance(error, StoppedError) or is_transient(error) or is_fatal(error):
                await self._context.journal.clear_intent(record)
            if is_limit:
                raise as_batch_error(error) from error
            raise
        self._context.outage.reset()
        clock = self._context.clock
        started_at = clock.now() if task.created_at is None else task.created_at.timestamp()
        if task.created_at is not None and record.intent_at is not None:
            clock.recalibrate(started_at, record.intent_at, slack=self._context.tuning.clock_slack)
        workspace_id = task.workspace_id or request.workspace_id
        try:
            await self._context.journal.record_task(record, task.id, workspace_id, started_at)
        except DuplicateTaskError as error:
            raise UnresolvedCreateError(f"the service returned the task {task.id}, which another item has") from error

    async def drain(self, timeout: float) -> None:
        """Send no further create. Wait for those in flight for some seconds, then cancel them.

        An error of one of them that isn't a RebyteError is raised.
        """
        self._context.stop.trigger()
        if not self.in_flight:
            return
        in_flight = set(self.in_flight)
        with CancelScope(shield=True):
            _, late = await asyncio.wait(in_flight, timeout=timeout)
            for sending in late:
                sending.cancel()
            for error in await asyncio.gather(*in_flight, return_exceptions=True):
                if isinstance(error, Exception) and not isinstance(error, RebyteError):
                    raise error


@define(eq=False)
class _SendLimit:
    """Refuses to send a create when its intent is too old.

    The calendar counts besides the clock, which doesn't move on some machines while they are suspended.
    """

    context: RunContext
    _times: tuple[float, float] = field(init=False)  # when the recording of the intent began

    def __attrs_post_init__(self) -> None:
        self._times = self._read()

    def _read(self) -> tuple[float, float]:
        return self.context.time.clock(), self.context.time.wall()

    def check(self) -> None:
        """Raise where the create must not be sent any more."""
        self.context.stop.check()
        longest = self.context.tuning.send_timeout
        if max(now - then for now, then in zip(self._read(), self._times, strict=True)) > longest:
            raise ConnectError(f"not sent: its intent was recorded more than {longest:g} seconds ago", method="POST")


@define(eq=False)
class _StoppableThrottle:
    """The client's throttle, for creates: an attempt that waits here when the stop signal is given is never sent.

    Such a create has certainly made nothing: it was never sent, or this attempt repeats one that wasn't processed.
    """

    _real: Throttle
    _stop: StopSignal

    def pause(self, seconds: float) -> None:
        self._real.pause(seconds)

    @property
    def is_open(self) -> bool:
        return self._real.is_open and not self._stop.is_set

    async def wait_until_open(self) -> None:
        await self._stop.guard(self._real.wait_until_open())


def _stoppable(transport: Transport, stop: StopSignal) -> Transport:
    """Return the transport for creates: its waits before an attempt end with StoppedError when the run does."""

    async def sleep(seconds: float) -> None:
        await stop.guard(transport.time.sleep(seconds))

    return transport.with_settings(
        time=evolve(transport.time, sleep=sleep), throttle=_StoppableThrottle(transport.throttle, stop)
    )
