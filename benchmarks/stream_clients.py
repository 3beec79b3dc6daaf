"""The contenders of the races between streams, each in a process of its own: `python stream_clients.py NAME URL`.

The process takes commands from its standard input, one JSON array a line, answers each with one JSON line, and ends
with it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = resource.getpagesize()
OPENING = 50
"""How many streams are opened at once."""
SETTLING = 0.3
"""Seconds from the first events until what they cost is looked at."""


def loads(data: bytes | str) -> Any:
    """What `rebyte_async` reads JSON with in this process: orjson unless it was taken away."""
    from rebyte_async._wire.json import BACKEND

    return BACKEND.loads(data)


class Rebyte:
    """The package's own client."""

    def __init__(self, url: str) -> None:
        from rebyte_async import AsyncRebyte, Timeouts

        self.client = AsyncRebyte("rbk_0000", base_url=f"{url}/v1", timeouts=Timeouts(connect=60))

    async def open(self, plan: str) -> Any:
        stream = self.client.tasks.events(plan)
        await anext(stream)
        return stream

    async def read(self, stream: Any) -> int:
        count = 0
        async for _ in stream:
            count += 1
        return count

    async def close(self, stream: Any) -> None:
        await stream.close()

    async def get(self) -> None:
        await self.client.tasks.get("t")


class OpenAI:
    """openai's client, its events typed as its users get them."""

    path = "/openai/v1"

    def __init__(self, url: str) -> None:
        from openai import AsyncOpenAI

        self.client = AsyncOpenAI(api_key="k", base_url=url + self.path, max_retries=0)

    async def open(self, plan: str) -> Any:
        stream = await self.client.responses.create(model=plan, input="", stream=True)
        await anext(stream)
        return stream

    async def read(self, stream: Any) -> int:
        count = 0
        async for _ in stream:
            count += 1
        return count

    async def close(self, stream: Any) -> None:
        await stream.close()


class Anthropic(OpenAI):
    """anthropic's client, its events typed as its users get them."""

    path = "/anthropic"

    def __init__(self, url: str) -> None:
        from anthropic import AsyncAnthropic

        self.client = AsyncAnthropic(api_key="k", base_url=url + self.path, max_retries=0)

    async def open(self, plan: str) -> Any:
        message: Any = {"role": "user", "content": ""}
        stream = await self.client.messages.create(model=plan, messages=[message], max_tokens=1, stream=True)
        await anext(stream)
        return stream


class HttpxSSE:
    """httpx, httpx-sse and json."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = self.new()

    def new(self) -> Any:
        import httpx

        return httpx.AsyncClient(limits=httpx.Limits(max_connections=10_000), timeout=60)

    async def open(self, plan: str) -> Any:
        from httpx_sse import aconnect_sse

        context = aconnect_sse(self.client, "GET", f"{self.url}/v1/tasks/{plan}/events")
        events = (await context.__aenter__()).aiter_sse()
        json.loads((await anext(events)).data)
        return context, events

    async def read(self, stream: Any) -> int:
        count = 0
        async for event in stream[1]:
            json.loads(event.data)
            count += 1
        await self.close(stream)
        return count - 1  # the last is the end

    async def close(self, stream: Any) -> None:
        context, events = stream
        await events.aclose()
        await context.__aexit__(None, None, None)


class HttpxAiohttp(HttpxSSE):
    """httpx over aiohttp's transport, httpx-sse and json."""

    def new(self) -> Any:
        import httpx
        from httpx_aiohttp import HttpxAiohttpClient

        return HttpxAiohttpClient(limits=httpx.Limits(max_connections=10_000), timeout=60)


class Bare:
    """aiohttp, a split and JSON: the least there is to do, and right for nothing but this server."""

    session: Any = None

    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self, plan: str) -> Any:
        import aiohttp

        if self.session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)
            connector = aiohttp.TCPConnector(limit=0, ssl=self.context())
            self.session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        response = await self.session.get(f"{self.url}/v1/tasks/{plan}/events")
        loads((await response.content.readany()).partition(b"data: ")[2])
        return response

    async def read(self, response: Any) -> int:
        count, tail = 0, b""
        async for chunk in response.content.iter_any():
            *frames, tail = (tail + chunk).split(b"\n\n")
            for frame in frames:
                loads(frame.partition(b"data: ")[2])
            count += len(frames)
        return count - 1

    async def close(self, response: Any) -> None:
        response.close()

    def context(self) -> Any:
        """How TLS is done: aiohttp's way if nothing else is asked for."""
        return True


