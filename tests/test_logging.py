"""`REBYTE_LOG` shows what the package does, and nothing that is confidential."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks import WebhookReceiver, WebhookVerifier

WORK = """
import asyncio, io, logging, sys

from rebyte_async import AsyncRebyte, RetryPolicy
from rebyte_async.emulator import ArtifactFormat, Emulator, faults, text

class Full(io.TextIOBase):
    def write(self, text):
        raise OSError(28, "No space left on device")

closed = io.StringIO()
closed.close()
{before}

async def main():
    async with Emulator(pace=0) as emulator:
        print(emulator.api_key)
        emulator.script(text("a secret"), text(" answer"))
        emulator.faults.add(faults.Status(503), faults.Match("GET", "/tasks"))
        emulator.faults.add(faults.Cut(events=1))
        emulator.artifact_format = ArtifactFormat(redirect=302)
        retry = RetryPolicy(base_delay=0.001)
        async with AsyncRebyte(emulator.api_key, base_url=emulator.url, retry=retry) as client:
            {after}
            await client.tasks.run("a secret prompt", files=[("notes.txt", b"secret bytes")])
            (task,) = (await client.tasks.list()).data
            task = await client.tasks.get(task.id)
            await client.artifacts.upload(task.workspace_id, ("secret.txt", b"x"))
            await client.artifacts.read(task.workspace_id, "secret.txt")
            log = logging.getLogger("rebyte_async.anything")
            log.error("%s https://x.invalid/y?sig=s1gnature", emulator.api_key)

asyncio.run(main())
"""


def work(level: str | None, *, before: str = "", after: str = "") -> tuple[str, str]:
    """Run calls, retries, a stream that reconnects and transfers; return the key, and what was written to stderr."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("REBYTE_")}
    if level is not None:
        env["REBYTE_LOG"] = level
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORK.format(before=before, after=after)],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_debug_shows_requests_and_nothing_confidential() -> None:
    """At debug the log has every response, every retry and every reconnect; no key, prompt, answer or signed URL."""
    key, log = work("debug")
    assert "DEBUG rebyte_async: POST /v1/tasks: 201\n" in log
    assert "DEBUG rebyte_async: PUT a signed URL: 200\n" in log
    assert "INFO rebyte_async: GET /tasks: attempt 1 failed, the next one in 0.00 s: " in log
    assert "INFO rebyte_async: the stream of task " in log
    for secret in (key, "secret prompt", "answer", "secret bytes", "s1gnature", "?", "sig="):
        assert secret not in log.replace("?…", "").replace("rbk_…", "")


@pytest.mark.parametrize(
    ("level", "present", "absent"),
    [
        ("info", "INFO rebyte_async: the stream of task ", "DEBUG"),
        (" WARNING ", "ERROR rebyte_async.anything: rbk_… https://x.invalid/y?…", "INFO"),
        ("", "", "rebyte_async:"),
        (None, "", "rebyte_async:"),
    ],
)
def test_a_level_shows_no_less_severe_records(level: str | None, present: str, absent: str) -> None:
    """A level leaves out what is less severe; without one, nothing is set up."""
    key, log = work(level)
    assert key.startswith("rbk_")
    assert present in log
    assert absent not in log


def test_a_handler_of_the_application_gets_the_records_alone() -> None:
    """No line comes twice where the application logs too, even if it sets that up after it has made its client."""
    _, log = work("info", after="logging.basicConfig(format='mine: %(message)s')")
    assert "mine: the stream of task " in log
    assert "INFO rebyte_async" not in log


def test_a_handler_that_leaves_records_out_gets_what_it_takes() -> None:
    """What the application's handlers don't take is still written, and so is what they would have to be asked for."""
    before = """
handler = logging.StreamHandler()
handler.setLevel(logging.ERROR)
logging.getLogger("rebyte_async").addHandler(handler)
logging.getLogger("rebyte_async").addHandler(logging.NullHandler())
"""
    _, log = work("info", before=before)
    assert "INFO rebyte_async: the stream of task " in log
    assert log.count("x.invalid") == 1


@pytest.mark.parametrize("stream", ["None", "Full()", "closed"])
def test_a_log_that_cant_be_written_fails_nothing(stream: str) -> None:
    """The work is done also where stderr is absent, full or closed."""
    key, log = work("debug", after=f"sys.stderr = {stream}")
    assert key.startswith("rbk_")
    assert "the stream of task" not in log


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that isn't one is refused, with those that are, by clients and receivers."""
    monkeypatch.setenv("REBYTE_LOG", "verbose")
    with pytest.raises(
        ConfigurationError, match="REBYTE_LOG must be one of debug, info, warning, error, not 'verbose'"
    ):
        AsyncRebyte("rbk_example")
    with pytest.raises(ConfigurationError, match="REBYTE_LOG"):
        WebhookReceiver(WebhookVerifier(secret="s3cret"))


def test_logging_is_set_up_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """However many clients there are, a record is written once, and the last level that was set counts."""
    logger = logging.getLogger("rebyte_async")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setattr(logger, "propagate", False)
    for level in ("debug", "error", "warning"):
        monkeypatch.setenv("REBYTE_LOG", level)
        AsyncRebyte("rbk_example")
    logger.warning("attention")
    logger.info("by the way")
    assert capsys.readouterr().err.endswith("WARNING rebyte_async: attention\n")
    assert len(logger.handlers) == 1
