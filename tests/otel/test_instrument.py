"""A client that is instrumented, and one that isn't."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from rebyte_async import RetryPolicy, errors
from rebyte_async.emulator import ArtifactFormat, Emulator, fail, faults, text
from rebyte_async.otel import instrument
from support.batches import items, runner_of
from support.clients import KEY, client_of
from support.raw_server import RawRequest, RawServer, json_response
from support.traces import Spans


async def test_views_are_traced_with_their_client(spans: Spans) -> None:
    """A view is traced like its client, also where it was made before."""

    async def handler(_: RawRequest) -> bytes:
        return json_response({"id": "t1"})

    async with RawServer(handler) as server, client_of(server.url) as client:
        view = client.with_options(retry=RetryPolicy(max_attempts=1))
        await view.tasks.get("t1")
        spans.instrument(client)
        await view.tasks.get("t1")
        await client.with_options(headers={"X-Team": "a"}).tasks.get("t1")
    assert len(spans.all()) == 2


async def test_the_last_settings_count(spans: Spans) -> None:
    """A client that is instrumented again makes its spans by the new settings, and by these alone."""
    others = Spans()
    async with Emulator(pace=0) as emulator:
        emulator.add_key(KEY)
        async with client_of(emulator.url) as client:
            others.instrument(client, content=True)
            await spans.instrument(client).tasks.create("the prompt")
    assert others.all() == []
    assert len(spans.all("POST /tasks")) == 1
    assert "the prompt" not in spans.text()


@pytest.mark.parametrize("content", [False, True])
async def test_no_span_holds_a_secret(spans: Spans, *, content: bool) -> None:
    """Over all that a client does, no span has the key or a signature; nor a prompt or a result, unless asked for."""
    async with Emulator(pace=0, artifact_format=ArtifactFormat(redirect=302)) as emulator:
        emulator.add_key(KEY)
        emulator.faults.add(faults.Status(500, message=f"a prompt, {KEY}"), faults.Match("GET", "/tasks/[^/]+"))
        emulator.faults.add(faults.Cut(events=1), times=2)
        emulator.script(text("an answer"), fail("an answer"))
        emulator.script(text("an answer"), times=None)
        async with client_of(emulator.url) as client:
            spans.instrument(client, content=content)
            await client.tasks.run("a prompt", check=False, files=[("a.txt", b"a file")])
            task = await client.tasks.create("a prompt")
            await client.tasks.get(task.id)
            await client.tasks.wait(task.id)
            await client.tasks.content(task.id)
            await client.artifacts.upload(task.workspace_id or "", ("a.txt", b"a file"))
            await client.artifacts.read(task.workspace_id or "", "a.txt")
            run = runner_of(client).run(items(2, prompt="a prompt {}"))
            assert [outcome.status async for outcome in run] == ["completed"] * 2
            with pytest.raises(errors.NotFoundError):
                await client.tasks.prompt("missing", "a prompt")
        urls = [entry.query for entry in emulator.log if entry.query]
    assert len(spans.all()) > 15
    assert urls
    for secret in (KEY, "?", "signature", "a file"):
        assert secret not in spans.text()
    assert ("a prompt" in spans.text()) is content
    assert ("an answer" in spans.text()) is content


def test_only_clients_are_instrumented() -> None:
    """Anything else is refused by its name."""
    wrong: Any = object()
    with pytest.raises(errors.ConfigurationError, match="client must be an AsyncRebyte, not object"):
        instrument(wrong)


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from rebyte_async import AsyncRebyte
from rebyte_async.errors import ConfigurationError
from rebyte_async.otel import instrument
try:
    instrument(AsyncRebyte("rbk_x"))
except ConfigurationError as error:
    print(error)
"""


def test_a_missing_extra_is_named() -> None:
    """Without opentelemetry-api, one line says what to install."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("tracing needs an extra: pip install 'rebyte-async[otel]'\n")
