"""Receive deliveries: respond at once, and pass each new event on in the background."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from anyio import move_on_after, sleep_forever
from attrs import frozen

from rebyte_async import _validate
from rebyte_async._logging import set_up_logging
from rebyte_async._transport import LazyModule
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import ConfigurationError, WaitTimeoutError, WebhookPayloadError, WebhookVerificationError
from rebyte_async.resources.waiting import CreationGrace, TaskPoller, wait_with_hints
from rebyte_async.types.tasks import Task
from rebyte_async.types.webhooks import WebhookEventName
from rebyte_async.webhooks import _servers
from rebyte_async.webhooks._buffer import EventBuffer
from rebyte_async.webhooks._completions import CompletionHints
from rebyte_async.webhooks._dispatch import EventHandler, Handler, HandlerPool
from rebyte_async.webhooks._headers import Headers, RawHeaders
from rebyte_async.webhooks._key_source import KeyRefreshingVerifier
from rebyte_async.webhooks.dedup import SeenStore, SeenWindow, is_new
from rebyte_async.webhooks.event import WebhookEvent
from rebyte_async.webhooks.receipt import Receipt, ReceiverStats
from rebyte_async.webhooks.verifier import WebhookVerifier, check_body, check_url

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = LazyModule("aiohttp.web")

_log = logging.getLogger("rebyte_async.webhooks")

_F = TypeVar("_F", bound="EventHandler")


@frozen(kw_only=True)
class Limits:
    """The limits of a receiver that no application has needed to change."""

    key_read_timeout: float = 10.0
    """How long reading the public key may take, in seconds."""
    store_timeout: float = 5.0
    """How long the deduplication store may take, in seconds."""
    buffered_bytes: int = 16 * 1024 * 1024
    """How large the buffered events may be together, in bytes."""
    remembered_hints: int = 10_000
    """The largest number of tasks whose latest completion hint is remembered."""


class WebhookReceiver:
    """Receives deliveries: in aiohttp, Starlette, FastAPI, any ASGI server, or your own framework.

        receiver = WebhookReceiver(WebhookVerifier(secret=SECRET), client=client)

        @receiver.on("task.completed")
        async def completed(event: WebhookEvent) -> None:
            task = await client.tasks.get(event.task_id)

        receiver.setup(app)  # an aiohttp application
        # or Route("/webhooks/rebyte", receiver) in Starlette

    It responds at once and works in the background. A genuine delivery that is repeated within the window of `seen`
    reaches handlers and readers once. Nothing piles up: a delivery that can't be accepted now gets a 503, so that it is
    sent again. Use the receiver with `async with`, or call `aclose`, so that handlers can finish. It can be entered
    again afterwards, and is open again then.

    Args:
        verifier: Tells genuine deliveries from forged ones.
        client: The client that `wait` reads tasks with. It is not closed with the receiver.
        url: The URL exactly as it was registered, because a signature covers it. None takes the URL of the request,
            which a proxy changes, and which a public key alone accepts only on this machine.
        max_body: The largest body, in bytes; a larger one gets a 413.
        seen: The deduplication store; None for a window of a minute in this process.
        concurrency: How many handlers run at once.
        backlog: How many calls of handlers may wait; beyond that, a delivery gets a 503.
        buffer: How many events are kept for `async for`, with at most 16 MiB together; the oldest are dropped first.
        read_timeout: How long the body of a delivery may take to arrive, in seconds; beyond that it gets a 408.
        drain_timeout: How long `aclose` waits for handlers before it cancels them, in seconds.
        _limits: For tests of the package.

    Raises:
        ConfigurationError: A setting is invalid.

    *Source*: contract §7, repeats, order and ids of deliveries not documented.
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
        _limits: Limits = Limits(),
    ) -> None:
        set_up_logging()
        if not isinstance(cast("object", verifier), WebhookVerifier):
            raise ConfigurationError(f"verifier must be a WebhookVerifier, not {type(verifier).__name__}")
        counts = {"max_body": max_body, "concurrency": concurrency, "backlog": backlog, "buffer": buffer}
        for name, count in counts.items():
            _validate.count(name, count, error=ConfigurationError)
        for name, seconds in (("read_timeout", read_timeout), ("drain_timeout", drain_timeout)):
            _validate.seconds(name, seconds, finite=True, error=ConfigurationError)
        self._make_verifier = partial(KeyRefreshingVerifier, verifier, read_timeout=_limits.key_read_timeout)
        self._verifier = verifier
        self._key_verifier = self._make_verifier()
        self._client = client
        self._url = _servers.check_registered_url(url)
        self._max_body = max_body
        self._read_timeout = read_timeout
        self._drain_timeout = drain_timeout
        self._seen = SeenWindow() if seen is None else seen
        self._store_timeout = _limits.store_timeout
        self._counts = Counter[str]()
        self._handlers = list[Handler]()
        self._make_pool = partial(HandlerPool, concurrency, backlog, self._count_call)
        self._pool = self._make_pool()
        self._buffer = EventBuffer(buffer, _limits.buffered_bytes)
        self._hints = CompletionHints(_limits.remembered_hints)
        self._is_closed = False

    # --- who gets events ---

    @overload
    def on(self, function: _F, /) -> _F: ...

    @overload
    def on(self, *names: WebhookEventName | str) -> Callable[[_F], _F]: ...

    def on(self, *names: Any) -> Any:
        """Call a function with events, in the background: `@receiver.on("task.completed")`.

        A coroutine function runs in the event loop, a plain one in a thread. An exception of the function is logged and
        counted. The function may be called with events out of order, with several at the same time, and, after the
        window of `seen`, with the same event again.

        Args:
            *names: The events to call it with: members of `WebhookEventName`, or newer names. `"*"`, or no name, means
                all events, including those that have no name.

        Raises:
            ConfigurationError: A name is invalid, or the decorated object can't be called.
        """
        if len(names) == 1 and callable(names[0]):
            return self.on()(names[0])
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise ConfigurationError(f"on() takes names of events, such as 'task.completed', not {name!r:.80}")
        wanted: frozenset[str] = frozenset() if "*" in names else frozenset(names)

        def register(function: _F) -> _F:
            if not callable(cast("object", function)):
                raise ConfigurationError(f"a handler must be a function that takes an event, not {function!r:.80}")
            self._handlers.append(Handler(function, wanted))
            return function

        return register

    def __aiter__(self) -> AsyncIterator[WebhookEvent]:
        """Read events as they come, until the receiver is closed.

        Events that come before the first read are kept. When more than `buffer` events wait, the oldest are dropped,
        and `stats().dropped` counts them. With several readers, each event goes to one of them.
        """
        return aiter(self._buffer)

    async def ended(self, task_id: str, after: int = 0) -> int:
        """Wait for a completion hint: a delivery that says that a task has ended, or doesn't name its event.

        Hints that came before the call count as well, for the latest 10,000 tasks. A hint may never come. After the
        receiver was closed none does, and this waits until it is cancelled.

        Args:
            task_id: The task.
            after: The number that an earlier call returned: only newer hints count.

        Returns:
            The number of the latest hint.
        """
        hint = await self._hints.next(task_id, after)
        while hint is None:
            await sleep_forever()
        return hint.version

    async def wait(
        self,
        task_id: str,
        *,
        timeout: float | None = None,
        client: AsyncRebyte | None = None,
        poll_interval: float = 60.0,
    ) -> Task:
        """Wait until a task has ended: read it when a completion hint comes, and now and then without one.

        Args:
            task_id: The task.
            timeout: Seconds for everything together; None waits as long as it takes.
            client: The client that reads the task; None for the receiver's own.
            poll_interval: Seconds after which the task is read without a hint; `math.inf` for never.

        Returns:
            The task in its terminal state. Without a client: only its id and status, as the latest delivery has them,
            which may be the status of an earlier turn.

        Raises:
            WaitTimeoutError: The task had not ended in time.
            ConfigurationError: There is no client, and the receiver is closed.
            APIError: The task can't be read, such as `NotFoundError`; also `TransportError` and `DecodeError`, if that
                lasts.
        """
        _validate.optional_seconds("timeout", timeout)
        _validate.seconds("poll_interval", poll_interval, above_zero=True, error=ConfigurationError)
        reader = client or self._client
        if reader is None:
            return await self._wait_for_end_event(task_id, timeout)
        tasks = reader.tasks
        grace = CreationGrace()
        grace.start(task_id)  # another client may have created it a moment ago
        poller = TaskPoller(task_id, lambda: tasks.get(task_id), grace)
        return await wait_with_hints(poller, self, timeout=timeout, poll_interval=poll_interval)

    async def _wait_for_end_event(self, task_id: str, timeout: float | None) -> Task:
        version = 0
        end = None
        with move_on_after(timeout):
            while end is None:
                hint = await self._hints.next(task_id, version)
                if hint is None:
                    raise ConfigurationError("the receiver is closed, so no delivery will report the task any more")
                version, end = hint
        if end is None:
            raise WaitTimeoutError(
                f"no delivery reported the end of task {task_id} in {timeout} s", resource_id=task_id
            )
        return Task(id=task_id, status=end.removeprefix("task."))

    # --- where deliveries come in ---

    async def receive(self, headers: RawHeaders, body: bytes, *, url: str | None = None) -> Receipt:
        """Process a delivery in your own framework, which must respond with the receipt's `status`.

        Args:
            headers: The delivery's headers: a mapping, or pairs.
            body: The delivery's body, exactly as it came.
            url: The URL as it was registered; None for the receiver's own.

        Returns:
            What the receiver made of the delivery. Nothing in a delivery makes this raise.
        """
        try:
            registered = self._url if url is None else check_url(url)
            return await self._process(Headers.parse(headers), check_body(body), registered)
        except ConfigurationError as error:
            return self._refuse(500, error)

    async def verify(self, headers: RawHeaders, body: bytes, *, url: str | None = None) -> WebhookEvent:
        """Verify a delivery and read its event, and do nothing else. Reads the public key from its source if need be.

        Args:
            headers: The delivery's headers: a mapping, or pairs.
            body: The delivery's body, exactly as it came.
            url: The URL as it was registered; None for the receiver's own.

        Raises:
            WebhookVerificationError: The delivery is not proven to be genuine.
            WebhookPayloadError: The delivery is genuine, but its body can't be read.
            ConfigurationError: An argument is invalid.
            TransportError: The public key can't be read; also any other exception of its source.
        """
        raw = check_body(body)
        registered = self._url if url is None else check_url(url)
        return await self._key_verifier.verify(Headers.parse(headers), raw, registered)

    async def aiohttp_handler(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request of aiohttp's server: `app.router.add_post("/webhooks/rebyte", receiver.aiohttp_handler)`."""
        return await _servers.respond_aiohttp(request, self._process_request)

    def setup(self, app: web.Application, path: str = "/webhooks/rebyte") -> None:
        """Add the receiver to an aiohttp application, under a path in it. The application then opens and closes it."""
        app.router.add_post(path, self.aiohttp_handler)

        async def open_(_app: web.Application) -> None:
            self._open()

        app.on_startup.append(open_)
        app.on_cleanup.append(lambda _app: self.aclose())

    async def __call__(self, scope: _servers.Scope, receive: _servers.Receive, send: _servers.Send) -> None:
        """Be an ASGI application: `Route("/webhooks/rebyte", receiver)` in Starlette, or `uvicorn.run(receiver)`.

        A server that runs the receiver itself opens and closes it. A framework doesn't report its own end to the
        applications in it: use `async with` in the framework's lifespan.
        """
        if scope["type"] == "http":
            await _servers.respond_asgi(scope, receive, send, self._process_request)
        elif scope["type"] == "lifespan":
            await _servers.run_lifespan(receive, send, self._open, self.aclose)
        else:  # a WebSocket, which is closed as soon as it is opened
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    @property
    def asgi(self) -> Self:
        """The receiver as an ASGI application, which it is itself."""
        return self

    # --- one delivery ---

    async def _process_request(self, request: _servers.IncomingRequest) -> Receipt:
        body = await request.read_body(self._max_body, self._read_timeout)
        if isinstance(body, Receipt):
            self._counts["too_large"] += body.status == 413  # noqa: PLR2004 - "too large" in HTTP
            return body
        try:
            url = self._url or _servers.url_from_request(request.url, self._verifier)
        except ConfigurationError as error:
            return self._refuse(500, error)
        return await self._process(request.headers, body, url)

    async def _process(self, headers: Headers, body: bytes, url: str | None) -> Receipt:
        if self._is_closed:
            return self._refuse(503, ConfigurationError("the receiver is closed"))
        if len(body) > self._max_body:
            self._counts["too_large"] += 1
            return Receipt(status=413)
        event = await self._verify_or_reject(headers, body, url)
        return event if isinstance(event, Receipt) else await self._accept(event, body, url)

    async def _verify_or_reject(self, headers: Headers, body: bytes, url: str | None) -> WebhookEvent | Receipt:
        try:
            return await self._key_verifier.verify(headers, body, url)
        except WebhookVerificationError as error:
            self._counts["forged"] += 1
            _log.warning("a webhook delivery was refused: %s", error)
            return Receipt(status=401, error=error)
        except WebhookPayloadError as error:
            self._counts["unreadable"] += 1
            _log.error("%s", error)
            return Receipt(status=200, error=error)
        except ConfigurationError as error:
            return self._refuse(500, error)
        except Exception as error:  # noqa: BLE001 - the source of the key may raise anything; the delivery may be genuine
            return self._refuse(503, error)

    def _refuse(self, status: int, error: Exception) -> Receipt:
        self._counts["refused"] += 1
        _log.error("a webhook delivery couldn't be accepted: %s: %s", type(error).__name__, error)
        return Receipt(status=status, error=error)

    async def _accept(self, event: WebhookEvent, body: bytes, url: str | None) -> Receipt:
        if self._is_closed:  # it was closed while the public key was read
            return self._refuse(503, ConfigurationError("the receiver is closed"))
        # A repeat is a hint as well: another turn may end with the same bytes, and reading the task again does no harm.
        self._hints.publish(event)
        # Shielded: if a disconnected sender could stop this after the store has remembered the delivery, its repeat
        # would be ignored, and no handler would ever get the event.
        receipt = await self._pool.run_shielded(self._submit_if_new(self._pool, event, body, url))
        return receipt or self._refuse(503, ConfigurationError("the receiver was closed in the meantime"))

    async def _submit_if_new(
        self, pool: HandlerPool, event: WebhookEvent, body: bytes, url: str | None
    ) -> Receipt | None:
        """Pass a new event on to its handlers and to readers; None if the pool was closed in the meantime."""
        handlers = [handler for handler in self._handlers if handler.wants(event)]
        if not pool.reserve(len(handlers)):
            return self._refuse(503, ConfigurationError("the handlers are too slow: more calls than backlog wait"))
        try:
            is_repeat = not await is_new(self._seen, url, body, timeout=self._store_timeout)
        finally:
            pool.release(len(handlers))
        if pool.is_closed:  # the store ignored its cancellation
            return None
        if is_repeat:
            self._counts["repeated"] += 1
            return Receipt(status=200, event=event, is_repeat=True)
        self._counts["accepted"] += 1
        for handler in handlers:
            pool.submit(handler, event)
        self._buffer.put(event, len(body))
        return Receipt(status=200, event=event)

    def _count_call(self, succeeded: bool) -> None:
        self._counts["handled" if succeeded else "handler_errors"] += 1

    # --- opening and closing ---

    @property
    def url(self) -> str | None:
        """The registered URL, if it was given."""
        return self._url

    def stats(self) -> ReceiverStats:
        """Return the counters of the deliveries so far."""
        return ReceiverStats(**self._counts, dropped=self._buffer.dropped)

    def _open(self) -> None:
        if not self._is_closed:
            return
        self._is_closed = False
        self._key_verifier = self._make_verifier()
        self._pool = self._make_pool()
        self._hints.open()
        self._buffer.open()

    async def aclose(self) -> None:
        """Accept nothing more, wait for handlers for `drain_timeout` seconds, then cancel them; readers end.

        No handler starts afterwards. A receiver that is entered again (`async with`), or whose server starts again, is
        open again, with its handlers and its counters.
        """
        self._is_closed = True
        self._key_verifier.close()
        self._hints.close()
        self._buffer.close()
        await self._pool.drain(self._drain_timeout)

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        place = f"at {self._url}" if self._url else "open"
        return f"<{type(self).__name__} {'closed' if self._is_closed else place}>"
