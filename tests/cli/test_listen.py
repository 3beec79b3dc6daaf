"""`rebyte-async webhooks listen`."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field
from cli.process import environment, run_command, start_command

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Deliveries, Match, RepeatedDelivery, Status, TamperedDelivery, text
from rebyte_async.webhooks import WebhookVerifier, sign
from support.hostile_service import EVIL
from support.systems import SIGNALS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from rebyte_async.emulator import Emulator

SECRET = "s3cret-of-the-tests"


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncRebyte]:
    """A client of the emulator, whose agents say a word each."""
    emulator.script(text("Hello"), times=None)
    async with AsyncRebyte(emulator.api_key, base_url=emulator.url) as client:
        yield client


@define
class Listening:
    """The command while it listens."""

    process: asyncio.subprocess.Process
    url: str = ""
    said: list[str] = field(factory=list)
    """What it said on stderr before it listened."""

    async def begun(self) -> Listening:
        """Wait until it listens."""
        assert self.process.stderr is not None
        while not self.url:
            line = (await self.process.stderr.readline()).decode()
            assert line, self.said
            self.said.append(line.strip())
            if "listening on" in line:
                self.url = line.split()[2]
        return self

    async def line(self) -> str:
        """What it shows next."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def document(self) -> Any:
        """What it shows next, as JSON."""
        return json.loads(await self.line())

    async def end(self, number: int = signal.SIGINT) -> tuple[int | None, str]:
        """End it; gives its exit code and what it said at its end."""
        self.process.send_signal(number)
        _, err = await self.process.communicate()
        return self.process.returncode, err.decode()


@asynccontextmanager
async def listening(emulator: Emulator, *arguments: str, **more: str) -> AsyncGenerator[Listening]:
    """Start it on a free port."""
    command = ("webhooks", "listen", "--port", "0", *arguments)
    async with start_command(*command, env=environment(emulator, **more)) as process:
        yield await Listening(process).begun()


@asynccontextmanager
async def application() -> AsyncGenerator[tuple[str, list[Any]]]:
    """An application that verifies what it is passed."""
    events, verifier = list[Any](), WebhookVerifier(SECRET)

    async def hook(request: web.Request) -> web.Response:
        events.append(verifier.verify(request.headers, await request.read()))
        assert "Accept-Encoding" not in request.headers or "gzip" in request.headers["Accept-Encoding"]
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", events
    finally:
        await runner.cleanup()


@SIGNALS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_registers_shows_and_removes(emulator: Emulator, client: AsyncRebyte, number: signal.Signals) -> None:
    """A task's life goes by, verified by a secret that is made up and never shown; then the webhook is gone."""
    async with listening(emulator) as command:
        (webhook,) = (await client.webhooks.list()).data
        assert (webhook.url, webhook.has_secret, len(webhook.events)) == (command.url, True, 5)
        task = await client.tasks.create("Say hello")
        lines = [await command.line() for _ in range(3)]
        names = ("created", "running", "completed")
        assert [line.split(maxsplit=1)[1] for line in lines] == [f"task.{name}  {task.id}" for name in names]
        code, said = await command.end(number)
    assert (code, said) == (0, f"webhook {webhook.id} is removed\n")
    assert (await client.webhooks.list()).data == ()
    secret = emulator.log.select("POST", "/webhooks")[0].json()["secret"]
    assert secret not in "".join([*lines, said, *command.said])


@SIGNALS
async def test_it_passes_on_what_came_as_it_came(emulator: Emulator, client: AsyncRebyte) -> None:
    """Raw body and headers, so that an application can verify them itself; and says what it responded."""
    emulator.faults.add(RepeatedDelivery(), Deliveries("task.completed"))
    async with application() as (url, events):
        options = ("-e", "task.completed", "--forward", url, "--json")
        async with listening(emulator, *options, REBYTE_WEBHOOK_SECRET=SECRET) as command:
            task = await client.tasks.create("Say hello")
            lines = [await command.document() for _ in range(4)]
            code, _ = await command.end()
    assert code == 0
    deliveries = [line for line in lines if line["kind"] == "delivery"]
    answers = [line for line in lines if line["kind"] == "forwarded"]
    assert [(line["event"], line["task_id"], line["is_repeat"]) for line in deliveries] == [
        ("task.completed", task.id, False),
        ("task.completed", task.id, True),
    ]
    assert deliveries[0]["payload"]["taskId"] == task.id
    assert [(line["url"], line["status"], line["error"]) for line in answers] == [(url, 202, None)] * 2
    assert [event.task_id for event in events] == [task.id, task.id]


