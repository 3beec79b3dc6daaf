"""The state of the emulated service: created anew, and thrown away as a whole, by `Emulator.clear`."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import datetime
from itertools import count
from typing import Protocol

from attrs import define, evolve, field

from rebyte_async.emulator.artifacts.storage import ArtifactStore
from rebyte_async.emulator.auth import UrlSigner
from rebyte_async.emulator.disk import DiskPart
from rebyte_async.emulator.faults.registry import FaultRegistry
from rebyte_async.emulator.generators import IdGenerator, make_clock
from rebyte_async.emulator.log import TrafficLog
from rebyte_async.emulator.script.script import Scripts
from rebyte_async.emulator.settings import Formats, Settings
from rebyte_async.emulator.state.agent_computers import AgentComputer, Provisioning
from rebyte_async.emulator.state.files import File, StoredFile, Workspace
from rebyte_async.emulator.state.primitives import Collection, Latch
from rebyte_async.emulator.state.prompts import Prompt, Transcript
from rebyte_async.emulator.state.tasks import Task
from rebyte_async.emulator.state.webhooks import Webhook
from rebyte_async.emulator.webhooks.delivery import DeliveryWorker
from rebyte_async.emulator.webhooks.log import DeliveryLog
from rebyte_async.emulator.webhooks.message import SigningKey

_CLOSE_TIMEOUT = 1.0


class Cancellable(Protocol):
    """An exchange that can be cancelled."""

    def cancel(self) -> None: ...


@define(eq=False)
class State:
    """Everything that the service knows, and what runs in it."""

    settings: Settings
    origins: Mapping[str, str]
    """The URLs of both origins by name: `api` and `storage`."""
    disk: DiskPart
    signing_key: SigningKey
    formats: Formats = field(init=False)
    ids: IdGenerator = field(init=False)
    clock: Callable[[], datetime] = field(init=False)
    faults: FaultRegistry = field(init=False)
    log: TrafficLog = field(init=False)
    artifacts: ArtifactStore = field(init=False)
    signer: UrlSigner = field(init=False)
    disabled_executors: set[str] = field(init=False)
    scripts: Scripts = field(init=False)
    keys: dict[str, frozenset[str] | None] = field(init=False)
    """The keys that exist, each with its scopes (None: all of them)."""
    read_tokens: set[str] = field(factory=set[str], init=False)
    """Tokens in a URL's query that replace a key."""
    tasks: Collection[Task] = field(factory=lambda: Collection[Task]("Task"), init=False)
    agent_computers: Collection[AgentComputer] = field(
        factory=lambda: Collection[AgentComputer]("Agent computer"), init=False
    )
    provisionings: deque[Provisioning] = field(factory=deque[Provisioning], init=False)
    """How the next agent computers are provisioned, where a test has set it."""
    files: Collection[File] = field(factory=lambda: Collection[File]("File"), init=False)
    workspaces: Collection[Workspace] = field(factory=lambda: Collection[Workspace]("Workspace"), init=False)
    webhooks: Collection[Webhook] = field(factory=lambda: Collection[Webhook]("Webhook"), init=False)
    delivery_log: DeliveryLog = field(init=False)
    deliveries: DeliveryWorker = field(init=False)
    latches: defaultdict[str, Latch] = field(factory=lambda: defaultdict[str, Latch](Latch), init=False)
    """Each is created when its name is first used."""
    action_ids: Iterator[int] = field(factory=lambda: count(1), init=False)
    problems: list[Exception] = field(factory=list[Exception], init=False)
    """What failed inside the emulator, for `Emulator.check`."""
    open_exchanges: set[Cancellable] = field(factory=set[Cancellable], init=False)
    _jobs: set[asyncio.Task[None]] = field(factory=set[asyncio.Task[None]], init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.formats = evolve(settings.formats)
        self.ids = IdGenerator(settings.deterministic)
        self.clock = make_clock(deterministic=settings.deterministic)
        self.faults = FaultRegistry(settings.seed)
        self.log = TrafficLog(settings.log_limit)
        self.artifacts = ArtifactStore(self.disk, self.clock)
        self.signer = UrlSigner(self.ids.token("secret_"), self.clock, settings.url_lifetime_seconds)
        self.disabled_executors = set(settings.disabled_executors)
        self.scripts = Scripts(settings.pace_seconds)
        self.keys = {settings.api_key: None}
        self.delivery_log = DeliveryLog(settings.log_limit)
        self.deliveries = DeliveryWorker(
            webhooks=self.webhooks,
            log=self.delivery_log,
            faults=self.faults,
            formats=self.formats,
            key=self.signing_key,
            clock=self.clock,
            spawn=self.spawn,
        )

    def create_prompt(self, text: str, skills: tuple[str, ...] = (), files: tuple[StoredFile, ...] = ()) -> Prompt:
        prompt_id = self.ids.uuid()
        transcript = Transcript(prompt_id, self.formats.stream.first_seq, self.formats.stream.event_keys)
        now = self.clock()
        return Prompt(id=prompt_id, text=text, submitted_at=now, transcript=transcript, skills=skills, files=files)

    def issue_read_token(self) -> str:
        """Create a token for a URL's query that replaces a key."""
        token = self.ids.token("pass_")
        self.read_tokens.add(token)
        return token

    def spawn(self, job: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background until `close`; its failure is a problem of the emulator."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._finish_job)
        return task

    def close(self) -> None:
        """Stop everything that runs, and break the connections of open exchanges."""
        for job in tuple(self._jobs):  # a job that ends leaves the set
            job.cancel()
        for exchange in tuple(self.open_exchanges):
            exchange.cancel()

    async def wait_closed(self) -> None:
        """Wait until the stopped jobs have ended, for at most a second: a script may refuse to stop."""
        if self._jobs:
            await asyncio.wait(tuple(self._jobs), timeout=_CLOSE_TIMEOUT)

    def _finish_job(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        error = None if job.cancelled() else job.exception()
        if isinstance(error, Exception):
            self.problems.append(error)
