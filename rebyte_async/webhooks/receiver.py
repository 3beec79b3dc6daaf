"""Receiving deliveries: answer at once, and tell whoever is to be told, once."""

from __future__ import annotations

import logging
import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from anyio import move_on_after, sleep_forever

from rebyte_async._validate import optional_seconds
from rebyte_async.errors import (
    ConfigurationError,
    WaitTimeoutError,
    WebhookPayloadError,
    WebhookVerificationError,
)
from rebyte_async.resources.creation import CreationGrace
from rebyte_async.resources.waiting import TaskPoller, wait_with_hints
from rebyte_async.types.tasks import Task
from rebyte_async.webhooks.address import checked_url, presumed_url
from rebyte_async.webhooks.aiohttp_mount import answer_aiohttp
from rebyte_async.webhooks.asgi import answer_http, live, refuse_socket
from rebyte_async.webhooks.crew import Crew, Job
from rebyte_async.webhooks.dedup import SeenWindow, identity
from rebyte_async.webhooks.handlers import Handlers, event_names
from rebyte_async.webhooks.inbox import Inbox
from rebyte_async.webhooks.incoming import refusal
from rebyte_async.webhooks.keys import KeyedVerifier
from rebyte_async.webhooks.notices import Notices
from rebyte_async.webhooks.receipt import Receipt, ReceiverStats
from rebyte_async.webhooks.seconds import finite_seconds
from rebyte_async.webhooks.verifier import WebhookVerifier, body_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import TracebackType

    from aiohttp import web

    from rebyte_async.client import AsyncRebyte
    from rebyte_async.types.webhooks import WebhookEventName
    from rebyte_async.webhooks.asgi import Receive, Scope, Send
    from rebyte_async.webhooks.dedup import SeenStore
    from rebyte_async.webhooks.event import WebhookEvent
    from rebyte_async.webhooks.handlers import EventHandler
    from rebyte_async.webhooks.headers import Headers
    from rebyte_async.webhooks.incoming import Incoming

__all__ = ["WebhookReceiver"]

_log = logging.getLogger("rebyte_async.webhooks")

_F = TypeVar("_F", bound="EventHandler")

_STORE_PATIENCE = 5.0
"""Seconds that a store of seen deliveries may take."""


