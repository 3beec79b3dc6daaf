"""What `rebyte-async webhooks listen` does: shows deliveries as they come, and forwards them to an application."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import click
from aiohttp import web
from anyio import move_on_after
from attrs import define, field

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line
from rebyte_async.cli.exits import Exit, explain, print_error
from rebyte_async.cli.forwarding import Forwarder, Forwarding
from rebyte_async.cli.runtime import open_client
from rebyte_async.cli.view.json import to_json_line
from rebyte_async.errors import RebyteError, WebhookPayloadError
from rebyte_async.types import Webhook
from rebyte_async.webhooks import Receipt, WebhookReceiver, WebhookVerifier

_DESCRIPTION = "rebyte-async webhooks listen"
_CLEAN_UP_LIMIT = 10.0


@define(eq=False, kw_only=True)
class Listener:
    """Receives deliveries and shows them, until it is cancelled."""

    host: str
    port: int
    url: str | None
    events: tuple[str, ...]
    secret: str | None = field(repr=False)
    signature: bool
    forward: str | None
    register: bool
    as_json: bool
    _url: str = field(default="", init=False)
    _receiver: WebhookReceiver | None = field(default=None, init=False)
    _forwarder: Forwarder | None = field(default=None, init=False)
    _created_id: str | None = field(default=None, init=False)
    """The webhook that this command has created, until it is deleted."""
    _is_creating: bool = field(default=False, init=False)
    """Whether such a webhook may exist, since the response to the create isn't there."""
    _ended: asyncio.Future[None] | None = field(default=None, init=False)

    async def run(self) -> int:
        self._ended = asyncio.get_running_loop().create_future()
        # The command itself shows all of it.
        logging.getLogger("rebyte_async.webhooks").addHandler(logging.NullHandler())
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack)
                await self._ended
        except asyncio.CancelledError:
            # Ctrl-C is the normal end, and the exit stack has undone everything by now.
            task = asyncio.current_task()
            if task is None or not self._receiver:
                raise
            task.uncancel()
        return Exit.OK if self._created_id is None and not self._is_creating else Exit.OTHER

    def describe_leftover(self) -> str:
        """Say what a second Ctrl-C leaves, if anything."""
        if self._created_id is None and not self._is_creating:
            return ""
        return one_line(f"webhook {self._created_id or ''} may still be registered: look at rebyte-async webhooks list")

    async def _open(self, stack: AsyncExitStack) -> None:
        await self._listen(stack)
        needs_client = self.register or self.signature or self.secret is None
        client = await stack.enter_async_context(open_client()) if needs_client else None
        if self.forward is not None:
            await self._start_forwarding(stack, self.forward)
        existing = await self._find_existing(client) if client is not None and self.register else None
        secret = self.secret
        if secret is None and self.register and existing is None:
            secret = secrets.token_urlsafe(32)
        checks_signature = self.signature or secret is None
        key = client.webhooks.public_key if client is not None and checks_signature else None
        receiver = WebhookReceiver(WebhookVerifier(secret, key), url=self._url)
        self._receiver = await stack.enter_async_context(receiver)
        if client is not None and self.register:
            stack.push_async_callback(self._remove, client)
            await self._register(client, existing, secret)
        where = f"{self.host}:{self.port} for {self._url}" if self.url else self._url
        self._say(f"listening on {where} until Ctrl-C")

    async def _listen(self, stack: AsyncExitStack) -> None:
        runner = web.ServerRunner(web.Server(self._respond, access_log=None), shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.host, self.port).start()
        host, port = runner.addresses[0][:2]
        self._url = self.url or f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    async def _start_forwarding(self, stack: AsyncExitStack, url: str) -> None:
        self._forwarder = Forwarder(url, self._show_forwarded)
        forwarding = asyncio.create_task(self._forwarder.work())

        async def stop() -> None:
            forwarding.cancel()
            await asyncio.wait([forwarding])

        stack.push_async_callback(stop)

    # --- The webhook ---

    async def _find_existing(self, client: AsyncRebyte) -> Webhook | None:
        async for webhook in client.webhooks.list():
            if webhook.url == self._url:
                return webhook
        return None

    async def _register(self, client: AsyncRebyte, existing: Webhook | None, secret: str | None) -> None:
        if existing is not None:
            self._say(f"webhook {existing.id} for {self._url} is there already: it keeps its own events and secret")
            return
        self._is_creating = True
        events = self.events
        webhook = await client.webhooks.create(self._url, events, description=_DESCRIPTION, secret=secret)
        self._is_creating, self._created_id = False, webhook.id
        self._say(f"webhook {webhook.id} is registered for {' '.join(events)}")

    async def _remove(self, client: AsyncRebyte) -> None:
        """Delete the webhook that this command created, however the listening ended."""
        with move_on_after(_CLEAN_UP_LIMIT, shield=True):
            try:
                await self._remove_created(client)
            except RebyteError as error:
                print_error(explain(error))
        if self._created_id is not None:
            print_error(one_line(f"the webhook is still registered: rebyte-async webhooks delete {self._created_id}"))
        elif self._is_creating:
            print_error("a webhook may have been registered: look at rebyte-async webhooks list")

    async def _remove_created(self, client: AsyncRebyte) -> None:
        if self._is_creating:  # the response was lost, or wasn't waited for
            found = await self._find_existing(client)
            self._created_id = found.id if found is not None and found.description == _DESCRIPTION else None
        if self._created_id is not None:
            await client.webhooks.delete(self._created_id)
            self._say(f"webhook {self._created_id} is removed")
        self._is_creating, self._created_id = False, None

    # --- Deliveries ---

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=await self._handle(request))

    async def _handle(self, request: web.BaseRequest) -> int:
        if self._receiver is None:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if request.method != "POST":
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, f"a delivery is a POST, not a {request.method}", request)
        codings = [coding for coding in request.headers.getall("Content-Encoding", ()) if coding.lower() != "identity"]
        if codings:
            return self._refuse(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a delivery's body must not be encoded as {codings[0]}", request
            )
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than a delivery's may be", request
            )
        receipt = await self._receiver.receive(request.headers, body)
        if receipt.event is not None or isinstance(receipt.error, WebhookPayloadError):
            self._show(receipt, body)
            if self._forwarder is not None:
                task_id = None if receipt.event is None else receipt.event.task_id
                self._forwarder.add(Forwarding(task_id, tuple(request.headers.items()), body))
            return receipt.status
        return self._refuse(receipt.status, str(receipt.error or "it can't be received"), request)

    # --- Output ---

    def _show(self, receipt: Receipt, body: bytes) -> None:
        event = receipt.event
        if self.as_json:
            self._print_json(
                kind="delivery",
                event=None if event is None else event.event,
                task_id=None if event is None else event.task_id,
                is_repeat=receipt.is_repeat,
                error=None if receipt.error is None else str(receipt.error),
                payload=body.decode(errors="replace") if event is None else event.payload,
            )
        elif event is None:
            self._print_text("unreadable", str(receipt.error))
        else:
            self._print_text(event.event or "(no event)", event.task_id, *(["(again)"] if receipt.is_repeat else []))

    def _refuse(self, status: int, reason: str, request: web.BaseRequest) -> int:
        if self.as_json:
            self._print_json(kind="refused", status=status, reason=reason, remote=request.remote)
        else:
            self._print_text(f"refused with {status}: {reason} (from {request.remote})")
        return status

    def _show_forwarded(self, delivery: Forwarding, outcome: int | str, seconds: float) -> None:
        status, error = (outcome, None) if isinstance(outcome, int) else (None, outcome)
        if self.as_json:
            facts = {"task_id": delivery.task_id, "status": status, "error": error}
            self._print_json(kind="forwarded", url=self.forward, **facts, seconds=round(seconds, 3))
            return
        words = f"responded {status}" if error is None else f"failed: {error}"
        self._print_text(f"-> {self.forward} {words} ({seconds * 1000:.0f} ms)")

    def _print_json(self, **facts: Any) -> None:
        self._print(to_json_line({"time": datetime.now(UTC), **facts}))

    def _print_text(self, *parts: str) -> None:
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
