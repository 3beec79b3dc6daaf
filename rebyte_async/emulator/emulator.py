"""The emulator, as tests use it."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any, Self, TypeVar

from attrs import define, field

from rebyte_async.emulator.artifacts.storage import DEFAULT_TYPE
from rebyte_async.emulator.disk import Disk
from rebyte_async.emulator.document import Document, load_document, read_document
from rebyte_async.emulator.endpoints.control import apply_document
from rebyte_async.emulator.faults.registry import FaultRegistry
from rebyte_async.emulator.log import TrafficLog
from rebyte_async.emulator.script.player import Steps, flatten_steps
from rebyte_async.emulator.script.script import Script
from rebyte_async.emulator.server import Server
from rebyte_async.emulator.service import State
from rebyte_async.emulator.settings import (
    AgentComputerFormat,
    ArtifactFormat,
    DeliveryPolicy,
    Executor,
    Formats,
    StreamFormat,
    WebhookFormat,
)
from rebyte_async.emulator.state.agent_computers import Provisioning
from rebyte_async.emulator.state.files import StoredArtifact, StoredFile, Workspace
from rebyte_async.emulator.state.tasks import MadeTask
from rebyte_async.emulator.webhooks.log import Delivery, Outcome
from rebyte_async.emulator.webhooks.message import SigningKey

T = TypeVar("T")


class Emulator:
    """The Rebyte API on a loopback address: without a real key, a network or costs.

    `async with` runs it in the current event loop, a plain `with` in a thread with its own loop. Everything that isn't
    awaited may be called from any thread.

    Args:
        host: The address to listen on.
        port: The port of the API; 0 for a free one.
        storage_port: The port of the storage, which signed URLs lead to; 0 for a free one.
        api_key: The key that it accepts; None generates one.
        deterministic: Whether ids, tokens and times are the same in every run.
        pace: Seconds between two events of an agent without a script.
        boot: Seconds that the creation of a task takes, while its VM boots.
        provisioning: Seconds until an agent computer is ready.
        url_lifetime: Seconds until a signed URL expires.
        folder: The folder for uploads and artifacts; None keeps them in a temporary folder that is removed when the
            emulator is closed.
        stream: The form of event streams where the API leaves it open.
        agent_computer_format: The form of agent computers where the API leaves it open.
        artifact_format: The form of artifacts where the API leaves it open.
        webhook_format: The form of webhooks where the API leaves it open.
        delivery: How often and how fast the delivery of webhooks is tried.
        webhook_key: The RSA key that deliveries are signed with, as a PEM; None generates one at first use.
        disabled_executors: The executors that the organization doesn't use.
        seed: Seeds the faults with a probability.
        log_limit: How many requests the log keeps.
        ssl: The certificate and key to serve https with, on both origins; None serves http.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _thread: _LoopThread | None = None

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        storage_port: int = 0,
        api_key: str | None = None,
        deterministic: bool = False,
        pace: float = 0.02,
        boot: float = 0.0,
        provisioning: float = 0.0,
        url_lifetime: float = 3600.0,
        folder: str | Path | None = None,
        stream: StreamFormat | None = None,
        agent_computer_format: AgentComputerFormat | None = None,
        artifact_format: ArtifactFormat | None = None,
        webhook_format: WebhookFormat | None = None,
        delivery: DeliveryPolicy | None = None,
        webhook_key: str | bytes | None = None,
        disabled_executors: Iterable[Executor] = (),
        seed: int = 0,
        log_limit: int = 100_000,
        ssl: SSLContext | None = None,
    ) -> None:
        self._api_key = api_key or ("rbk_emulator" if deterministic else f"rbk_{secrets.token_hex(16)}")
        self._origins: dict[str, str] = {}
        self._create_state = partial(  # for the start, and after each `clear`
            State,
            api_key=self._api_key,
            deterministic=deterministic,
            pace_seconds=pace,
            boot_seconds=boot,
            provisioning_seconds=provisioning,
            url_lifetime_seconds=url_lifetime,
            formats=Formats(
                stream=stream or StreamFormat(),
                agent_computer=agent_computer_format or AgentComputerFormat(),
                artifact=artifact_format or ArtifactFormat(),
                webhook=webhook_format or WebhookFormat(),
                delivery=delivery or DeliveryPolicy(),
            ),
            disabled_executors=frozenset(disabled_executors),
            signing_key=SigningKey(webhook_key.encode() if isinstance(webhook_key, str) else webhook_key),
            origins=self._origins,
            seed=seed,
            log_limit=log_limit,
        )
        self._disk = Disk(None if folder is None else Path(folder))
        self._state = self._create_state(self._disk.new_part())
        self._server = Server(host, (port, storage_port), lambda: self._state, self._origins, ssl)

    @property
    def url(self) -> str:
        """The base URL for clients, which ends in `/v1`."""
        return f"{self._origin('api')}/v1"

    @property
    def storage_url(self) -> str:
        """The other origin, which signed URLs and redirects lead to."""
        return self._origin("storage")

    @property
    def api_key(self) -> str:
        """A key with all scopes."""
        return self._api_key

    @property
    def faults(self) -> FaultRegistry:
        """The faults in force."""
        return self._state.faults

    @property
    def log(self) -> TrafficLog:
        """Every request so far."""
        return self._state.log

    @property
    def tasks(self) -> tuple[MadeTask, ...]:
        """The tasks that were created and not deleted, oldest first."""
        return tuple(task.snapshot() for task in tuple(self._state.tasks.values()))

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The files that were uploaded, in the order in which they were announced."""
        announced = tuple(self._state.files.values())
        return tuple(file.stored for file in announced if file.stored is not None)

    @property
    def stream(self) -> StreamFormat:
        """The form of event streams where the API leaves it open; may be set, until `clear`."""
        return self._state.formats.stream

    @stream.setter
    def stream(self, stream: StreamFormat) -> None:
        self._state.formats.stream = stream

    @property
    def agent_computer_format(self) -> AgentComputerFormat:
        """The form of agent computers where the API leaves it open; may be set, until `clear`."""
        return self._state.formats.agent_computer

    @agent_computer_format.setter
    def agent_computer_format(self, agent_computer_format: AgentComputerFormat) -> None:
        self._state.formats.agent_computer = agent_computer_format

    @property
    def artifact_format(self) -> ArtifactFormat:
        """The form of artifacts where the API leaves it open; may be set, until `clear`."""
        return self._state.formats.artifact

    @artifact_format.setter
    def artifact_format(self, artifact_format: ArtifactFormat) -> None:
        self._state.formats.artifact = artifact_format

    @property
    def webhook_format(self) -> WebhookFormat:
        """The form of webhooks where the API leaves it open; may be set, until `clear`."""
        return self._state.formats.webhook

    @webhook_format.setter
    def webhook_format(self, webhook_format: WebhookFormat) -> None:
        self._state.formats.webhook = webhook_format

    @property
    def delivery(self) -> DeliveryPolicy:
        """How often and how fast the delivery of webhooks is tried; may be set, until `clear`."""
        return self._state.formats.delivery

    @delivery.setter
    def delivery(self, delivery: DeliveryPolicy) -> None:
        self._state.formats.delivery = delivery

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The deliveries to webhooks as they are now, oldest first."""
        return self._state.delivery_log.all()

    def artifacts(self, workspace_id: str) -> tuple[StoredArtifact, ...]:
        """Return the artifacts of a workspace, the oldest name first; none if there is no such workspace."""
        workspace = self._state.workspaces.get(workspace_id)
        return () if workspace is None else tuple(workspace.artifacts.values())

    def put_artifact(
        self, workspace_id: str, name: str, data: str | bytes, *, content_type: str = DEFAULT_TYPE
    ) -> StoredArtifact:
        """Store an artifact in a workspace, in place of an older one with its name.

        Args:
            workspace_id: The workspace, which is created if there is none.
            name: The artifact's name.
            data: Its content, which is kept in memory.
            content_type: Its type.

        Returns:
            The artifact.
        """
        content = data.encode() if isinstance(data, str) else data
        workspace = self._state.workspaces.setdefault(workspace_id, Workspace(workspace_id))
        return self._state.artifacts.publish_in_memory(workspace, name, content_type, content)

    def script(self, *steps: Steps, prompt: str | re.Pattern[str] | None = None, times: int | None = 1) -> Script:
        """Set what the agent does with future prompts, of new and of existing tasks.

        Scripts for a number of prompts come first, in the order in which they were set; then those for every prompt,
        the newest first; a prompt without a script gets a short, plausible turn. A script without an end succeeds.

        Args:
            steps: The steps, single or in lists; a step may be a function that takes the `Turn` and returns steps.
            prompt: A regular expression that is searched for in the prompt; None for any prompt.
            times: The number of prompts that the script is for; None for every one.

        Returns:
            The script, which counts how often it was played.

        Raises:
            TypeError: Something among the steps can't be played.
        """
        script = Script(flatten_steps(steps), None if prompt is None else re.compile(prompt), times)
        self._state.scripts.add(script)
        return script

    def load(self, document: Document | Path | Mapping[str, Any]) -> None:
        """Set scripts and faults from a document: a file, YAML or JSON, or its JSON.

        Raises:
            ScriptError: It can't be read; the message has the file, the place, and what would be right. A `ValueError`.
        """
        if not isinstance(document, Document):
            document = load_document(document) if isinstance(document, Path) else read_document(dict(document))
        apply_document(self._state, document)
        for name in document.release:
            self.release(name)

    def release(self, name: str = "gate") -> None:
        """Let all agents continue that wait, or will wait, in a `hold` with this name."""
        self._running_loop().call_soon_threadsafe(self._state.latches[name].opened.set)

    async def reached(self, name: str = "gate", *, count: int = 1) -> None:
        """Wait until `count` agents have reached a `hold` with this name.

        Raises:
            RuntimeError: The emulator was cleared or closed in the meantime.
        """
        await self._run_inside(self._state.latches[name].wait_for_arrivals(count))

    async def delivered(
        self,
        event: str | None = None,
        *,
        task_id: str | None = None,
        count: int = 1,
        outcome: Outcome = "delivered",
    ) -> tuple[Delivery, ...]:
        """Wait for deliveries of one kind that have an outcome.

        Args:
            event: The event, such as `task.completed`; None for any.
            task_id: The task that they are about; None for any.
            count: How many deliveries to wait for.
            outcome: Their outcome: `delivered`, `failed`, `skipped` or `dropped`.

        Returns:
            All deliveries of the kind, oldest first, which may be more than `count`.

        Raises:
            RuntimeError: The deliveries have ended with another outcome, or the emulator was cleared or closed.
        """
        return await self._run_inside(self._state.delivery_log.wait_for(event, task_id, outcome, count))

    def add_key(self, key: str | None = None, *, scopes: Iterable[str] | None = None) -> str:
        """Accept another key, until `clear`.

        Args:
            key: The key; None generates one.
            scopes: Its scopes, such as `tasks:read` and `tasks:write`; None for all.

        Returns:
            The key.
        """
        key = key or self._state.ids.token("rbk_")
        self._state.keys[key] = None if scopes is None else frozenset(scopes)
        return key

    def provision(self, *, seconds: float = 0.0, hold: str | None = None, error: str | None = None) -> None:
        """Set how the next agent computer is provisioned; calls add up, one for each agent computer.

        Args:
            seconds: How long it takes.
            hold: A name to wait for, as in `hold`.
            error: Why it fails; None lets it succeed.
        """
        self._state.provisionings.append(Provisioning(seconds=seconds, hold=hold, error=error))

    def expire_urls(self) -> None:
        """Let every signed URL expire that was issued so far."""
        self._state.signer.expire_all()

    def disable_executor(self, name: Executor) -> None:
        """Refuse tasks for an executor, until `clear`."""
        self._state.disabled_executors.add(name)

    def clear(self) -> None:
        """Forget everything (tasks, added keys, scripts, faults, the log), and stop everything that runs."""
        # New requests get the new state at once. What runs in the old one can only be stopped in the emulator's loop.
        old, self._state = self._state, self._create_state(self._disk.new_part())
        if self._loop is not None:
            self._loop.call_soon_threadsafe(old.close)

    def check(self) -> None:
        """Raise what failed inside the emulator or in a function of a script.

        Raises:
            ExceptionGroup: Something failed; its members are the failures.
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
        """Stop everything that runs, close every connection, and remove the temporary folder."""
        try:
            self._state.close()
            await self._state.wait_closed()
            await self._server.stop()
        finally:  # also when the wait is cut short
            await self._disk.clean()
            self._origins.clear()
            self._loop = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self._thread = _LoopThread()
        self._thread.start()
        try:
            self._thread.run(self.start())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.run(self.aclose())
            self._thread.stop()
            self._thread = None

    def __repr__(self) -> str:
        return f"<Emulator {self._origins.get('api', 'not running')}>"

    def _origin(self, name: str) -> str:
        self._running_loop()
        return self._origins[name]

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the emulator isn't running: enter it with `async with` or `with` first")
        return self._loop

    async def _run_inside(self, wait: Coroutine[object, object, T]) -> T:
        loop, job = self._running_loop(), self._state.run_until_closed(wait)
        if asyncio.get_running_loop() is loop:
            return await job
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(job, loop))


@define(eq=False)
class _LoopThread:
    """An event loop in its own thread, for an emulator that no test's loop can block.

    anyio's portal would wait for every task at the end, also for that of a script that refuses to stop.
    """

    loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop, init=False)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self.loop.run_forever, name="rebyte-emulator", daemon=True)
        self._thread.start()

    def run(self, job: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self.loop).result()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
