"""A loopback server of event streams, in a process of its own: `python stream_server.py` prints its ports.

A stream is ordered by a plan, in the place of the task's id or of the model's name:

    {kind}-{events}-{chunk}-{rate}-{keys}

The first event comes at once. The others come with `GET /go`, by kind: `busy` writes them all, in HTTP chunks of
`chunk` bytes (0: one event each); `live` writes one event at a time, `rate` times a second; `idle` writes none. The
bytes are made beforehand, so that the server costs next to nothing. It ends with its standard input.

The number of events is a multiple of 10, or else the last is no text, and the turn is read again for its final text.
"""

from __future__ import annotations

import asyncio
import functools
import json
import resource
import ssl
import sys
from dataclasses import dataclass
from typing import Any

TICK = 0.005
"""Seconds between two writes to live streams, which are spread evenly over the ticks of their period."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
TASK = b'{"id":"t","status":"running","prompts":[]}'


@dataclass(frozen=True)
class Plan:
    kind: str
    events: int
    chunk: int
    rate: float
    keys: bool

    @classmethod
    def read(cls, text: str) -> Plan:
        kind, events, chunk, rate, keys = text.split("-")
        return cls(kind, int(events), int(chunk), float(rate), keys == "1")


def rebyte_payload(number: int) -> tuple[str, dict[str, Any]]:
    """A turn in proportion: most of it text in small pieces."""
    match number % 10:
        case 6:
            return "thinking", {"content": "Let me look at the file first."}
        case 7:
            return "tool_use", {"id": f"toolu_{number:05}", "name": "Bash", "input": {"command": "ls -la"}}
        case 8:
            return "tool_result", {"id": f"toolu_{number:05}", "output": "total 8\n-rw-r--r-- 1 u u 5 a.txt"}
        case _:
            return "text", {"content": "the next words", "is_delta": True}


def rebyte_event(number: int, *, keys: bool) -> dict[str, Any]:
    kind, payload = rebyte_payload(number)
    key = {"eventKey": f"3f2b6c1e:{number}"} if keys else {}
    time = "2026-01-02T03:04:05.678Z"
    return {"seq": number, "timestamp": time, "promptId": "3f2b6c1e", **key, "eventType": kind, "payload": payload}


def openai_event(number: int, *, keys: bool) -> dict[str, Any]:  # noqa: ARG001 - they have no keys
    return {
        "type": "response.output_text.delta",
        "sequence_number": number,
        "item_id": "msg_3f2b6c1e8a544d0e9d3f2f1c7b1a0003",
        "output_index": 0,
        "content_index": 0,
        "delta": "the next words",
        "logprobs": [],
    }


def anthropic_event(number: int, *, keys: bool) -> dict[str, Any]:  # noqa: ARG001 - they have neither
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "the next words of it"}}


EVENTS = {"v1": rebyte_event, "openai": openai_event, "anthropic": anthropic_event}


def frame(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.cache
def pieces(api: str, plan: Plan) -> tuple[bytes, ...]:
    """The HTTP chunks of a stream: the first event, the others, the end."""
    make = EVENTS[api]
    events = [make(number, keys=plan.keys) for number in range(plan.events)]
    frames = [frame(event.get("type", "event"), event) for event in events]
    end = frame("done", {"status": "succeeded", "lastSeq": plan.events - 1, "finalResult": "the next words"})
    last = [end] if api == "v1" else []
    first, rest = frames[0], [*frames[1:], *last]
    if plan.chunk:
        data = b"".join(rest)
        rest = [data[start : start + plan.chunk] for start in range(0, len(data), plan.chunk)]
    return (*map(http_chunk, (first, *rest)), END)


@functools.cache
def body(api: str, plan: Plan) -> bytes:
    """All of a stream after its first event, as it goes over the wire."""
    return b"".join(pieces(api, plan)[1:])


class Connection(asyncio.Protocol):
    """A connection, and the stream that it carries if it carries one."""

    written = 0
    """How many events of live streams were written, over all connections."""

    def __init__(self, waiting: set[Connection], live: set[asyncio.Task[None]]) -> None:
        self.waiting = waiting
        self.live = live
        self.received = b""
        self.closes = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its name is asyncio's
        self.waiting.discard(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, content = self.received.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        if not end or len(content) < length:
            return
        self.received = b""
        self.closes = b"connection: close" in head.lower()
        self.answer(head.split(b" ", 2)[1].decode(), content)

    def answer(self, path: str, content: bytes) -> None:
        if path == "/go":
            self.go()
            self.whole(b"{}")
        elif path == "/written":
            self.whole(b"%d" % Connection.written)
        elif path.endswith("/events"):
            self.stream("v1", path.split("/")[-2])
        elif content:
            self.stream(path.split("/")[1], json.loads(content)["model"])
        else:
            self.whole(TASK)

    def whole(self, data: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data)
        self.transport.write(head + data)
        self.ended()

    def stream(self, api: str, text: str) -> None:
        self.api, self.plan = api, Plan.read(text)
        self.transport.write(HEAD + pieces(api, self.plan)[0])
        self.waiting.add(self)

    def go(self) -> None:
        """Let the streams that wait begin."""
        streams = [stream for stream in self.waiting if stream.plan.kind != "idle"]
        self.waiting.difference_update(streams)
        for stream in streams:
            if stream.plan.kind == "busy":
                stream.transport.write(body(stream.api, stream.plan))
                stream.ended()
        if alive := [stream for stream in streams if stream.plan.kind == "live"]:
            task = asyncio.create_task(run_live(alive))
            self.live.add(task)
            task.add_done_callback(self.live.discard)

    def ended(self) -> None:
        if self.closes:
            self.transport.close()


async def run_live(streams: list[Connection]) -> None:
    """Write the events of streams of one plan at the rate of the plan, evenly spread."""
    loop = asyncio.get_running_loop()
    plan = streams[0].plan
    every = pieces(streams[0].api, plan)[1:]
    start, written, total = loop.time(), 0, len(every) * len(streams)
    while written < total and not all(stream.transport.is_closing() for stream in streams):
        due = min(total, int((loop.time() - start) * plan.rate * len(streams)))
        while written < due:
            event, number = divmod(written, len(streams))
            if not streams[number].transport.is_closing():
                streams[number].transport.write(every[event])
                Connection.written += 1
            written += 1
        await asyncio.sleep(TICK)
    for stream in streams:
        stream.ended()


async def main(certificate: str) -> None:
    loop = asyncio.get_running_loop()
    waiting: set[Connection] = set()
    live: set[asyncio.Task[None]] = set()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    ports: list[int] = []
    for tls in (None, context):
        server = await loop.create_server(lambda: Connection(waiting, live), "127.0.0.1", 0, ssl=tls, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    asyncio.run(main(*sys.argv[1:]))
