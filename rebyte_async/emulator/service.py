"""The state of the emulated service: created anew, and thrown away as a whole, by `Emulator.clear`."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar

from attrs import evolve

from rebyte_async.emulator.artifacts.storage import ArtifactStore
from rebyte_async.emulator.auth import UrlSigner
from rebyte_async.emulator.disk import DiskPart
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.faults.registry import FaultRegistry
from rebyte_async.emulator.generators import IdGenerator, make_clock
from rebyte_async.emulator.log import TrafficLog
from rebyte_async.emulator.script.script import Scripts
from rebyte_async.emulator.settings import Formats
from rebyte_async.emulator.state.agent_computers import AgentComputer, Provisioning
from rebyte_async.emulator.state.files import File, StoredFile, Workspace
from rebyte_async.emulator.state.primitives import Collection, Latch
from rebyte_async.emulator.state.prompts import Prompt, Transcript
from rebyte_async.emulator.state.tasks import Task
from rebyte_async.emulator.state.webhooks import Webhook
from rebyte_async.emulator.webhooks.delivery import DeliveryWorker
from rebyte_async.emulator.webhooks.log import DeliveryLog
from rebyte_async.emulator.webhooks.message import SigningKey

T = TypeVar("T")

_CLOSE_TIMEOUT = 1.0


class State:
    """Everything that the service knows, and what runs in it; `origins` has the URLs of both origins by name."""

    def __init__(
        self,
        disk: DiskPart,
        *,
        api_key: str,
        deterministic: bool,
        pace_seconds: float,
        boot_seconds: float,
        provisioning_seconds: float,
        url_lifetime_seconds: float,
        formats: Formats,
        disabled_executors: Iterable[str],
        signing_key: SigningKey,
        origins: Mapping[str, str],
        seed: int,
        log_limit: int,
    ) -> None:
        self.disk = disk
        self.boot_seconds = boot_seconds
        self.provisioning_seconds = provisioning_seconds
        self.formats = evolve(formats)
        self.signing_key = signing_key
        self.origins = origins
        self.ids = IdGenerator(deterministic)
        self.clock = make_clock(deterministic=deterministic)
        self.faults = FaultRegistry(seed)
        self.log = TrafficLog(log_limit)
        self.artifacts = ArtifactStore(disk, self.clock)
        self.signer = UrlSigner(self.ids.token("secret_"), self.clock, url_lifetime_seconds)
        self.disabled_executors = set(disabled_executors)
        self.scripts = Scripts(pace_seconds)
        self.keys: dict[str, frozenset[str] | None] = {api_key: None}  # each with its scopes; None: all of them
        self.read_tokens = set[str]()  # tokens in a URL's query that replace a key
        self.tasks = Collection[Task]("Task")
        self.agent_computers = Collection[AgentComputer]("Agent computer")
        self.provisionings = deque[Provisioning]()  # of the next agent computers, where a test has set them
        self.files = Collection[File]("File")
        self.workspaces = Collection[Workspace]("Workspace")
        self.webhooks = Collection[Webhook]("Webhook")
        self.delivery_log = DeliveryLog(log_limit)
        self.deliveries = DeliveryWorker(
            self.webhooks, self.delivery_log, self.faults, self.formats, signing_key, self.clock, self.spawn
        )
        self.latches = defaultdict[str, Latch](Latch)  # each is created when its name is first used
        self.action_ids: Iterator[int] = count(1)
        self.problems: list[Exception] = []  # what failed inside the emulator, for `Emulator.check`
        self.open_exchanges = set[Exchange]()
        self._jobs = set[asyncio.Task[None]]()
        self._waits = set[asyncio.Task[Any]]()  # of tests, for something in this state
        self._is_closed = False

    def create_prompt(self, text: str, skills: tuple[str, ...] = (), files: tuple[StoredFile, ...] = ()) -> Prompt:
        prompt_id = self.ids.uuid()
        transcript = Transcript(prompt_id, self.formats.stream.first_seq, self.formats.stream.event_keys)
        now = self.clock()
        return Prompt(id=prompt_id, text=text, submitted_at=now, transcript=transcript, skills=skills, files=files)

    def sign_url(self, method: str, path: str, content_type: str = "") -> str:
        """Return the signed URL of a path of the storage."""
        return self.origins["storage"] + self.signer.sign(method, path, content_type)

    def issue_read_token(self) -> str:
        token = self.ids.token("pass_")
        self.read_tokens.add(token)
        return token

    def spawn(self, job: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background until `close`; its failure is a problem of the emulator."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._finish_job)
        return task

    async def run_until_closed(self, wait: Coroutine[object, object, T]) -> T:
        """Run a test's wait, or raise a `RuntimeError` once nothing can end it any more."""
        task = asyncio.get_running_loop().create_task(wait)
        self._waits.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if self._is_closed:
                raise RuntimeError("the emulator was cleared or closed in the meantime") from None
            raise
        finally:
            self._waits.discard(task)

    def close(self) -> None:
        """Stop everything that runs, and break the connections of open exchanges."""
        self._is_closed = True
        for wait in tuple(self._waits):
            wait.cancel()
        for job in tuple(self._jobs):  # a job that ends leaves the set
            job.cancel()
        for exchange in tuple(self.open_exchanges):
            exchange.connection.abort()
            exchange.stop()

    async def wait_closed(self) -> None:
        """Wait until the stopped jobs have ended, for at most a second: a script may refuse to stop."""
        if self._jobs:
            await asyncio.wait(tuple(self._jobs), timeout=_CLOSE_TIMEOUT)

    def _finish_job(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        error = None if job.cancelled() else job.exception()
        if isinstance(error, Exception):
            self.problems.append(error)
