"""The emulator as its users see it."""

from __future__ import annotations

import asyncio
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from rebyte_async.emulator.artifacts.format import ArtifactFormat
from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE, in_memory
from rebyte_async.emulator.disk import Disk
from rebyte_async.emulator.script.player import checked
from rebyte_async.emulator.script.script import Script
from rebyte_async.emulator.server import Server
from rebyte_async.emulator.service import State
from rebyte_async.emulator.settings import Settings
from rebyte_async.emulator.state.agent_computers import Provisioning
from rebyte_async.emulator.stream.format import StreamFormat
from rebyte_async.emulator.thread import LoopThread
from rebyte_async.emulator.webhooks.format import DeliveryPolicy, WebhookFormat
from rebyte_async.emulator.webhooks.key import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType

    from rebyte_async.emulator.faults.registry import FaultRegistry
    from rebyte_async.emulator.log import TrafficLog
    from rebyte_async.emulator.script.player import Steps
    from rebyte_async.emulator.state.artifacts import StoredArtifact
    from rebyte_async.emulator.state.files import StoredFile
    from rebyte_async.emulator.state.tasks import MadeTask
    from rebyte_async.emulator.webhooks.log import Delivery, Outcome

__all__ = ["Emulator"]

T = TypeVar("T")


class Emulator:
    """The Rebyte API on a loopback address: no key of yours, no network, no cost.

    `async with` runs it in the event loop at hand; a plain `with` runs it in a thread of its own. All that isn't
    awaited may be called from any thread.

    Args:
        host: The address to listen on.
        port: The port of the API; 0 for any that is free.
        api_key: The key that it takes; None makes one up.
        deterministic: Whether ids, tokens and times are the same in every run.
        pace: Seconds between two events of an agent that has no script.
        boot: Seconds that the making of a task takes, for the VM to come up.
        provisioning: Seconds until an agent computer is ready.
        url_lifetime: Seconds until a signed URL expires.
        folder: Where uploads and artifacts are kept; None keeps them in a temporary folder that goes when the emulator
            is closed.
        stream: How event streams look where the API leaves it open.
        artifact_format: How artifacts are shown where the API leaves it open.
        webhook_format: How webhooks look where the API leaves it open.
        delivery: How stubbornly webhooks are delivered.
        webhook_key: The RSA key that deliveries are signed with, as a PEM; None makes one up when it is needed.
        disabled_executors: The executors that the organization doesn't use.
        seed: Where the chance of faults with a probability begins.
        log_limit: How many requests the log keeps.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        deterministic: bool = False,
        pace: float = 0.02,
        boot: float = 0.0,
        provisioning: float = 0.0,
        url_lifetime: float = 3600.0,
        folder: str | Path | None = None,
        stream: StreamFormat | None = None,
        artifact_format: ArtifactFormat | None = None,
        webhook_format: WebhookFormat | None = None,
        delivery: DeliveryPolicy | None = None,
        webhook_key: str | bytes | None = None,
        disabled_executors: Iterable[str] = (),
        seed: int = 0,
        log_limit: int = 100_000,
    ) -> None:
        self._settings = Settings(
            api_key=api_key or _make_key(deterministic=deterministic),
            deterministic=deterministic,
            pace=pace,
            boot=boot,
            provisioning=provisioning,
            url_lifetime=url_lifetime,
            stream=stream or StreamFormat(),
            artifact_format=artifact_format or ArtifactFormat(),
            webhook_format=webhook_format or WebhookFormat(),
            delivery=delivery or DeliveryPolicy(),
            webhook_key=SigningKey(webhook_key.encode() if isinstance(webhook_key, str) else webhook_key),
            disabled_executors=frozenset(disabled_executors),
            seed=seed,
            log_limit=log_limit,
        )
        self._origins: dict[str, str] = {}
        self._disk = Disk(None if folder is None else Path(folder))
        self._state = self._new_state()
        self._server = Server(host, port, self._current_state, self._origins)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None

    @property
    def url(self) -> str:
        """The base URL for clients, which ends in `/v1`."""
        return f"{self._origin('api')}/v1"

    @property
    def storage_url(self) -> str:
        """The other origin, where signed URLs and redirects lead to."""
        return self._origin("storage")

    @property
    def api_key(self) -> str:
        """A key that may do everything."""
        return self._settings.api_key

    @property
    def faults(self) -> FaultRegistry:
        """What goes wrong."""
        return self._state.faults

    @property
    def log(self) -> TrafficLog:
        """Every request so far."""
        return self._state.log

    @property
    def tasks(self) -> tuple[MadeTask, ...]:
        """The tasks that were made and not deleted, oldest first."""
        return tuple(task.made() for task in tuple(self._state.tasks.oldest_first()))

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The files that were uploaded, in the order in which they were announced."""
        announced = tuple(self._state.files.oldest_first())
        return tuple(file.stored for file in announced if file.stored is not None)

    @property
    def stream(self) -> StreamFormat:
        """How event streams look where the API leaves it open; what is set here holds until `clear`."""
        return self._state.stream

    @stream.setter
    def stream(self, stream: StreamFormat) -> None:
        self._state.stream = stream

    @property
    def artifact_format(self) -> ArtifactFormat:
        """How artifacts are shown where the API leaves it open; what is set here holds until `clear`."""
        return self._state.artifact_format

    @artifact_format.setter
    def artifact_format(self, artifact_format: ArtifactFormat) -> None:
        self._state.artifact_format = artifact_format

    @property
    def webhook_format(self) -> WebhookFormat:
        """How webhooks look where the API leaves it open; what is set here holds until `clear`."""
        return self._state.webhook_format

    @webhook_format.setter
    def webhook_format(self, webhook_format: WebhookFormat) -> None:
        self._state.webhook_format = webhook_format

    @property
    def delivery(self) -> DeliveryPolicy:
        """How stubbornly webhooks are delivered; what is set here holds until `clear`."""
        return self._state.delivery

    @delivery.setter
    def delivery(self, delivery: DeliveryPolicy) -> None:
        self._state.delivery = delivery

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What webhooks were told, and what became of it, oldest first; ask again to see how one goes on."""
        return self._state.deliveries.all()

    def artifacts(self, workspace_id: str) -> tuple[StoredArtifact, ...]:
        """The artifacts of a workspace, the oldest name first; none if there is no such workspace."""
        workspace = self._state.workspaces.find(workspace_id)
        return () if workspace is None else tuple(workspace.artifacts.values())

    def put_artifact(
        self, workspace_id: str, name: str, data: str | bytes, *, content_type: str = DEFAULT_TYPE
    ) -> StoredArtifact:
        """Put an artifact into a workspace, in place of an older one of its name.

        Args:
            workspace_id: The workspace, which is made if there is none.
            name: The artifact's name.
            data: What is in it; it is kept in memory.
            content_type: Its type.

        Returns:
            The artifact.
        """
        content = data.encode() if isinstance(data, str) else data
        workspace = self._state.workspaces.make(workspace_id)
        workspace.place(in_memory(self._state, workspace, name, content_type, content))
        return workspace.artifact(name)

    def script(self, *steps: Steps, prompt: str | re.Pattern[str] | None = None, times: int | None = 1) -> Script:
        """Say what the agent does with prompts to come, of new tasks and of old ones.

        Scripts for a number of prompts come first, in the order in which they were given; then those for every prompt,
        the newest first; a prompt without any gets a short default_script turn. A script without an ending succeeds.

        Args:
            steps: The steps, single or in lists; one may be a function that takes the `Turn` and returns steps.
            prompt: A regular expression: the script is for prompts in which it is found; None for any.
            times: For how many prompts it is; None for every one.

        Returns:
            The script, which counts how often it was played.

        Raises:
            TypeError: There is something among the steps that can't be played.
        """
        script = Script(checked(steps), None if prompt is None else re.compile(prompt), times)
        self._state.scripts.add(script)
        return script

    def release(self, name: str = "gate") -> None:
        """Let go on whoever waits, or will wait, in a `hold` of this name."""
        gate = self._state.gates[name]
        self._soon(gate.opened.set)

    async def reached(self, name: str = "gate", *, count: int = 1) -> None:
        """Wait until so many agents have come to a `hold` of this name."""
        await self._inside(self._state.gates[name].reached(count))

    async def delivered(
        self,
        event: str | None = None,
        *,
        task_id: str | None = None,
        count: int = 1,
        outcome: Outcome = "delivered",
    ) -> tuple[Delivery, ...]:
        """Wait until so many deliveries of a kind were taken by their receivers.

        Args:
            event: The event, such as `task.completed`; None for any.
            task_id: The task that they are about; None for any.
            count: How many.
            outcome: What became of them, if they weren't delivered: `failed`, `skipped` or `dropped`.

        Returns:
            All deliveries of the kind, oldest first; they may be more than `count`.
        """
        return await self._inside(self._state.deliveries.settled(event, task_id, outcome, count))

    def add_key(self, key: str | None = None, *, scopes: Iterable[str] | None = None) -> str:
        """Make another key that is let in, until `clear`.

        Args:
            key: The key; None makes one up.
            scopes: What it may do, such as `tasks:read` and `tasks:write`; None for everything.

        Returns:
            The key.
        """
        key = key or self._state.ids.token("rbk_")
        self._state.keys.add(key, None if scopes is None else frozenset(scopes))
        return key

    def provision(self, *, seconds: float = 0.0, hold: str | None = None, error: str | None = None) -> None:
        """Say how the next agent computer comes up that has no such word yet.

        Args:
            seconds: How long it takes.
            hold: A gate that it waits for, as in `hold`.
            error: Why it doesn't come up; None lets it be ready.
        """
        self._state.provisionings.append(Provisioning(seconds=seconds, hold=hold, error=error))

    def expire_urls(self) -> None:
        """Let every signed URL expire that was handed out so far."""
        self._state.signer.expire()

    def disable_executor(self, name: str) -> None:
        """Refuse tasks for an executor, until `clear`."""
        self._state.disabled_executors.add(name)

    def clear(self) -> None:
        """Forget everything: tasks, keys that were added, scripts, faults, the log; what still runs is stopped."""
        old, self._state = self._state, self._new_state()
        if self._loop is not None:
            self._soon(old.close)

    def check(self) -> None:
        """Raise what failed inside the emulator or in a script's functions.

        Raises:
            ExceptionGroup: Something did; its members say what.
        """
        problems = tuple(self._state.problems)
        self._state.problems.clear()
        if problems:
            raise ExceptionGroup("the emulator failed", problems)

    async def start(self) -> None:
        """Start listening, in the running event loop.

        Raises:
            OSError: The port is taken, or the host isn't this machine's.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._server.start()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop all that runs, and close every connection."""
        self._state.close()
        await self._state.ended()
        await self._server.stop()
        await self._disk.clean()
        self._origins.clear()
        self._loop = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        self._thread.start()
        try:
            self._thread.run(self.start())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.run(self.aclose())
            self._thread.stop()
            self._thread = None

    def __repr__(self) -> str:
        return f"<Emulator {self._origins.get('api', 'not running')}>"

    def _new_state(self) -> State:
        return State.make(self._settings, self._origins, self._disk.part())

    def _current_state(self) -> State:
        return self._state

    def _origin(self, name: str) -> str:
        self._running()
        return self._origins[name]

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the emulator isn't running: enter it with `async with` or `with` first")
        return self._loop

    async def _inside(self, job: Coroutine[object, object, T]) -> T:
        loop = self._running()
        if asyncio.get_running_loop() is loop:
            return await job
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(job, loop))

    def _soon(self, action: Callable[[], None]) -> None:
        self._running().call_soon_threadsafe(action)


def _make_key(*, deterministic: bool) -> str:
    return "rbk_emulator" if deterministic else f"rbk_{secrets.token_hex(16)}"
