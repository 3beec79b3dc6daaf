"""Everything that the emulated service knows: made anew, and thrown away whole, by `Emulator.clear`."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.emulator.auth import Keys
from rebyte_async.emulator.clock import make_clock
from rebyte_async.emulator.faults.registry import FaultRegistry
from rebyte_async.emulator.generators import IdGenerator
from rebyte_async.emulator.log import TrafficLog
from rebyte_async.emulator.script.script import Scripts
from rebyte_async.emulator.signed_urls import Signer
from rebyte_async.emulator.state.collection import Collection
from rebyte_async.emulator.state.prompts import Prompt
from rebyte_async.emulator.state.sync import Gates
from rebyte_async.emulator.state.transcript import Transcript
from rebyte_async.emulator.state.workspaces import Workspaces
from rebyte_async.emulator.webhooks.log import DeliveryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from datetime import datetime

    from rebyte_async.emulator.artifacts.format import ArtifactFormat
    from rebyte_async.emulator.disk import DiskPart
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.settings import Settings
    from rebyte_async.emulator.state.agent_computers import AgentComputer, Provisioning
    from rebyte_async.emulator.state.files import File, StoredFile
    from rebyte_async.emulator.state.tasks import Task
    from rebyte_async.emulator.state.webhooks import Webhook
    from rebyte_async.emulator.stream.format import StreamFormat
    from rebyte_async.emulator.webhooks.format import DeliveryPolicy, WebhookFormat
    from rebyte_async.emulator.webhooks.key import SigningKey


_LONGEST_END = 1.0


@define(eq=False)
class State:
    """The state of the service, and what runs in it."""

    settings: Settings
    origins: Mapping[str, str]
    ids: IdGenerator
    clock: Callable[[], datetime]
    faults: FaultRegistry
    log: TrafficLog
    stream: StreamFormat
    artifact_format: ArtifactFormat
    webhook_format: WebhookFormat
    delivery: DeliveryPolicy
    webhook_key: SigningKey
    deliveries: DeliveryLog
    disabled_executors: set[str]
    signer: Signer
    disk: DiskPart
    keys: Keys = field(factory=Keys, init=False)
    tasks: Collection[Task] = field(factory=lambda: Collection["Task"]("Task"), init=False)
    computers: Collection[AgentComputer] = field(
        factory=lambda: Collection["AgentComputer"]("Agent computer"), init=False
    )
    provisionings: deque[Provisioning] = field(factory=deque["Provisioning"], init=False)
    files: Collection[File] = field(factory=lambda: Collection["File"]("File"), init=False)
    workspaces: Workspaces = field(factory=Workspaces, init=False)
    webhooks: Collection[Webhook] = field(factory=lambda: Collection["Webhook"]("Webhook"), init=False)
    scripts: Scripts = field(factory=Scripts, init=False)
    gates: Gates = field(factory=Gates, init=False)
    read_tokens: set[str] = field(factory=set[str], init=False)
    problems: list[Exception] = field(factory=list[Exception], init=False)
    exchanges: set[Exchange] = field(factory=set["Exchange"], init=False)
    _jobs: set[asyncio.Task[None]] = field(factory=set["asyncio.Task[None]"], init=False)
    _action_ids: Iterator[int] = field(factory=lambda: count(1), init=False)

    @classmethod
    def make(cls, settings: Settings, origins: Mapping[str, str], disk: DiskPart) -> State:
        """An empty service with its one key."""
        ids, clock = IdGenerator(settings.deterministic), make_clock(deterministic=settings.deterministic)
        state = cls(
            settings=settings,
            origins=origins,
            ids=ids,
            clock=clock,
            faults=FaultRegistry(settings.seed),
            log=TrafficLog(settings.log_limit),
            stream=settings.stream,
            artifact_format=settings.artifact_format,
            webhook_format=settings.webhook_format,
            delivery=settings.delivery,
            webhook_key=settings.webhook_key,
            deliveries=DeliveryLog(settings.log_limit),
            disabled_executors=set(settings.disabled_executors),
            signer=Signer(ids.token("secret_"), clock, settings.url_lifetime),
            disk=disk,
        )
        state.keys.add(settings.api_key, None)
        return state

    def make_prompt(self, text: str, skills: tuple[str, ...] = (), files: tuple[StoredFile, ...] = ()) -> Prompt:
        """A new prompt, which nobody works on yet."""
        prompt_id = self.ids.uuid()
        transcript = Transcript(prompt_id, self.stream.first_seq, self.stream.event_keys)
        now = self.clock()
        return Prompt(id=prompt_id, text=text, submitted_at=now, transcript=transcript, skills=skills, files=files)

    def next_action_id(self) -> int:
        """A number for a question."""
        return next(self._action_ids)

    def issue_read_token(self) -> str:
        """A token in a URL's query that stands in for a key."""
        token = self.ids.token("pass_")
        self.read_tokens.add(token)
        return token

    def spawn(self, job: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run something beside the requests; it ends with the state, and its failure is a problem of the emulator's."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._retire)
        return task

    def close(self) -> None:
        """Stop all that runs, and drop the connections whose requests are still being answered."""
        for job in tuple(self._jobs):
            job.cancel()
        for exchange in tuple(self.exchanges):
            exchange.abort()
            exchange.stop()

    async def ended(self) -> None:
        """Wait for what was stopped, so that it leaves nothing open; not for long, as a script may be stubborn."""
        if self._jobs:
            await asyncio.wait(tuple(self._jobs), timeout=_LONGEST_END)

    def _retire(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        error = None if job.cancelled() else job.exception()
        if isinstance(error, Exception):
            self.problems.append(error)