class WebhookReceiver:
    """Receives deliveries: behind aiohttp, Starlette, FastAPI, any ASGI server, or a framework of your own.

        receiver = WebhookReceiver(WebhookVerifier(secret=SECRET), client=client)

        @receiver.on("task.completed")
        async def completed(event: WebhookEvent) -> None:
            task = await client.tasks.get(event.task_id)

        receiver.setup(app)  # an aiohttp application; or Route("/webhooks/rebyte", receiver) in Starlette

    It answers at once and works in the background. A genuine delivery that comes again within the window of `seen`
    reaches handlers and readers once. Nothing piles up: what can't be taken is answered with 503, to be sent again.
    Use it with `async with`, or `aclose` it, so that handlers can end what they began. Entered again, it is open again.

    Args:
        verifier: What tells genuine deliveries from forged ones.
        client: What `wait` reads tasks with. It is not closed with the receiver.
        url: The URL exactly as it was registered, for the signature covers it. None takes what the request shows, which
            behind a proxy isn't the registered one, and which a public key alone accepts on this machine only.
        max_body: The largest body, in bytes; beyond it is 413.
        seen: What remembers deliveries; None for a window of a minute in this process.
        concurrency: How many handlers run at a time.
        backlog: How many calls of handlers may wait; beyond that a delivery is answered with 503.
        buffer: How many events are kept for `async for`, of at most 16 MiB together; beyond that the oldest go.
        read_timeout: Seconds that the body of a delivery may take to come; beyond that is 408.
        drain_timeout: Seconds that `aclose` waits for handlers before it cancels them.

    Raises:
        ConfigurationError: A setting can't be right.

    *Source*: contract §7: repeats, order and ids of deliveries unknown.
    """

    def __init__(
        self,
        verifier: WebhookVerifier,
        *,
        client: AsyncRebyte | None = None,
        url: str | None = None,
        max_body: int = 1_048_576,
        seen: SeenStore | None = None,
        concurrency: int = 16,
        backlog: int = 1_000,
        buffer: int = 256,
        read_timeout: float = 10.0,
        drain_timeout: float = 30.0,
    ) -> None:
        if not isinstance(cast("object", verifier), WebhookVerifier):
            raise ConfigurationError(f"verifier must be a WebhookVerifier, not {type(verifier).__name__}")
        counts = {"max_body": max_body, "concurrency": concurrency, "backlog": backlog, "buffer": buffer}
        _check(counts, {"read_timeout": read_timeout, "drain_timeout": drain_timeout})
        self._verifier = verifier
        self._keyed = KeyedVerifier(verifier)
        self._client = client
        self._url = checked_url(url)
        self._max_body = max_body
        self._read_timeout = read_timeout
        self._drain_timeout = drain_timeout
        self._seen: SeenStore = SeenWindow() if seen is None else seen
        self._counts = Counter[str]()
        self._handlers = Handlers()
        self._make_crew = partial(Crew, concurrency, backlog, self._job_done)
        self._crew = self._make_crew()
        self._inbox = Inbox(buffer)
        self._notices = Notices()
        self._is_closed = False

    # Whom to tell

    @overload
    def on(self, function: _F, /) -> _F: ...

    @overload
    def on(self, *names: WebhookEventName | str) -> Callable[[_F], _F]: ...

    def on(self, *names: Any) -> Any:
        """Have a function called with events, in the background: `@receiver.on("task.completed")`.

        A coroutine function runs in the event loop, a plain one in a thread. What it raises is logged and counted. It
        may be called for events out of order, at the same time for several, and, after the window of `seen`, twice
        for one.

        Args:
            *names: The events that it is for: members of `WebhookEventName`, or newer words. `"*"`, or none, is for
                all, also for those that don't name their event.

        Raises:
            ConfigurationError: A name can't be one, or what is decorated can't be called.
        """
        if len(names) == 1 and callable(names[0]):
            self._handlers.add(names[0], ())
            return names[0]
        known = event_names(names)

        def register(function: _F) -> _F:
            self._handlers.add(function, known)
            return function

        return register

    def __aiter__(self) -> AsyncIterator[WebhookEvent]:
        """Read events as they come, until the receiver is closed.

        The latest ones that nobody has read are kept, so that what comes before the reading isn't missed; when more
        than `buffer` wait, the oldest go, and `stats().dropped` counts them. Several readers share them out.
        """
        return self._inbox.reader()

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Wait for word that a task has, or may have, ended: a delivery that says so, or doesn't name its event.

        Word that came before the call counts too, for the latest 10,000 tasks. It may never come. Once the receiver
        is closed it doesn't, and this waits until it is cancelled.

        Args:
            task_id: The task.
            after: What an earlier call returned: only newer word counts.

        Returns:
            A number that stands for the latest word.
        """
        word = await self._notices.next(task_id, after)
        while word is None:
            await sleep_forever()
        return word[0]

    async def wait(
        self,
        task_id: str,
        *,
        timeout: float | None = None,
        client: AsyncRebyte | None = None,
        poll_interval: float = 60.0,
    ) -> Task:
        """Wait until a task has ended: a delivery tells when to look, the task itself tells whether it has.

        Args:
            task_id: The task.
            timeout: Seconds for everything together; None waits as long as it takes.
            client: What reads the task; None for the receiver's own.
            poll_interval: Seconds after which the task is read though no delivery came; `math.inf` for never.

        Returns:
            The task in its terminal state. Where there is no client, its id and status alone, as the latest delivery
            has them: taken at its word, and it may be that of an earlier turn.

        Raises:
            WaitTimeoutError: It hadn't ended in time.
            ConfigurationError: There is no client, and the receiver is closed.
            APIError: The task can't be read, such as `NotFoundError`; likewise `TransportError` and `DecodeError` when
                that lasts.
        """
        optional_seconds("timeout", timeout)
        _check_interval(poll_interval)
        reader = client or self._client
        if reader is None:
            return await self._wait_for_word(task_id, timeout)
        tasks, grace = reader.tasks, CreationGrace()
        grace.start(task_id)  # another client may have created it a moment ago
        poller = TaskPoller(task_id, lambda: tasks.get(task_id), grace)
        return await wait_with_hints(poller, self, timeout=timeout, poll_interval=poll_interval)

    async def _wait_for_word(self, task_id: str, timeout: float | None) -> Task:
        number, name = 0, None
        with move_on_after(timeout):
            while name is None:
                word = await self._notices.next(task_id, number)
                if word is None:
                    raise ConfigurationError("the receiver is closed: nothing will tell of the task any more")
                number, name = word
        if name is None:
            raise WaitTimeoutError(f"no delivery told of task {task_id}'s end in {timeout} s", resource_id=task_id)
        return Task(id=task_id, status=name.removeprefix("task."))

    # Where deliveries come in

    async def receive(self, headers: Headers, body: bytes, *, url: str | None = None) -> Receipt:
        """Take a delivery from a framework of your own, which is to answer with the receipt's `status`.

        Args:
            headers: Its headers: a mapping, or pairs.
            body: Its body, exactly as it came.
            url: The URL as it was registered; None for the receiver's own.

        Returns:
            What became of it. Nothing about a delivery raises.
        """
        return await self._receive(headers, body, self._url if url is None else url)

    async def verify(self, headers: Headers, body: bytes, *, url: str | None = None) -> WebhookEvent:
        """Check a delivery and read it, and do nothing else about it: with the public key that its source gave.

        Args:
            headers: Its headers: a mapping, or pairs.
            body: Its body, exactly as it came.
            url: The URL as it was registered; None for the receiver's own.

        Raises:
            WebhookVerificationError: It isn't shown to be genuine.
            WebhookPayloadError: It is genuine, but can't be read.
            ConfigurationError: The call itself can't be right.
            TransportError: The public key can't be had; likewise whatever else its source raises.
        """
        return await self._keyed.verify(headers, body_bytes(body), self._url if url is None else url, None)

    async def aiohttp_handler(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request of aiohttp's server: `app.router.add_post("/webhooks/rebyte", receiver.aiohttp_handler)`."""
        return await answer_aiohttp(request, self._take)

    def setup(self, app: web.Application, path: str = "/webhooks/rebyte") -> None:
        """Mount it in an aiohttp application, with which it is opened and closed.

        Args:
            app: The application.
            path: Where in it.
        """
        app.router.add_post(path, self.aiohttp_handler)

        async def open_(_app: web.Application) -> None:
            self._open()

        async def close(_app: web.Application) -> None:
            await self.aclose()

        app.on_startup.append(open_)
        app.on_cleanup.append(close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application: `Route("/webhooks/rebyte", receiver)` in Starlette, or `uvicorn.run(receiver)`.

        Run by a server itself, it is opened and closed with it. Frameworks don't tell what is mounted in them when they
        end: use `async with` in their lifespan.
        """
        if scope["type"] == "http":
            await answer_http(scope, receive, send, self._take)
        elif scope["type"] == "lifespan":
            await live(receive, send, self._open, self.aclose)
        else:
            await refuse_socket(receive, send)

    @property
    def asgi(self) -> Self:
        """The receiver as an ASGI application, which it is itself."""
        return self

    async def _take(self, incoming: Incoming) -> Receipt:
        body = refusal(incoming, self._max_body) or await incoming.body(self._max_body, self._read_timeout)
        if isinstance(body, Receipt):
            self._counts["too_large"] += body.status == 413  # noqa: PLR2004 - what "too large" is in HTTP
            return body
        try:
            url = self._url or presumed_url(incoming.url, self._verifier)
        except ConfigurationError as error:
            return self._refused(500, error)
        return await self._receive(incoming.headers, body, url)

    async def _receive(self, headers: Headers, body: bytes, url: str | None) -> Receipt:
        if self._is_closed:
            return self._refused(503, ConfigurationError("the receiver is closed"))
        try:
            raw = body_bytes(body)
        except ConfigurationError as error:
            return self._refused(500, error)
        if len(raw) > self._max_body:
            self._counts["too_large"] += 1
            return Receipt(status=413)
        event = await self._verified(headers, raw, url)
        return event if isinstance(event, Receipt) else await self._accept(event, raw, url)

    async def _verified(self, headers: Headers, body: bytes, url: str | None) -> WebhookEvent | Receipt:
        try:
            return await self._keyed.verify(headers, body, url, None)
        except WebhookVerificationError as error:
            return self._forged(error)
        except WebhookPayloadError as error:
            self._counts["unreadable"] += 1
            _log.error("%s", error)
            return Receipt(status=200, error=error)
        except ConfigurationError as error:
            return self._refused(500, error)
        except Exception as error:  # noqa: BLE001 - the source of the key may raise anything; the delivery may be genuine
            return self._refused(503, error)

    def _forged(self, error: WebhookVerificationError) -> Receipt:
        self._counts["forged"] += 1
        _log.warning("a webhook delivery was refused: %s", error)
        return Receipt(status=401, error=error)

    def _refused(self, status: int, error: Exception) -> Receipt:
        self._counts["refused"] += 1
        _log.error("a webhook delivery couldn't be taken: %s: %s", type(error).__name__, error)
        return Receipt(status=status, error=error)

    async def _accept(self, event: WebhookEvent, body: bytes, url: str | None) -> Receipt:
        if self._is_closed:  # while the public key was being read
            return self._refused(503, ConfigurationError("the receiver is closed"))
        # A repeat is word too: it may be the same words for the end of another turn, and to look twice does no harm.
        self._notices.tell(event)
        # The crew's own: a delivery that is remembered and then dropped, because its sender left, would never be told.
        receipt = await self._crew.lead(self._taken(self._crew, event, body, url))
        return receipt or self._refused(503, ConfigurationError("the receiver was closed meanwhile"))

    async def _taken(self, crew: Crew, event: WebhookEvent, body: bytes, url: str | None) -> Receipt | None:
        """Tell whoever is to be told, where it is new; None where it is too late for that."""
        handlers = self._handlers.of(event)
        if not crew.reserve(len(handlers)):
            return self._refused(503, ConfigurationError("the handlers are too far behind: more than backlog wait"))
        try:
            is_new = await self._is_new(identity(url, body))
        finally:
            crew.release(len(handlers))
        if crew.is_over:  # the store wouldn't be cancelled
            return None
        if not is_new:
            self._counts["repeated"] += 1
            return Receipt(status=200, event=event, is_repeat=True)
        self._counts["accepted"] += 1
        for handler in handlers:
            crew.take(Job(handler, event))
        self._inbox.put(event, len(body))
        return Receipt(status=200, event=event)

    async def _is_new(self, key: str) -> bool:
        """Whether it is new; in doubt it is: better told twice than not at all."""
        with move_on_after(_STORE_PATIENCE):
            try:
                return await self._seen.add(key)
            except Exception:  # noqa: BLE001 - an application's store may raise anything
                _log.exception("what remembers webhook deliveries failed; this one is taken for new")
                return True
        _log.error("what remembers webhook deliveries took more than %g s; this one is taken for new", _STORE_PATIENCE)
        return True

    def _job_done(self, succeeded: bool) -> None:
        self._counts["handled" if succeeded else "handler_errors"] += 1

    # Its life

    @property
    def url(self) -> str | None:
        """The URL as it was registered, as far as it was given."""
        return self._url

    def stats(self) -> ReceiverStats:
        """What became of the deliveries so far."""
        return ReceiverStats(**self._counts, dropped=self._inbox.dropped)

    def _open(self) -> None:
        """Take deliveries again after it was closed."""
        if not self._is_closed:
            return
        self._is_closed = False
        self._keyed, self._crew = KeyedVerifier(self._verifier), self._make_crew()
        self._notices.open()
        self._inbox.open()

    async def aclose(self) -> None:
        """Take nothing more, let handlers end for `drain_timeout` seconds, then cancel them; readers end.

        No handler begins after it. A receiver that is entered again (`async with`), or whose server starts again, is
        open again, with its handlers and its counters.
        """
        self._is_closed = True
        self._keyed.close()
        self._notices.close()
        self._inbox.close()
        await self._crew.drain(self._drain_timeout)

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"at {self._url}" if self._url else "open"
        return f"<{type(self).__name__} {state}>"


def _check_interval(seconds: object) -> None:
    if seconds != math.inf and not (finite_seconds(seconds) or 0) > 0:
        raise ConfigurationError(f"poll_interval must be a number of seconds above 0, not {seconds!r:.80}")


def _check(counts: Mapping[str, object], seconds: Mapping[str, object]) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r:.80}")
    for name, value in seconds.items():
        known = finite_seconds(value)
        if known is None or known < 0:
            raise ConfigurationError(f"{name} must be a number of seconds, at least 0, not {value!r:.80}")
