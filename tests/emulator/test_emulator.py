"""The emulator as a whole: its life, its scripts, and `clear`."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest
import trustme
from yarl import URL

from emulator.raw_client import RawClient, read_frame, read_until_broken, until
from rebyte_async.emulator import Cut, Emulator, Status, Turn, cancel, delegate, fail, hold, pause, succeed, text

if TYPE_CHECKING:
    from rebyte_async.emulator import Steps


async def _run_task(http: RawClient, prompt: str = "Say hello") -> list[str]:
    return await http.texts(await http.create(prompt))


async def test_scripts_are_played_in_their_order(emulator: Emulator, http: RawClient) -> None:
    """Each is for one prompt, of single steps and lists alike; then the default script is played again."""
    emulator.script(text("one"), text("two"))
    emulator.script([text("three"), [text("four")]])

    assert await _run_task(http) == ["one", "two"]
    assert await _run_task(http) == ["three", "four"]
    assert len(await http.frames(await http.create())) > 5


async def test_scripts_can_be_for_some_prompts(emulator: Emulator, http: RawClient) -> None:
    """A script can have a pattern and a number of prompts; scripts for every prompt come last, the newest first."""
    emulator.script(text("default"), times=None)
    emulator.script(text("newer default"), times=None, prompt="new")
    emulator.script(text("blue"), prompt="(?i)blue", times=2)
    once = emulator.script(text("next"))

    texts = [await _run_task(http, prompt) for prompt in ("Blue", "red", "a blue one", "bluest", "something new")]

    assert [content for (content,) in texts] == ["blue", "next", "blue", "default", "newer default"]
    assert (once.played, once.is_spent) == (1, True)


async def test_a_step_can_be_a_function_of_its_turn(emulator: Emulator, http: RawClient) -> None:
    """A function gets its turn, and returns further steps or nothing."""

    def echo(turn: Turn) -> Steps:
        return [text(f"{turn.prompt} {turn.number} {turn.executor} {turn.skills} {turn.files}"), lambda _: None]

    emulator.script(echo)

    task_id = await http.create("x", skills=["pdf"], executor="codex")

    assert await http.texts(task_id) == ["x 0 codex ('pdf',) ()"]


async def test_a_function_that_fails_fails_its_turn_and_the_check(emulator: Emulator, http: RawClient) -> None:
    """The stream ends as failed, `check` raises the error, and the agent continues with the next prompt."""

    def broken(turn: Turn) -> Steps:
        raise LookupError(turn.prompt)

    emulator.script(text("a"), broken)
    task_id = await http.create("poor script")

    assert (await http.frames(task_id))[-1].data["status"] == "failed"
    with pytest.raises(ExceptionGroup) as caught:
        emulator.check()
    assert isinstance(caught.value.exceptions[0], LookupError)
    await http.call("POST", f"/tasks/{task_id}/prompts", json={"prompt": "again"})
    assert (await http.frames(task_id))[-1].data["status"] == "succeeded"


async def test_a_function_that_fails_late_fails_the_check(emulator: Emulator, http: RawClient) -> None:
    """Also an error after the end of the turn is raised."""

    def broken(turn: Turn) -> Steps:
        raise LookupError(turn.prompt)

    emulator.script(delegate("Look it up", late=broken))
    await http.frames(await http.create())

    with pytest.raises(ExceptionGroup):
        emulator.check()


async def test_invalid_steps_are_refused_at_once(emulator: Emulator) -> None:
    """A string or a number in a script is a mistake of the test."""
    steps: list[Any] = ["hello", 3]
    for step in steps:
        with pytest.raises(TypeError, match="a script can't play"):
            emulator.script(text("a"), [step])


async def test_a_turn_can_be_canceled_by_the_service(emulator: Emulator, http: RawClient) -> None:
    """A turn can end as canceled without a request."""
    emulator.script(text("a"), cancel())
    task_id = await http.create()

    assert (await http.frames(task_id))[-1].data["status"] == "canceled"
    assert [(task.id, task.status, task.prompts) for task in emulator.tasks] == [(task_id, "canceled", ("Say hello",))]


async def test_a_released_hold_stays_open(emulator: Emulator, http: RawClient) -> None:
    """A release before the hold counts as well, and a test can wait until agents have reached the hold."""
    emulator.script(hold("door"), times=None)
    reached = asyncio.create_task(emulator.reached("door", count=3))
    tasks = [await http.create() for _ in range(3)]
    await reached
    assert (await http.task(tasks[0]))["status"] == "running"

    emulator.release("door")
    tasks.append(await http.create())

    for task_id in tasks:
        await http.frames(task_id)


async def test_clear_forgets_everything(emulator: Emulator, http: RawClient) -> None:
    """Tasks, scripts, faults, keys, formats and the log are dropped, and open streams are cut."""
    emulator.script(text("a"), hold())
    key = emulator.add_key()
    emulator.disable_executor("codex")
    task_id = await http.create()
    async with http.open(task_id) as response:
        await read_frame(response)
        emulator.script(fail())
        emulator.faults.add(Status(500))
        emulator.clear()
        _, error = await read_until_broken(response)

    assert error is not None
    assert (len(emulator.log), len(emulator.faults)) == (0, 0)
    assert (await http.call("GET", f"/tasks/{task_id}")).status == 404
    assert (await http.call("GET", "/tasks", headers={"API_KEY": key})).status == 401
    assert (await http.frames(await http.create(executor="codex")))[-1].data["status"] == "succeeded"


async def test_a_deterministic_emulator_repeats_itself() -> None:
    """Ids, times and keys are the same in every run."""

    async def run() -> Any:
        async with Emulator(deterministic=True, pace=0) as emulator, aiohttp.ClientSession() as session:
            http = RawClient(emulator, session)
            frames = await http.frames(await http.create())
            return emulator.api_key, frames

    assert await run() == await run()


async def test_a_task_can_take_time_to_boot() -> None:
    """The response and the agent wait for the VM, while the task exists at once."""
    async with Emulator(boot=0.03) as emulator, aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        emulator.script(succeed())
        creating = asyncio.create_task(http.create())

        async def created() -> bool:
            return bool((await http.call("GET", "/tasks")).json()["total"])

        await until(created)
        assert not creating.done()
        task_id = await creating
        assert len(await http.frames(task_id)) == 1


async def test_an_agent_can_pause(emulator: Emulator, http: RawClient) -> None:
    """Seconds pass between two events."""
    emulator.script(text("a"), pause(0.01), text("b"))

    assert await _run_task(http) == ["a", "b"]


@pytest.mark.parametrize("turns", range(6))
async def test_closing_ends_connections_that_are_being_accepted(turns: int) -> None:
    """A connection is closed with the emulator, however far the event loop has got with accepting it."""
    async with Emulator() as emulator:
        url = URL(emulator.url)
        assert url.host is not None
        client = socket.create_connection((url.host, url.port))
        for _ in range(turns):
            await asyncio.sleep(0)
    with client:
        client.settimeout(10)
        with suppress(ConnectionResetError):
            assert await asyncio.to_thread(client.recv, 1) == b""


async def test_closing_ends_open_streams_at_once() -> None:
    """Held, silent or paused streams don't keep an emulator from closing."""
    async with aiohttp.ClientSession() as session:
        async with Emulator() as emulator:
            http = RawClient(emulator, session)
            emulator.script(text("a"), hold())
            response = await session.get(
                f"{emulator.url}/tasks/{await http.create()}/events", headers={"API_KEY": emulator.api_key}
            )
            await read_frame(response)
            with anyio.fail_after(2):
                await emulator.aclose()
        response.close()


