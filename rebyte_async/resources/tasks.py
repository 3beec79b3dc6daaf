"""Tasks: create, read, prompt, follow, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from attrs import field, frozen

from rebyte_async._wire import endpoints, models
from rebyte_async.errors import InvalidRequestError
from rebyte_async.resources.answers import answer_body
from rebyte_async.resources.arguments import prompt_text, skill_names, with_extra
from rebyte_async.resources.files import Files, attaching
from rebyte_async.resources.options import OPTIONS, CreateOptions, TaskOptions, spell_out_options
from rebyte_async.resources.pages import Listing
from rebyte_async.resources.reading import (
    TransportTurnSource,
    error_context,
    read_content,
    read_prompt_events,
    read_task,
)
from rebyte_async.resources.runs import TaskRun
from rebyte_async.resources.started import decode_started
from rebyte_async.resources.waiting import CreationGrace, TaskPoller, wait_for_end, wait_with_hints
from rebyte_async.streams import TaskEventStream
from rebyte_async.types.tasks import Prompt, Task, Visibility, VisibilitySetting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rebyte_async._transport import Transport
    from rebyte_async.resources.sources import Attachment
    from rebyte_async.types.events import QuestionEvent, TaskEvent
    from rebyte_async.types.files import FileRef
    from rebyte_async.types.pages import Page
    from rebyte_async.types.tasks import TaskContent
    from rebyte_async.types.webhooks import TaskCompletionHints

__all__ = ["CreateOptions", "Tasks"]


@frozen(kw_only=True)
class _Receipt:
    """The answer to a new prompt."""

    prompt_id: str


@frozen(eq=False)
class Tasks:
    """`client.tasks`.

    Every call raises, beside what it names: `InvalidRequestError` before anything is sent, for an argument that can't
    be right; `AuthenticationError`, `PermissionDeniedError`, `NotFoundError`, `RateLimitedError`, `ServerError` and
    other `APIError`s as the server answers; `ConnectError`, `RequestTimeoutError` and other `TransportError`s where no
    answer came; `DecodeError` where it can't be read; `ConfigurationError` on a closed client or a second event loop.
    Cancelling a call locally does nothing to a remote task, except where a call says otherwise.
    """

    _transport: Transport
    _grace: CreationGrace = field(factory=CreationGrace)

    @spell_out_options
    async def create(self, prompt: str, **options: Unpack[CreateOptions]) -> Task:
        """Start an agent on a new task. This costs money, so it is never repeated when its answer is lost.

        Args:
            prompt: What to do, at most 100,000 characters.
            **options: Each option of a task is a keyword of its own; `CreateOptions` lists them.

        Returns:
            The task, with its `workspace_id`. The call may block until the machine is up: minutes, bounded by
            `Timeouts.create`.

        Raises:
            AmbiguousRequestError: The answer was lost. A task may be running: look through `list()` before trying
                again.
            AgentDisabledError: The executor is disabled for the organization.
            RebyteError: An upload failed, and nothing was started; the error's `uploaded` has those that succeeded.

        *Source*: contract §3, documented.
        """
        if unknown := options.keys() - OPTIONS.keys():
            raise TypeError(f"create() got an unexpected keyword argument {min(unknown)!r}")
        checked = TaskOptions(**options)
        body = checked.to_body(prompt_text(prompt))
        with attaching(await self.attach(checked.files)) as attached:
            answer = await self._transport.call(endpoints.CREATE_TASK, json=body | attached)
            task = decode_started(Task, answer)
        self._grace.start(task.id)
        return task

    def list(self, *, limit: int = 50, offset: int = 0) -> Listing[Task]:
        """List the tasks that were made through the API, newest first.

        Args:
            limit: Items on a page, 1 to 100.
            offset: Items to pass over.

        Returns:
            A listing: `await` it for one page, `async for` over it for every task. A task in it may have no `status`
            and no `workspace_id`.

        *Source*: contract §3, documented.
        """

        async def fetch(limit: int, offset: int) -> Page[Task]:
            answer = await self._transport.call(endpoints.LIST_TASKS, query={"limit": limit, "offset": offset})
            return models.decode_page(Task, answer.json(), limit=limit, offset=offset)

        return Listing(fetch, _task_id, limit, offset)

    async def get(self, task_id: str) -> Task:
        """Read a task with its status and its prompts.

        Args:
            task_id: The task.

        *Source*: contract §3, documented.
        """
        return await read_task(self._transport, task_id)

    async def prompt(
        self,
        task_id: str,
        prompt: str,
        *,
        skills: Iterable[str] = (),
        files: Iterable[Attachment] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Give a task its next turn, while it runs or after its end; a stopped machine is woken.

        This costs money, so it is never repeated when its answer is lost.

        Args:
            task_id: The task.
            prompt: What to do, at most 100,000 characters.
            skills: Skills for this turn.
            files: What to attach, as in `create` (observed).
            extra: Fields for the body that are newer than this package, in the API's spelling.

        Returns:
            The prompt, of which the server tells only the id: `events(task_id, prompt_id=prompt.id)` follows it.

        Raises:
            AmbiguousRequestError: The answer was lost. The turn may be running: look at `get(task_id).prompts`.

        *Source*: contract §3, documented.
        """
        lean = with_extra({"prompt": prompt_text(prompt), "skills": skill_names(skills), "files": []}, extra)
        endpoints.CREATE_PROMPT.path(task_id=task_id)
        with error_context(task_id), attaching(await self.attach(files)) as attached:
            ids = {"task_id": task_id}
            answer = await self._transport.call(endpoints.CREATE_PROMPT, ids=ids, json=lean | attached)
            return Prompt(id=decode_started(_Receipt, answer).prompt_id)

    async def attach(self, files: Iterable[Attachment]) -> Sequence[FileRef]:
        """Upload what isn't uploaded yet: for a run, so that nothing has been started while it uploads."""
        return await Files(self._transport).upload_all(files)

    async def cancel(self, task_id: str) -> None:
        """Cancel what a task is doing. Harmless on one that has ended (guess).

        A cancel that overtakes its own submit is lost (observed): right after a create, look whether it took.

        Args:
            task_id: The task.

        *Source*: contract §3; documented that it exists, its answer unknown.
        """
        await self._transport.call(endpoints.CANCEL_TASK, ids={"task_id": task_id})

    async def set_visibility(self, task_id: str, visibility: Visibility | str) -> VisibilitySetting:
        """Set who may see a task.

        Args:
            task_id: The task.
            visibility: `private`, `shared` or `public`.

        Returns:
            The visibility as set; for `public`, with the link to share.

        *Source*: contract §3, documented.
        """
        known = [str(member) for member in Visibility]
        if visibility not in known:
            raise InvalidRequestError(f"visibility must be one of {', '.join(known)}, not {visibility!r:.80}")
        ids = {"task_id": task_id}
        answer = await self._transport.call(endpoints.SET_VISIBILITY, ids=ids, json={"visibility": str(visibility)})
        return models.decode(VisibilitySetting, answer.json())

    async def delete(self, task_id: str) -> None:
        """Delete a task; reads of it are then answered with 404 (guess).

        Args:
            task_id: The task.

        *Source*: contract §3, documented.
        """
        await self._transport.call(endpoints.DELETE_TASK, ids={"task_id": task_id})

    def events(
        self,
        task_id: str,
        *,
        prompt_id: str | None = None,
        after: str | None = None,
        follow_subprompts: bool = False,
        idle_timeout: float | None = None,
    ) -> TaskEventStream:
        """Follow a turn of a task: its events, each once and in order, to its end.

        Args:
            task_id: The task.
            prompt_id: The turn to follow. None follows the one whose event comes first, which right after a
                `prompt` can still be the turn before it.
            after: The `cursor` of an earlier stream of the same task: what it had delivered is left out.
            follow_subprompts: Whether the events of delegations are given as well, with their own `prompt_id`.
            idle_timeout: Seconds of silence after which it connects again, and after twice of which in a row it is
                given up; None for `Timeouts.stream_idle`.

        Returns:
            The stream: use it with `async with`. Nothing is sent until it is read from.

        *Source*: contract §4, observed.
        """
        return TaskEventStream(
            TransportTurnSource(self._transport, task_id),
            prompt_id=prompt_id,
            after=after,
            follow_subprompts=follow_subprompts,
            idle_timeout=self._transport.timeouts.stream_idle if idle_timeout is None else idle_timeout,
            not_found_grace_until=self._grace.until(task_id),
        )

    async def wait(
        self, task_id: str, *, timeout: float | None = None, receiver: TaskCompletionHints | None = None
    ) -> Task:
        """Wait until a task has ended: by its stream, and by polling where the stream can't be had.

        Cancelling the wait does nothing to the remote task.

        Args:
            task_id: The task.
            timeout: Seconds for everything together; None waits as long as it takes.
            receiver: A `WebhookReceiver` that is told of the end. No stream is held open then: the task is read when
                a delivery tells to, and once a minute in case none comes.

        Returns:
            The task in its terminal state.

        Raises:
            WaitTimeoutError: It hadn't ended in time.

        *Source*: contract §3 and §4.
        """
        poller = TaskPoller(task_id, lambda: read_task(self._transport, task_id), self._grace)
        if receiver is None:
            sleep = self._transport.gate.sleep
            return await wait_for_end(poller, self.events(task_id), timeout=timeout, sleep=sleep)
        # A task that was created a moment ago can't have ended without a hint.
        read_first = not self._grace.covers(task_id)
        return await wait_with_hints(poller, receiver, timeout=timeout, read_first=read_first)

    @spell_out_options
    def run(
        self,
        prompt: str,
        *,
        task_id: str | None = None,
        check: bool = True,
        cancel_remote: bool = False,
        **options: Unpack[CreateOptions],
    ) -> TaskRun:
        """Create a task, or give one its next turn, and follow it to its end.

            result = await client.tasks.run("Summarise data.csv")

        Args:
            prompt: What to do, at most 100,000 characters.
            task_id: An existing task, of which this becomes the next turn; None creates one.
            check: Whether awaiting raises when the turn fails or is canceled.
            cancel_remote: Whether the remote task is canceled when the local wait is. By default it goes on.
            **options: The options of `create`; with `task_id`, those of `prompt`.

        Returns:
            A run, which starts when it is awaited (for its `TaskResult`) or iterated (for its events), once for
            both.

        Raises:
            TaskFailedError: From awaiting with `check`: the turn failed. It carries the result.
            TaskCanceledError: Likewise: it was canceled.
            StreamInterruptedError: The stream was given up; the remote task goes on.
            AmbiguousRequestError: As for `create`.
        """
        return TaskRun(self, prompt, task_id=task_id, check=check, cancel_remote=cancel_remote, arguments={**options})

    async def content(self, task_id: str, *, include_events: bool = False) -> TaskContent:
        """Read a task's questions and answers. Beyond the documented API: used in production, may change.

        Args:
            task_id: The task.
            include_events: Whether each turn comes with its events.

        *Source*: contract §3, observed.
        """
        return await read_content(self._transport, task_id, include_events=include_events)

    async def prompt_events(self, task_id: str, prompt_id: str) -> tuple[TaskEvent, ...]:
        """Read the events of a delegated sub-prompt. Beyond the documented API: used in production, may change.

        Args:
            task_id: The task.
            prompt_id: The sub-prompt: the `sub_prompt_id` of a tool call. A turn's own prompt is no sub-prompt.

        *Source*: contract §3, observed.
        """
        return await read_prompt_events(self._transport, task_id, prompt_id)

    async def answer(
        self,
        task_id: str,
        question: QuestionEvent,
        *,
        options: Iterable[int | str] = (),
        text: str | None = None,
    ) -> None:
        """Answer a question that the agent waits on. Beyond the documented API: used in production, may change.

        Args:
            task_id: The task.
            question: The question, as its event gave it.
            options: The chosen options, by index from 0 or by label.
            text: An answer in one's own words.

        Raises:
            ConflictError: Nothing waits for this answer any more.

        *Source*: contract §3, observed.
        """
        body = answer_body(question, options, text)
        await self._transport.call(endpoints.ANSWER_QUESTION, ids={"task_id": task_id}, json=body)


def _task_id(task: Task) -> str:
    return task.id
