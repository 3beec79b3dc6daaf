"""Type-checked, never run: receiving webhooks."""

from collections.abc import Mapping
from typing import Any, assert_type

from aiohttp import web
from starlette.routing import Route

from rebyte_async import AsyncRebyte
from rebyte_async.types import Task, TaskCompletionHints, WebhookEventName
from rebyte_async.webhooks import (
    Receipt,
    SeenStore,
    SeenWindow,
    SignatureScheme,
    WebhookEvent,
    WebhookReceiver,
    WebhookVerifier,
    sign,
)


def verifiers(client: AsyncRebyte, pem: bytes) -> None:
    WebhookVerifier("secret")
    WebhookVerifier(["new", "old"], pem, 60, SignatureScheme(encoding="hex"))
    WebhookVerifier(public_key=client.webhooks.public_key)
    WebhookVerifier(secret=b"secret")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    SignatureScheme(encoding="base32")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def events(verifier: WebhookVerifier, headers: Mapping[str, str], pairs: list[tuple[bytes, bytes]]) -> None:
    event = verifier.verify(headers, b"", url="https://a.example/", now=0.5)
    assert_type(event, WebhookEvent)
    assert_type(event.event, WebhookEventName | str | None)
    assert_type(event.task_id, str)
    assert_type(event.payload, Mapping[str, Any])
    verifier.verify(pairs, b"")
    verifier.verify(*sign({"taskId": "t1"}, secret="s"))  # noqa: S106 - made up
    verifier.verify(headers, "decoded")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def receivers(receiver: WebhookReceiver, app: web.Application, own: SeenStore) -> None:
    receiver.setup(app)
    app.router.add_post("/hook", receiver.aiohttp_handler)
    Route("/hook", receiver)
    WebhookReceiver(WebhookVerifier("s"), seen=SeenWindow(30))
    WebhookReceiver(WebhookVerifier("s"), seen=own)

    @receiver.on("task.completed", WebhookEventName.TASK_FAILED)
    async def ends(event: WebhookEvent) -> int:
        return len(event.task_id)

    @receiver.on
    def every(event: WebhookEvent) -> None:
        assert_type(event, WebhookEvent)

    assert_type(await ends(WebhookEvent("task.completed", "t1")), int)
    every(WebhookEvent("task.completed", "t1"))
    async for event in receiver:
        assert_type(event, WebhookEvent)
    assert_type(await receiver.wait("t1"), Task)
    assert_type(await receiver.receive({}, b""), Receipt)
    hints: TaskCompletionHints = receiver
    assert_type(await hints.ended("t1", after=3), int)