async def test_it_says_why_one_was_refused(emulator: Emulator, client: AsyncRebyte) -> None:
    """Wrong secret, wrong method, unreadable; and an application that isn't there."""
    emulator.faults.add(TamperedDelivery("secret"), Deliveries("task.completed"), times=None)
    nowhere = "http://127.0.0.1:9/hook"
    options = ("--events", "task.completed", "--secret", SECRET, "--forward", nowhere)
    async with listening(emulator, *options) as command, aiohttp.ClientSession() as session:
        await client.tasks.create("Say hello")
        refused = await command.line()
        assert "refused with 401: X-Webhook-Secret is not the secret: a webhook keeps the one it was" in refused
        assert refused.endswith("(from 127.0.0.1)")
        async with session.get(command.url) as response:
            assert response.status == 405
        assert [line for line in [await command.line() for _ in range(4)] if "refused with 405" in line]
        delivery = sign("no JSON\x1b[2J", secret=SECRET)
        async with session.post(command.url, data=delivery.body, headers=delivery.headers) as response:
            assert response.status == 200
        assert "unreadable  a genuine delivery can't be read" in await command.line()
        assert f"-> {nowhere} failed: nothing accepts connections there" in await command.line()
        async with session.post(command.url, data=io.BytesIO(b" " * 1_100_000), headers=delivery.headers) as response:
            assert response.status == 413
        assert "refused with 413" in await command.line()


@SIGNALS
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
async def test_a_genuine_delivery_is_one_harmless_line(emulator: Emulator, as_json: bool) -> None:
    """Whatever its texts hold: escape sequences, line ends, other directions; also where it can't be read."""
    options = ("--no-register", "--secret", SECRET, *(["--json"] if as_json else []))
    async with listening(emulator, *options) as command, aiohttp.ClientSession() as session:
        for body in ({"event": EVIL, "taskId": EVIL, "status": EVIL, EVIL: EVIL}, EVIL):
            delivery = sign(body, secret=SECRET)
            async with session.post(command.url, data=delivery.body, headers=delivery.headers) as response:
                assert response.status == 200
            line = await command.line()
            assert line.isprintable()
            assert not as_json or json.loads(line)["kind"] == "delivery"
        code, said = await command.end()
    assert (code, said) == (0, "")


async def test_a_compressed_delivery_is_refused_and_not_passed_on(emulator: Emulator) -> None:
    """As the receiver does: what is passed on would no longer be what the header says."""
    async with application() as (url, events):
        options = ("--no-register", "--secret", SECRET, "--forward", url)
        async with listening(emulator, *options) as command, aiohttp.ClientSession() as session:
            delivery = sign({"taskId": "t1"}, secret=SECRET)
            for coding, data in (("gzip", gzip.compress(delivery.body)), ("identity", delivery.body)):
                headers = {**delivery.headers, "Content-Encoding": coding}
                async with session.post(command.url, data=data, headers=headers) as response:
                    assert response.status == (200 if coding == "identity" else 415)
            assert "refused with 415: a delivery's body must not be encoded as gzip" in await command.line()
            assert (await command.line()).endswith("(no event)  t1")
            assert "responded 202" in await command.line()
            assert await command.end() == (0, "")
    assert [event.task_id for event in events] == ["t1"]


