"""A browser that a test drives while a page lives, over the DevTools protocol; the test is skipped if there is none."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from attrs import define, field

from support.browser import QUIET, find_browser

__all__ = ["LivePage", "open_live_page"]


@define(eq=False)
class LivePage:
    """A page in a browser."""

    _socket: aiohttp.ClientWebSocketResponse
    _numbers: itertools.count[int] = field(factory=itertools.count, init=False)

    async def run(self, script: str) -> Any:
        """Run an expression in the page, and return its value; that of a promise once it is kept."""
        result = await self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def open(self, url: str) -> None:
        """Open an address, and wait until it has loaded."""
        await self._call("Page.enable")
        await self._call("Page.navigate", url=url)
        while (await self._socket.receive_json()).get("method") != "Page.loadEventFired":
            pass

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while (message := await self._socket.receive_json()).get("id") != number:
            pass
        result: dict[str, Any] = message["result"]
        return result

    async def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        await self.run(
            f"new Promise(done => {{ const look = () => {condition} ? done() : setTimeout(look, 20); look() }})"
        )


@asynccontextmanager
async def open_live_page(url: str, profile: Path) -> AsyncGenerator[LivePage]:
    """Open a page in a browser of its own.

    Args:
        url: The address of the page.
        profile: A folder for the files of the browser.
    """
    command = [find_browser(), *QUIET, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    browser = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    reading: asyncio.Task[bytes] | None = None
    try:
        assert browser.stderr is not None
        line = b""
        while not (found := re.search(rb"DevTools listening on ws://([^/]+)/", line)):
            line = await browser.stderr.readline()
            assert line, "the browser didn't start"
        reading = asyncio.create_task(browser.stderr.read())  # or its complaints would fill the pipe and hold it up
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{found[1].decode()}/json/list") as response:
                (target,) = [target for target in await response.json() if target["type"] == "page"]
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = LivePage(socket)
                await page.open(url)
                yield page
    finally:
        browser.kill()
        await browser.wait()
        if reading is not None:
            await reading
