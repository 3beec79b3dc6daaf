"""The page of the examples, in a real browser."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rebyte_async import AsyncRebyte
from rebyte_async.emulator import Emulator, Step, delta, hold, question, result, text, tool_use
from support.cutting_proxy import CuttingProxy
from support.live_browser import open_live_page
from support.serving import serve_aiohttp

EXAMPLE = Path(__file__).parents[2] / "examples" / "web_relay.py"
WORDS = [f"word {number} <b>&amp;" for number in range(6)]
TEXT = "document.getElementById('text').textContent"
BLOCKS = "Array.from(document.querySelectorAll('#text p'), (block) => block.textContent)"
STATE = "document.getElementById('state').textContent"


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """An emulator that the environment points to."""
    async with Emulator(pace=0) as started:
        monkeypatch.setenv("REBYTE_BASE_URL", started.url)
        monkeypatch.setenv("REBYTE_API_KEY", started.api_key)
        yield started


@pytest.fixture
async def proxy(emulator: Emulator) -> AsyncIterator[CuttingProxy]:
    """The web service of the example, behind a proxy that cuts connections."""
    spec = importlib.util.spec_from_file_location("web_relay", EXAMPLE)
    assert emulator.url
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with serve_aiohttp(module.make_app()) as origin, CuttingProxy(origin) as made:
        yield made


async def test_a_page_misses_nothing_over_cut_connections(
    emulator: Emulator, proxy: CuttingProxy, tmp_path: Path
) -> None:
    """The browser connects again by itself, each text is shown once, as text, and after the end it stays away."""
    emulator.script(*((text(word), hold(word)) for word in WORDS))
    async with AsyncRebyte() as client:
        task = await client.tasks.create("x")
    async with open_live_page(f"{proxy.url}/#{task.id}", tmp_path) as page:
        for word in WORDS:
            await page.wait_for(f"{TEXT}.includes({word!r})")
            if word in WORDS[1:4:2]:
                connections = proxy.connections
                proxy.cut()
                await page.wait_for(f"{STATE} === 'connecting again'")
                await page.wait_for(f"{STATE} === 'running'")
                assert proxy.connections > connections
            emulator.release(word)
        await page.wait_for(f"{STATE} === 'completed'")
        assert await page.run(BLOCKS) == WORDS
        assert emulator.api_key not in await page.run("document.documentElement.outerHTML")


@pytest.mark.parametrize(
    ("steps", "blocks"),
    [
        pytest.param(
            [
                delta("Hel"),
                delta("lo"),
                text("Hello"),
                text("Bye"),
                text("Bye"),
                tool_use("Bash"),
                delta("."),
                delta("."),
            ],
            ["Hello", "Bye", "Bye", "→ Bash", ".."],
            id="blocks",
        ),
        pytest.param([result("Done.")], ["Done."], id="a result alone"),
    ],
)
async def test_a_page_shows_the_text_as_the_agent_wrote_it(
    emulator: Emulator, proxy: CuttingProxy, tmp_path: Path, steps: list[Step], blocks: list[str]
) -> None:
    """Pieces are joined, blocks are apart, and nothing is shown twice."""
    emulator.script(*steps)
    async with AsyncRebyte() as client:
        task = await client.tasks.create("x")
    async with open_live_page(f"{proxy.url}/#{task.id}", tmp_path) as page:
        await page.wait_for(f"{STATE} === 'completed'")
        assert await page.run(BLOCKS) == blocks


async def test_a_page_starts_a_task_and_answers_its_question(
    emulator: Emulator, proxy: CuttingProxy, tmp_path: Path
) -> None:
    """The prompt, the agent's question and the answer go through the page."""
    emulator.script(
        question("Which?", "left", "right"), lambda turn: text(f"Chosen: {turn.answers[-1].selected_options}")
    )
    async with open_live_page(f"{proxy.url}/", tmp_path) as page:
        await page.run("document.getElementById('prompt').value = 'Go'; document.querySelector('#ask button').click()")
        await page.wait_for("document.querySelectorAll('#question button').length === 2")
        await page.run("document.querySelectorAll('#question button')[1].click()")
        await page.wait_for(f"{STATE} === 'completed'")
        assert await page.run(f"{TEXT}.includes('(1,)')")


async def test_a_page_gives_up_where_the_task_cannot_be_read(proxy: CuttingProxy, tmp_path: Path) -> None:
    """A task that doesn't exist is reported once, and the browser doesn't connect again."""
    async with open_live_page(f"{proxy.url}/#00000000-0000-4000-8000-000000000000", tmp_path) as page:
        await page.wait_for(f"{STATE}.includes('read')")
        assert await page.run(STATE) == "The events of the task can't be read."