@SIGNALS
async def test_a_webhook_that_was_there_stays(emulator: Emulator, client: AsyncRebyte, unused_port: int) -> None:
    """A webhook that existed before is kept; without its secret, deliveries are verified by their signature."""
    url = f"http://127.0.0.1:{unused_port}/"
    webhook = await client.webhooks.create(url, ["task.completed"], secret="known to others")
    async with listening(emulator, "--port", str(unused_port)) as command:
        assert command.said[0] == f"webhook {webhook.id} for {url} is there already: it keeps its own events and secret"
        task = await client.tasks.create("Say hello")
        assert (await command.line()).endswith(f"task.completed  {task.id}")
        assert await command.end() == (0, "")
    assert [item.id for item in (await client.webhooks.list()).data] == [webhook.id]


@SIGNALS
async def test_listening_alone_needs_no_key(emulator: Emulator) -> None:
    """With a secret and --no-register it makes no request."""
    async with listening(emulator, "--no-register", "--secret", SECRET, REBYTE_API_KEY="") as command:
        delivery = sign({"taskId": "t1"}, secret=SECRET)
        async with (
            aiohttp.ClientSession() as session,
            session.post(command.url, data=delivery.body, headers=delivery.headers) as response,
        ):
            assert response.status == 200
        assert (await command.line()).endswith("(no event)  t1")
        assert await command.end() == (0, "")
    assert len(emulator.log) == 0


async def test_what_can_go_wrong_at_the_start(emulator: Emulator, unused_port: int) -> None:
    """A taken port, a refused address, no key, a limit, an invalid URL: each has a message and an exit code."""
    env = environment(emulator)
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", unused_port)
    taken = await run_command("webhooks", "listen", "--port", str(unused_port), env=env)
    server.close()
    assert (taken.code, "already in use" in taken.err) == (1, True)
    plain = await run_command("webhooks", "listen", "--port", "0", "--url", "http://example.com/", env=env)
    assert (plain.code, "url must be https" in plain.err) == (2, True)
    keyless = await run_command("webhooks", "listen", "--port", "0", env=environment(emulator, REBYTE_API_KEY=""))
    assert (keyless.code, "REBYTE_API_KEY" in keyless.err) == (2, True)
    wrong = await run_command("webhooks", "listen", "--forward", "localhost:8000", env=env)
    assert (wrong.code, "not an http or https URL" in wrong.err) == (2, True)
    emulator.faults.add(Status(403), Match("POST", "/webhooks"), times=None)
    broken = await run_command("webhooks", "listen", "--port", "0", env=env)
    assert (broken.code, "Traceback" in broken.err) == (8, False)


@define
class Unanswered:
    """A request that is carried out and never answered."""

    came: asyncio.Event = field(factory=asyncio.Event)

    async def around(self, call: object, answer: Callable[[], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Carry it out, and wait for ever."""
        del call
        await answer()
        self.came.set()
        await asyncio.Event().wait()
        raise AssertionError


@SIGNALS
async def test_a_webhook_whose_making_was_not_answered_is_removed(emulator: Emulator, client: AsyncRebyte) -> None:
    """Ctrl-C while it is being registered: the command looks whether it is there, and removes it."""
    unanswered = Unanswered()
    emulator.faults.add(unanswered, Match("POST", "/webhooks"))
    async with start_command("webhooks", "listen", "--port", "0", env=environment(emulator)) as process:
        await unanswered.came.wait()
        (webhook,) = (await client.webhooks.list()).data
        code, said = await Listening(process).end()
    assert (code, said) == (0, f"webhook {webhook.id} is removed\n")
    assert (await client.webhooks.list()).data == ()


@SIGNALS
async def test_a_webhook_that_cannot_be_removed_is_named(emulator: Emulator, client: AsyncRebyte) -> None:
    """The command says how to remove it, and that something was left."""
    emulator.faults.add(Status(403), Match("DELETE", "/webhooks/[^/]+"), times=None)
    async with listening(emulator) as command:
        (webhook,) = (await client.webhooks.list()).data
        code, said = await command.end()
    assert code == 1
    assert f"rebyte-async webhooks delete {webhook.id}" in said
