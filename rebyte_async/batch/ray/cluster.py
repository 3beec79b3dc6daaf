"""The actors of a batch, as the driver calls them, whatever happens to their processes and machines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from anyio import CancelScope
from attrs import define, field

from rebyte_async._clock import intervals
from rebyte_async.batch.progress import BatchProgress
from rebyte_async.batch.ray.actor import WorkerActor, WorkerReport
from rebyte_async.batch.ray.settings import check_no_key, import_ray
from rebyte_async.errors import BatchError, ConfigurationError

_log = logging.getLogger("rebyte_async")

_PATIENCE = 1.0
"""Seconds after which a worker reports, even if nothing has ended."""
_LONGEST_STOP = 30.0
"""Seconds that a worker may take to wait for its creates, cancel its tasks if asked to, and close its journal."""
_LONGEST_STOP_UNSEEN = 3.0
"""The same for one that has never reported: it has hardly begun, and Ray may not have started it."""


@define(eq=False)
class RemoteWorker:
    """A worker in an actor."""

    number: int
    handle: Any
    most_losses: int = 100
    """Calls that may be lost in a row: three minutes and more, in which a machine is replaced."""
    progress: BatchProgress = field(factory=BatchProgress, init=False)
    """The figures of its last report."""
    has_reported: bool = field(default=False, init=False)
    """Whether it has ever reported: until then, Ray may not have started it."""
    reporting: CancelScope = field(factory=CancelScope, init=False)
    """Ends the wait for its reports."""

    async def report(self) -> WorkerReport:
        """Return what the worker has done since its last report.

        A process that died is waited for, since Ray starts another one. What it had not reported is in the journal.

        Raises:
            BatchError: Ray doesn't start it again, or can't.
        """
        errors = import_ray().exceptions
        delays = intervals(0.1, factor=1.5, longest=2.0)
        for _ in range(self.most_losses):
            try:
                report: WorkerReport = await self.handle.report.remote(_PATIENCE)
            except (errors.ActorDiedError, errors.ActorUnschedulableError) as error:
                raise BatchError(f"worker {self.number} has died, and isn't restarted: {_first_line(error)}") from None
            except errors.RayTaskError as error:
                raise BatchError(f"worker {self.number} has failed: {_first_line(error.cause)}") from None
            except errors.RayError as error:
                _log.warning("worker %d is lost, and Ray restarts it: %s", self.number, _first_line(error))
                await asyncio.sleep(next(delays))
            else:
                self.progress = report.progress
                self.has_reported = True
                return report
        raise BatchError(f"worker {self.number} can't be reached any more")

    async def stop(self) -> None:
        """End the worker, so that it gives back what it has, and remove its actor."""
        ray = import_ray()
        patience = _LONGEST_STOP if self.has_reported else _LONGEST_STOP_UNSEEN
        with suppress(ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(self.handle.stop.remote(), patience)
        await asyncio.to_thread(ray.kill, self.handle)


def _first_line(error: object) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]:.300}"


def start_actors(packed: bytes, count: int, *, max_restarts: int, actor_options: Mapping[str, Any]) -> list[Any]:
    """Ask Ray for the actors of a batch. It starts them as there is room for them. This blocks.

    Raises:
        ConfigurationError: Ray refuses the options.
    """
    ray = import_ray()
    options = {"scheduling_strategy": "SPREAD", "num_cpus": 1, **actor_options}
    try:
        actor = ray.remote(WorkerActor).options(**options, max_restarts=max_restarts, max_task_retries=0)
        return [actor.remote(packed) for _ in range(count)]
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"actor_options: {error}") from error


def check_cluster(actor_options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError if there is no Ray to work with, or if what it is to be given has a key in it."""
    ray = import_ray()
    if not ray.is_initialized():
        raise ConfigurationError("Ray isn't running here: call ray.init() first, in a cluster too")
    check_no_key(repr(dict(actor_options)).encode())