class BareNoTickets(Bare):
    """The same without TLS session tickets."""

    def context(self) -> Any:
        context = ssl.create_default_context()
        context.options |= ssl.OP_NO_TICKET
        return context


class BareTLS12(Bare):
    """The same with TLS 1.2."""

    def context(self) -> Any:
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


CONTENDERS = {
    "rebyte-async": Rebyte,
    "openai": OpenAI,
    "anthropic": Anthropic,
    "httpx-sse + json": HttpxSSE,
    "httpx-aiohttp + httpx-sse + json": HttpxAiohttp,
    "aiohttp + split + json": Bare,
    "aiohttp, no tickets": BareNoTickets,
    "aiohttp, TLS 1.2": BareTLS12,
}


def memory() -> int:
    """Bytes of the process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * PAGE


def peak() -> int:
    """The most that it was since `forget_peak`."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def forget_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("5")


class Worker:
    """What the commands do."""

    def __init__(self, contender: Any) -> None:
        self.contender = contender
        self.streams: list[Any] = []
        self.opened = 0  # bytes that they took in when they were opened

    async def open(self, number: int, plan: str) -> dict[str, float]:
        """Open streams, up to their first event."""
        gate = asyncio.Semaphore(OPENING)

        async def one() -> Any:
            async with gate:
                return await self.contender.open(plan)

        gc.collect()
        before, start, cpu = memory(), time.perf_counter(), time.process_time()
        self.streams = await asyncio.gather(*(one() for _ in range(number)))
        taken = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        await asyncio.sleep(0.2)
        gc.collect()
        self.opened = memory() - before
        return taken | {"memory": self.opened}

    async def ask(self, port: int, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n\r\n")[2]

    async def go(self, port: int) -> None:
        """Let the server begin."""
        await self.ask(port, "/go")

    async def read(self, port: int) -> dict[str, float]:
        """Read the open streams to their end."""
        gc.collect()
        forget_peak()
        before = memory()
        start, cpu = time.perf_counter(), time.process_time()
        going = asyncio.create_task(self.go(port))
        counts = await asyncio.gather(*map(self.contender.read, self.streams))
        taken = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        await going
        self.streams = []
        return taken | {"events": sum(counts), "peak": peak() - before + self.opened}

    async def follow(self, port: int, seconds: float) -> dict[str, float]:
        """Read the open streams for a while, and close them."""
        reading = [asyncio.create_task(self.contender.read(stream)) for stream in self.streams]
        await self.go(port)
        await asyncio.sleep(SETTLING)
        written, start, cpu = int(await self.ask(port, "/written")), time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        taken = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        events = int(await self.ask(port, "/written")) - written
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await self.close()
        return taken | {"events": events}

    async def neglect(self, port: int, seconds: float) -> dict[str, float]:
        """Let the server write to streams without reading them."""
        gc.collect()
        before = memory()
        await self.go(port)
        await asyncio.sleep(seconds)
        return {"memory": memory() - before}

    async def close(self) -> dict[str, float]:
        start, cpu = time.perf_counter(), time.process_time()
        for stream in self.streams:
            await self.contender.close(stream)
        self.streams = []
        await asyncio.sleep(0)
        return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}

    async def get(self, times: int) -> dict[str, float]:
        """Plain calls beside the streams, one after the other: the slowest."""
        slowest = 0.0
        for _ in range(times):
            start = time.perf_counter()
            await self.contender.get()
            slowest = max(slowest, time.perf_counter() - start)
        return {"seconds": slowest}

    async def read_and_get(self, port: int, times: int) -> dict[str, float]:
        """The same while the streams bring events."""
        reading = asyncio.create_task(self.read(port))
        found = await self.get(times)
        await reading
        return found


async def commands() -> AsyncIterator[list[Any]]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


async def main(name: str, url: str) -> None:
    worker = Worker(CONTENDERS[name](url))
    async for command, *arguments in commands():
        print(json.dumps(await getattr(worker, command)(*arguments)), flush=True)
    os._exit(0)  # the end of the process closes what is open, and warnings about it would help no reader


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if "no-orjson" in sys.argv[3:]:
        sys.modules["orjson"] = None  # type: ignore[assignment]
    if "uvloop" in sys.argv[3:]:
        import uvloop

        uvloop.run(main(*sys.argv[1:3]))
    else:
        asyncio.run(main(*sys.argv[1:3]))
