"""A service whose every text is full of what a terminal would obey."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["EVIL", "hostile_service"]

EVIL = (
    "a\x1b]52;c;ZXZpbA==\x07b\x1b]8;;http://x\x1b\\c\x1b[2Jd\x9b31me\x90qf\x9cg\x9d0;t\x9ch\x1bPq\x1b\\i\x1bcj"
    "\u202ek\u2066l\u200fm\x00n\x07o\x08p\x7fq\x0br\x0cs\rt\r\nu\x85v\u2028w\u2029x\ty"
)
"""The clipboard, a link, the screen, colors, a title, a reset; other directions; a bell, line ends of all kinds."""
_WIRE = Path(__file__).parent.parent / "wire"
_ID = r"[^/?]+"
_KEPT = re.compile(r".*(?:At|Url|timestamp|Type|limit|offset)|status|url")
"""What would stop a command before it shows something, if it were no longer what it is."""


def spoil(value: Any, name: str = "") -> Any:
    """Add what is hostile to every text of a JSON value."""
    if isinstance(value, dict):
        return {key: spoil(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [spoil(inner, name) for inner in value]
    return value + EVIL if isinstance(value, str) and not _KEPT.fullmatch(name) else value


def _read_responses() -> list[tuple[str, re.Pattern[str], int, Any]]:
    found: list[tuple[str, re.Pattern[str], int, Any]] = []
    for file in sorted(_WIRE.glob("*.json")):
        golden = json.loads(file.read_text("utf-8"))
        if "response" in golden and "by_url" not in file.name:
            path = re.sub(r"(?<=/)(?:[0-9a-f-]{36}|h1|reports%2Fa\.csv)", _ID, golden["path"])
            found.append((golden["method"], re.compile(path), golden["status"], spoil(golden["response"])))
    return found


def _read_waiting() -> Any:
    """Return the content of a task whose agent waits on an answer."""
    content = json.loads((_WIRE / "get_content.json").read_text("utf-8"))["response"]
    question = json.loads((_WIRE / "events" / "ask_user_question_several.json").read_text("utf-8"))["data"]
    (turn,) = content["prompts"]
    question["promptId"] = turn["id"]
    turn |= {"status": "running", "completedAt": None, "response": None, "events": [spoil(question)]}
    return {**content, "status": "running"}


def _read_events() -> bytes:
    frames: list[str] = []
    for number, file in enumerate(sorted((_WIRE / "events").glob("*.json"))):
        data = json.loads(file.read_text("utf-8"))["data"]
        if isinstance(data, dict) and "eventType" in data:
            event: dict[str, Any] = {**spoil(data), "seq": number, "promptId": "p" + EVIL, "eventKey": f"k{number}"}
            if "unknown" in file.name:
                event["eventType"] += EVIL
            frames.append(f"event: event\ndata: {json.dumps(event)}\n\n")
    last = {"status": "completed", "finalResult": "All of it\n" + EVIL}
    said = {"seq": 999, "promptId": "p" + EVIL, "eventType": "text", "payload": {"content": last["finalResult"]}}
    frames += [f"event: event\ndata: {json.dumps(said)}\n\n", f"event: done\ndata: {json.dumps(last)}\n\n"]
    return "".join(frames).encode()


class _Service(BaseHTTPRequestHandler):
    golden = _read_responses()
    events = _read_events()
    waiting = _read_waiting()
    fails = False

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        del body
        path = self.path.partition("?")[0].removeprefix("/v1")
        if self.fails:
            error = {"error": {"code": "odd" + EVIL, "message": "no" + EVIL}}
            self._send(400, json.dumps(error).encode(), X_Request_Id="r\x9b31m\x85\x7f1")
        elif self.command == "GET" and path.endswith("/events") and "/prompts/" not in path:
            self._send(200, self.events, Content_Type="text/event-stream")
        elif self.command == "GET" and re.fullmatch(f"/workspaces/{_ID}/artifacts/{_ID}", path):
            self._send(200, b"an artifact", Content_Type="text/plain")
        elif path == "/tasks/asking/content":
            self._send(200, json.dumps(self.waiting).encode(), Content_Type="application/json")
        elif path.startswith("/storage"):
            self._send(200, b"")
        else:
            self._send_golden(path)

    def _send_golden(self, path: str) -> None:
        for method, pattern, status, response in self.golden:
            if method == self.command and pattern.fullmatch(path):
                address = f"http://{self.headers['Host']}/storage?sig=1"
                text = json.dumps(response).replace("https://s.invalid/a?sig=1", address)
                text = re.sub(r"https://s\.invalid/[^\"]*", address, text)
                self._send(status, b"" if status == 204 else text.encode(), Content_Type="application/json")
                return
        self._send(404, b'{"error": {"code": "not_found", "message": "nothing is here"}}')

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@contextmanager
def hostile_service(*, fails: bool = False) -> Generator[str]:
    """Run it in a thread, and yield its base URL; `fails` has it refuse everything, in such words."""
    handler = type("Service", (_Service,), {"fails": fails})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join()
