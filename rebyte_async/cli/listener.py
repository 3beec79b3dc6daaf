"""A receiver for a developer's eyes: it registers itself, shows what comes, and removes itself."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from aiohttp import web
from anyio import move_on_after
from attrs import define, field, frozen

from rebyte_async.cli.exits import Exit, complain, explain
from rebyte_async.cli.forwarding import Forwarder, Forwarding
from rebyte_async.cli.view.clean import one_line
from rebyte_async.cli.view.document import as_line
from rebyte_async.cli.watch import api_client
from rebyte_async.errors import RebyteError, WebhookPayloadError
from rebyte_async.webhooks import WebhookReceiver, WebhookVerifier

if TYPE_CHECKING:
    from rebyte_async import AsyncRebyte
    from rebyte_async.cli.forwarding import Forwarded
    from rebyte_async.types.webhooks import Webhook
    from rebyte_async.webhooks import Receipt

__all__ = ["Listener", "Wanted"]

_DESCRIPTION = "rebyte-async webhooks listen"
_CLEANING_UP = 10.0
_TOO_LARGE = 413
_COMPRESSED = 415
_NOT_READY = 503


@frozen(kw_only=True)
class Wanted:
    """What the options ask for."""

    host: str
    port: int
    url: str | None
    events: tuple[str, ...]
    secret: str | None = field(repr=False)
    signature: bool
    forward: str | None
    register: bool


@define(eq=False)
class Listener:
    """Listens, until it is cancelled."""

    wanted: Wanted
    as_json: bool = field(kw_only=True)
    url: str = field(default="", init=False)
    _receiver: WebhookReceiver | None = field(default=None, init=False)
    _forwarder: Forwarder | None = field(default=None, init=False)
    _made: str | None = field(default=None, init=False)
    """The webhook that was made here."""
    _is_making: bool = field(default=False, init=False)
    _ended: asyncio.Future[None] | None = field(default=None, init=False)

    async def run(self) -> int:
        """Listen.

        Returns:
            The exit code.

        Raises:
            RebyteError: The webhook can't be registered.
            OSError: The address can't be listened on.
        """
        self._ended = asyncio.get_running_loop().create_future()
        logging.getLogger("rebyte_async.webhooks").addHandler(logging.NullHandler())  # it is all shown already
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack)
                await self._ended
        except asyncio.CancelledError:
            # Ctrl-C is how it ends, and all that it did is undone by now.
            task = asyncio.current_task()
            if task is None or not self._receiver:
                raise
            task.uncancel()
        return Exit.OK if self._made is None and not self._is_making else Exit.OTHER

    def left_behind(self) -> str:
        """What a second Ctrl-C leaves behind."""
        if self._made is None and not self._is_making:
            return ""
        return one_line(f"webhook {self._made or ''} may still be registered: look at rebyte-async webhooks list")

    async def _open(self, stack: AsyncExitStack) -> None:
        await self._listen(stack)
        needs_client = self.wanted.register or self.wanted.signature or self.wanted.secret is None
        client = await stack.enter_async_context(api_client()) if needs_client else None
        if self.wanted.forward is not None:
            await self._start_forwarding(stack, self.wanted.forward)
        existing = await self._existing(client) if client is not None and self.wanted.register else None
        secret = self.wanted.secret
        if secret is None and self.wanted.register and existing is None:
            secret = secrets.token_urlsafe(32)
        self._receiver = await stack.enter_async_context(self._make_receiver(client, secret))
        if client is not None and self.wanted.register:
            stack.push_async_callback(self._remove, client)
            await self._register(client, existing, secret)
        self._say(f"listening on {self.url} until Ctrl-C" if self.wanted.url is None else self._where())

    def _where(self) -> str:
        return f"listening on {self.wanted.host}:{self.wanted.port} for {self.url} until Ctrl-C"

    async def _listen(self, stack: AsyncExitStack) -> None:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.wanted.host, self.wanted.port).start()
        host, port = runner.addresses[0][:2]
        self.url = self.wanted.url or f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    async def _start_forwarding(self, stack: AsyncExitStack, url: str) -> None:
        self._forwarder = Forwarder(url, self._show_forwarded)
        forwarding = asyncio.create_task(self._forwarder.work())

        async def stop() -> None:
            forwarding.cancel()
            await asyncio.wait([forwarding])

        stack.push_async_callback(stop)

    def _make_receiver(self, client: AsyncRebyte | None, secret: str | None) -> WebhookReceiver:
        checks_signature = self.wanted.signature or secret is None
        key = client.webhooks.public_key if client is not None and checks_signature else None
        return WebhookReceiver(WebhookVerifier(secret, key), url=self.url)

    # The webhook

    async def _existing(self, client: AsyncRebyte) -> Webhook | None:
        async for webhook in client.webhooks.list():
            if webhook.url == self.url:
                return webhook
        return None

    async def _register(self, client: AsyncRebyte, existing: Webhook | None, secret: str | None) -> None:
        if existing is not None:
            self._say(f"webhook {existing.id} is registered for {self.url} already: its own events and secret hold")
            return
        self._is_making = True
        webhook = await client.webhooks.create(self.url, self.wanted.events, description=_DESCRIPTION, secret=secret)
        self._is_making, self._made = False, webhook.id
        self._say(f"webhook {webhook.id} is registered for {' '.join(self.wanted.events)}")

    async def _remove(self, client: AsyncRebyte) -> None:
        """Remove what was made here, however the listening ended."""
        with move_on_after(_CLEANING_UP, shield=True):
            try:
                await self._remove_made(client)
            except RebyteError as error:
                complain(explain(error))
        if self._made is not None:
            complain(one_line(f"the webhook is still there: rebyte-async webhooks delete {self._made}"))
        elif self._is_making:
            complain("a webhook may have been registered: look at rebyte-async webhooks list")

    async def _remove_made(self, client: AsyncRebyte) -> None:
        if self._is_making:  # the answer to the registering was lost, or wasn't waited for
            made = await self._existing(client)
            self._made = made.id if made is not None and made.description == _DESCRIPTION else None
        if self._made is not None:
            await client.webhooks.delete(self._made)
            self._say(f"webhook {self._made} is removed")
        self._is_making, self._made = False, None

    # Deliveries

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=await self._take(request))

    async def _take(self, request: web.BaseRequest) -> int:
        if self._receiver is None:
            return _NOT_READY
        if request.method != "POST":
            return self._refuse(405, f"a delivery is a POST, not a {request.method}", request)
        codings = [coding for coding in request.headers.getall("Content-Encoding", ()) if coding.lower() != "identity"]
        if codings:
            return self._refuse(_COMPRESSED, f"a delivery's body is not to be encoded as {codings[0]}", request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(_TOO_LARGE, "the body is larger than a delivery's may be", request)
        receipt = await self._receiver.receive(request.headers, body)
        if receipt.event is not None or isinstance(receipt.error, WebhookPayloadError):
            self._show(receipt, body)
            self._forward(request, receipt, body)
            return receipt.status
        return self._refuse(receipt.status, str(receipt.error or "it can't be taken"), request)

    def _forward(self, request: web.BaseRequest, receipt: Receipt, body: bytes) -> None:
        if self._forwarder is not None:
            task_id = None if receipt.event is None else receipt.event.task_id
            self._forwarder.add(Forwarding(task_id, tuple(request.headers.items()), body))

    # What is shown

    def _show(self, receipt: Receipt, body: bytes) -> None:
        event = receipt.event
        if self.as_json:
            self._line(
                kind="delivery",
                event=None if event is None else event.event,
                task_id=None if event is None else event.task_id,
                is_repeat=receipt.is_repeat,
                error=None if receipt.error is None else str(receipt.error),
                payload=body.decode(errors="replace") if event is None else event.payload,
            )
        elif event is None:
            self._text("unreadable", str(receipt.error))
        else:
            self._text(event.event or "(no event)", event.task_id, *(["(again)"] if receipt.is_repeat else []))

    def _refuse(self, status: int, reason: str, request: web.BaseRequest) -> int:
        if self.as_json:
            self._line(kind="refused", status=status, reason=reason, remote=request.remote)
        else:
            self._text(f"refused with {status}: {reason} (from {request.remote})")
        return status

    def _show_forwarded(self, forwarded: Forwarded) -> None:
        url = self.wanted.forward
        if self.as_json:
            facts = {"task_id": forwarded.task_id, "status": forwarded.status, "error": forwarded.error}
            self._line(kind="forwarded", url=url, **facts, seconds=round(forwarded.seconds, 3))
            return
        answer = f"failed: {forwarded.error}" if forwarded.status is None else f"answered {forwarded.status}"
        self._text(f"-> {url} {answer} ({forwarded.seconds * 1000:.0f} ms)")

    def _line(self, **facts: Any) -> None:
        self._print(as_line({"time": datetime.now(UTC), **facts}))

    def _text(self, *parts: str) -> None:
        self._print("  ".join([f"{datetime.now().astimezone():%H:%M:%S}", *map(one_line, parts)]))

    def _print(self, line: str) -> None:
        try:
            click.echo(line)
        except BrokenPipeError as error:
            if self._ended is None or self._ended.done():
                raise
            self._ended.set_exception(error)

    @staticmethod
    def _say(text: str) -> None:
        click.echo(one_line(text), err=True)
