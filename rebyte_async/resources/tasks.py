"""Tasks: create, read, prompt, follow, cancel, answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Unpack

from attrs import field, frozen

from rebyte_async._transport import Transport
from rebyte_async._wire import endpoints
from rebyte_async.errors import ConflictError, InvalidRequestError
from rebyte_async.resources import waiting
from rebyte_async.resources.files import Files, attachments_body
from rebyte_async.resources.listing import Listing, list_by_pages
from rebyte_async.resources.options import (
    OPTIONS,
    CreateOptions,
    TaskOptions,
    check_run,
    next_turn_body,
    spell_out_options,
)
from rebyte_async.resources.questions import answer_body, find_pending_question, gather_answers
from rebyte_async.resources.reading import Resource, TransportTurnSource, decode_created, error_context, fetch
from rebyte_async.resources.runs import TaskRun
from rebyte_async.streams import TaskEventStream
from rebyte_async.types.events import QuestionEvent, TaskEvent
from rebyte_async.types.files import Attachment, FileRef
from rebyte_async.types.questions import OptionChoice, QuestionAnswer
from rebyte_async.types.tasks import Prompt, Task, TaskContent, Visibility, VisibilityName, VisibilitySetting
from rebyte_async.types.webhooks import TaskCompletionHints

__all__ = ["CreateOptions", "Tasks"]


@frozen(eq=False, repr=False, kw_only=True)
class _CreatedPrompt:
    """The response to a new prompt."""

    prompt_id: str


@frozen(eq=False, repr=False)
class Tasks(Resource):
    """`client.tasks`.

    Besides the errors that a call lists, every call can raise:

    - `InvalidRequestError`, before anything is sent, for an argument that can't be right;
    - `AuthenticationError`, `PermissionDeniedError`, `NotFoundError`, `RateLimitedError`, `ServerError` and other
      `APIError`s, as the server responds;
    - `ConnectError`, `RequestTimeoutError` and other `TransportError`s, without a response;
    - `DecodeError`, for a response that can't be read;
    - `ConfigurationError`, on a closed client or a second event loop.

    Cancelling a call locally does nothing to a remote task, except where the call says otherwise.
    """

    _transport: Transport
    _grace: waiting.CreationGrace = field(factory=waiting.CreationGrace)

    @spell_out_options
    async def create(self, prompt: str, **options: Unpack[CreateOptions]) -> Task:
        """Start an agent on a new task. This costs money, so it is never repeated when the response is lost.

        Args:
            prompt: What to do, at most 100,000 characters.
            **options: The options of the task. `CreateOptions` documents each of them.

        Returns:
            The task, with its `workspace_id`. The call may wait until the agent computer runs: minutes, limited by
            `Timeouts.create`.

        Raises:
            AmbiguousRequestError: The response was lost. A task may be running: look through `list()` before you try
                again.
            AgentDisabledError: The executor is disabled for the organization.
            RebyteError: An upload failed, and nothing was started. The error's `uploaded` has the files that were
                uploaded.

        *Source*: contract §3, documented.
        """
        if unknown := options.keys() - OPTIONS.keys():
            raise TypeError(f"create() got an unexpected keyword argument {min(unknown)!r}")
        checked = TaskOptions(**options)
        body = checked.to_body(prompt)
        with attachments_body(await self.attach(checked.files)) as attached:
            response = await self._transport.call(endpoints.CREATE_TASK, json=body | attached)
            task = decode_created(Task, response)
        self._grace.start(task.id)
        return task

    def list(self, *, limit: int = 50, offset: int = 0) -> Listing[Task]:
        """List the tasks that were created through the API, newest first.

        Args:
            limit: Items on a page, 1 to 100.
            offset: How many items to skip.

        Returns:
            A listing: `await` it for one page, `async for` over it for every task. A listed task may have no `status`
            and no `workspace_id`.

        *Source*: contract §3, documented.
        """
        return list_by_pages(self._transport, endpoints.LIST_TASKS, Task, limit, offset)

    async def get(self, task_id: str) -> Task:
        """Read a task with its status and its prompts.

        *Source*: contract §3, documented.
        """
        return await fetch(self._transport, Task, endpoints.GET_TASK, ids={"task_id": task_id})

    async def prompt(
        self,
        task_id: str,
        prompt: str,
        *,
        skills: Iterable[str] = (),
        files: Iterable[Attachment] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Give a task its next turn, while it runs or after its end. A stopped agent computer is woken.

        This costs money, so it is never repeated when the response is lost.

        Args:
            task_id: The task.
            prompt: What to do, at most 100,000 characters.
            skills: Skills for this turn.
            files: What to attach, as in `create` (observed).
            extra: Fields for the body that are newer than this package, in the API's spelling.

        Returns:
            The prompt. The server sends its id alone: `events(task_id, prompt_id=prompt.id)` follows it.

        Raises:
            AmbiguousRequestError: The response was lost. The turn may be running: look at `get(task_id).prompts`.

        *Source*: contract §3, documented.
        """
        body = next_turn_body(prompt, skills, extra)
        endpoints.CREATE_PROMPT.path(task_id=task_id)  # checks the id before anything is uploaded
        with error_context(task_id), attachments_body(await self.attach(files)) as attached:
            ids = {"task_id": task_id}
            response = await self._transport.call(endpoints.CREATE_PROMPT, ids=ids, json=body | attached)
            return Prompt(id=decode_created(_CreatedPrompt, response).prompt_id)

    async def attach(self, files: Iterable[Attachment]) -> Sequence[FileRef]:
        """Upload what isn't uploaded yet, as `create` does before it starts anything.

        Args:
            files: What `create` takes as `files`.

        Returns:
            The uploaded files, in the given order.

        *Source*: contract §5, documented.
        """
        return await Files(self._transport).upload_all(files)

    async def cancel(self, task_id: str) -> None:
        """Cancel what a task is doing. GUESS(§3): on a task that has ended, this does nothing.

        A cancel that overtakes its own submit is lost (observed). Right after a create, check that it had an effect.

        *Source*: contract §3, documented; its response a guess.
        """
        await self._transport.call(endpoints.CANCEL_TASK, ids={"task_id": task_id})

    async def set_visibility(self, task_id: str, visibility: VisibilityName) -> VisibilitySetting:
        """Set who may see a task.

        Args:
            task_id: The task.
            visibility: `private`, `shared` or `public`, or a member of `Visibility`.

        Returns:
            The new visibility. For `public`, it has the link to share.

        *Source*: contract §3, documented.
        """
        known = [str(member) for member in Visibility]
        if visibility not in known:
            raise InvalidRequestError(f"visibility must be one of {', '.join(known)}, not {visibility!r:.80}")
        ids = {"task_id": task_id}
        body = {"visibility": str(visibility)}
        return await fetch(self._transport, VisibilitySetting, endpoints.SET_VISIBILITY, ids=ids, json=body)

    async def delete(self, task_id: str) -> None:
        """Delete a task. GUESS(§3): reading it afterwards is a 404.

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
        """Follow a turn of a task: its events, each once and in order, to the end of the turn.

        Args:
            task_id: The task.
            prompt_id: The turn to follow. None follows the turn of the first event, which right after a `prompt` can
                still be the turn before it.
            after: The `cursor` of an earlier stream of the same task. What that stream had delivered is left out.
            follow_subprompts: Whether to deliver the events of delegations as well, with their own `prompt_id`.
            idle_timeout: Seconds without a byte after which the stream connects again. After two such periods in a row
                it is given up. None takes `Timeouts.stream_idle`.

        Returns:
            The stream: use it with `async with`. Nothing is sent until it is read from.

        *Source*: contract §4, observed.
        """
        return TaskEventStream(
            TransportTurnSource(self._transport, task_id, self._transport.tracing.start_stream(task_id)),
            prompt_id=prompt_id,
            after=after,
            follow_subprompts=follow_subprompts,
            idle_timeout=self._transport.timeouts.stream_idle if idle_timeout is None else idle_timeout,
            not_found_grace_until=self._grace.until(task_id),
        )

    async def wait(
        self, task_id: str, *, timeout: float | None = None, receiver: TaskCompletionHints | None = None
    ) -> Task:
        """Wait until a task has ended: by its stream, or by reading it at intervals where the stream fails.

        Cancelling the wait does nothing to the remote task.

        Args:
            task_id: The task.
            timeout: Seconds for everything together; None waits as long as it takes.
            receiver: A `WebhookReceiver` that receives the task's deliveries. Then no stream is held open: the task is
                read after each delivery that may report its end, and once a minute in case none arrives.

        Returns:
            The task in its terminal state.

        Raises:
            WaitTimeoutError: The task hadn't ended in time.
            StreamInterruptedError: The task stays in a status that this package doesn't know, its `last_status`.

        *Source*: contract §3 and §4, observed.
        """
        time = self._transport.time
        poller = waiting.TaskPoller(task_id, self._source(task_id).read_task, self._grace, time.clock)
        if receiver is None:
            return await waiting.wait_for_end(poller, self.events(task_id), timeout=timeout, sleep=time.sleep)
        # A task that was created a moment ago can't have ended without a hint.
        read_first = not self._grace.covers(task_id)
        return await waiting.wait_with_hints(poller, receiver, timeout=timeout, read_first=read_first)

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
            task_id: An existing task, of which this becomes the next turn. None creates a task.
            check: Whether awaiting raises an error when the turn fails or is canceled.
            cancel_remote: Whether the remote task is canceled when the local wait is. By default it continues.
            **options: The options of `create`. With `task_id`: `files`, `skills` and `extra` alone.

        Returns:
            A run. It starts when it is awaited (for its `TaskResult`) or iterated (for its events), once for both.

        Raises:
            TaskFailedError: Raised by awaiting, with `check`: the turn failed. The error carries the result.
            TaskCanceledError: Likewise: the turn was canceled.
            StreamInterruptedError: The stream was given up; if that is for a status that this package doesn't know and
                that stays, it is the error's `last_status`. The remote task continues.
            AmbiguousRequestError: As for `create`.

        *Source*: contract §3 and §4, documented.
        """
        check_run(prompt, options, is_next_turn=task_id is not None)
        arguments: dict[str, Any] = {**options}

        async def upload() -> None:
            arguments["files"] = await self.attach(arguments.get("files", ()))

        async def submit() -> tuple[Task | None, TaskEventStream]:
            if task_id is None:
                task = await self.create(prompt, **arguments)
                return task, self.events(task.id)
            return None, self.events(task_id, prompt_id=(await self.prompt(task_id, prompt, **arguments)).id)

        cancel = partial(waiting.cancel_until_terminal, self, sleep=self._transport.time.sleep)
        return TaskRun(upload, submit, cancel, task_id, check, cancel_remote)

    async def content(self, task_id: str, *, include_events: bool = False) -> TaskContent:
        """Read what a task's prompts asked, and its final results.

        Undocumented, but used in production; it may change.

        Args:
            task_id: The task.
            include_events: Whether each turn comes with its events.

        *Source*: contract §3, observed.
        """
        return await self._source(task_id).read_content(include_events=include_events)

    async def prompt_events(self, task_id: str, prompt_id: str) -> tuple[TaskEvent, ...]:
        """Read the events of a delegated sub-prompt. Undocumented, but used in production; it may change.

        Args:
            task_id: The task.
            prompt_id: The sub-prompt: the `sub_prompt_id` of a tool call. A turn's own prompt is no sub-prompt.

        *Source*: contract §3, observed.
        """
        return await self._source(task_id).read_prompt_events(prompt_id)

    async def answer(
        self,
        task_id: str,
        question: QuestionEvent | None,
        *,
        options: Iterable[OptionChoice] = (),
        text: str | None = None,
        answers: Iterable[QuestionAnswer] | None = None,
    ) -> None:
        """Answer what the agent asks and waits for. Undocumented, but used in production; it may change.

        Args:
            task_id: The task.
            question: The question, as its event delivered it. None takes the one that waits, as `pending_question`
                finds it.
            options: The chosen options: each by its place in the question's `options`, from 0; by its label; or as the
                option itself.
            text: An answer in the user's own words.
            answers: Instead of `options` and `text`: an answer to each of the event's `questions`, in order. An event
                with several questions needs them.

        Raises:
            InvalidRequestError: The answer doesn't fit the question: no such option, another number of answers than of
                questions, or an empty answer.
            ConflictError: The agent no longer waits for this answer, or waits for none.

        *Source*: contract §3, observed.
        """
        given = gather_answers(options, text, answers)
        if question is None and (question := await self.pending_question(task_id)) is None:
            raise ConflictError(409, message=f"task {task_id} waits for no answer, so none was sent")
        body = answer_body(question, given)
        await self._transport.call(endpoints.ANSWER_QUESTION, ids={"task_id": task_id}, json=body)

    async def pending_question(self, task_id: str) -> QuestionEvent | None:
        """Read which question of the agent waits for its answer. Undocumented, but used in production; it may change.

        GUESS(§3): a question waits until its turn ends, or the agent has gone on in that turn: with text, thinking, a
        tool call, or a tool result, except that of another tool which was running already. Where the service says
        `blocked_user_answer_required`, the last question waits.

        Args:
            task_id: The task.

        Returns:
            The question, which `answer` takes; None when the agent waits for no answer.

        *Source*: contract §3, observed, except for the guess.
        """
        return find_pending_question(await self.content(task_id, include_events=True))

    def _source(self, task_id: str) -> TransportTurnSource:
        return TransportTurnSource(self._transport, task_id)