async def test_an_emulator_that_does_not_run_says_so() -> None:
    """The address of an emulator is known only while it runs."""
    emulator = Emulator(api_key="rbk_mine")

    assert (emulator.api_key, repr(emulator)) == ("rbk_mine", "<Emulator not running>")
    with pytest.raises(RuntimeError, match="isn't running"):
        _ = emulator.url


async def test_a_port_that_is_taken_is_an_error(emulator: Emulator) -> None:
    """The second emulator doesn't start, and leaves nothing open."""
    port = int(emulator.url.split(":")[2].split("/")[0])

    with pytest.raises(OSError, match="address already in use"):
        await Emulator(port=port).start()


async def test_both_origins_can_serve_https() -> None:
    """With a certificate, the API and the storage have https URLs, and faults can break their connections."""
    authority = trustme.CA()
    server, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with Emulator(pace=0.001, ssl=server) as emulator, aiohttp.ClientSession(connector=connector) as session:
        http = RawClient(emulator, session)
        emulator.script(text("a"), text("b"))
        task_id = await http.create()
        assert await http.texts(task_id) == ["a", "b"]
        emulator.faults.add(Cut(1))
        async with http.open(task_id) as response:
            received, broken = await read_until_broken(response)
        assert (received.count(b"event: event"), broken is None) == (1, False)
        announced = (await http.call("POST", "/files", json={"filename": "a.txt"})).json()
        assert announced["uploadUrl"].startswith(f"{emulator.storage_url}/")
        assert (await session.put(URL(announced["uploadUrl"], encoded=True), data=b"x")).status == 200
        assert emulator.url.startswith("https://127.0.0.1:")


def test_an_emulator_can_run_in_a_thread() -> None:
    """A plain `with` serves synchronous code, and may be controlled from its thread."""
    with Emulator(pace=0) as emulator:
        emulator.script(hold(), text("a"))
        asyncio.run(_held_from_outside(emulator))
        emulator.clear()
        emulator.check()
        assert len(emulator.log) == 0


async def _held_from_outside(emulator: Emulator) -> None:
    async with aiohttp.ClientSession() as session:
        http = RawClient(emulator, session)
        task_id = await http.create()
        await emulator.reached()
        emulator.release()
        assert await http.texts(task_id) == ["a"]


def test_a_threaded_emulator_that_cannot_start_says_why() -> None:
    """The error is raised by the `with`."""
    with Emulator() as emulator, pytest.raises(OSError, match="address already in use"):
        Emulator(port=int(emulator.url.split(":")[2].split("/")[0])).__enter__()


def test_importing_the_package_imports_no_emulator() -> None:
    """Those who don't use the emulator don't pay for its import."""
    code = "import sys, rebyte_async; sys.exit(any('emulator' in name for name in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
