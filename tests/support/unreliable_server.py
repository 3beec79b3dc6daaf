"""A server for one turn of a task that misbehaves in every way of contract §4, and a check of what was delivered.

A scenario is plain data with a readable repr: the turn's rows, the order in which they appear, and what each connect
to the stream brings. `UnreliableServer` plays it; `UnreliableServer.check` says whether what was delivered is the turn.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from random import Random
from typing import Any

from attrs import NOTHING, define, field, fields, frozen

from rebyte_async._clock import Time
from rebyte_async.types import TaskEvent
from support.raw_server import DROP, RawRequest, chunk, http_response, json_response, stream_head
from support.task_server import TASK_ID, done

__all__ = [
    "PROMPT_ID",
    "SUB_PROMPT_ID",
    "Row",
    "Scenario",
    "Short",
    "Step",
    "UnreliableServer",
    "VirtualTime",
    "has_final_text",
    "token",
]

PROMPT_ID = "p1"
SUB_PROMPT_ID = "s1"
_MOST_CONNECTS = 400
_NOISE = (b": ping\n\n", b"event: ping\ndata: {}\n\n", b"event: heartbeat\ndata: now\n\n", b"retry: 1\n\n", b"\n\n")
_GATEWAY = b"<html>bad gateway</html>"


@define
class VirtualTime:
    """A clock that only sleeps move on. A sleep that is cancelled has taken no time."""

    now: float = 1000.0

    def clock(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let a number of seconds pass, in a few iterations of the event loop."""
        until = self.now + seconds
        for _ in range(5):
            await asyncio.sleep(0)
        self.now = max(self.now, until)

    @property
    def time(self) -> Time:
        """What a client is given."""
        return Time(self.clock, self.sleep)


@frozen(repr=False)
class Short:
    """A value whose repr shows only what differs from the defaults."""

    def __repr__(self) -> str:
        shown = [
            f"{item.name}={getattr(self, item.name)!r}"
            for item in fields(type(self))
            if item.default is NOTHING or getattr(self, item.name) != item.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_pretty_(self, printer: Any, _: object) -> None:
        printer.text(repr(self))


@frozen(repr=False)
class Row(Short):
    """An event of the turn."""

    event_type: str
    payload: Any
    key: str | None = None
    numbered: bool = True

    @property
    def token(self) -> str:
        """The event as a consumer sees it."""
        return token(self.event_type, self.payload)

    @property
    def has_identity(self) -> bool:
        """Whether the row can be distinguished from an equal one."""
        return self.key is not None or self.numbered


def token(event_type: str, payload: Any) -> str:
    """Return an event as a string, which differs for all rows that have an identity."""
    return f"{event_type} {json.dumps(payload if isinstance(payload, dict) else {})}"


@frozen(repr=False)
class Step(Short):
    """What a connect to the stream brings.

    Kinds: `show` (the turn), `empty` (a done without anything), `previous` (the turn before), `next` (the turn after,
    after what `visible` shows), `pending` (the turn after, which has nothing yet), `refuse` (a response that is no
    stream), `drop` (no response).
    """

    kind: str
    visible: int = 0
    """How many rows are there when it ends, in order of appearance."""
    live: bool = False
    """Whether the new ones among them come after the replay, as they appear, rather than in their place."""
    end: str = "close"
    """`close`, `cut` (orderly on TCP, amid the response), `reset`, `silence`, or the status of a done frame."""
    at: int = 0
    """Where it is cut, in bytes of the whole response; modulo its length."""
    result: str = ""
    """The final result of the done frame."""
    announces_all: bool = False
    """Whether a done frame has the turn's last number, though that event isn't there yet."""
    refusal: int = 502
    hold: float = 0.0
    """For how many seconds every connect gets the same."""


@frozen(repr=False)
class Scenario(Short):
    """A turn and what goes wrong with it."""

    rows: tuple[Row, ...]
    order: tuple[int, ...]
    """The rows by index, in the order in which they appear."""
    steps: tuple[Step, ...]
    """The last one is repeated."""
    ended_at: int
    """The step with which the task begins to say that the turn has ended."""
    status: str = "succeeded"
    first: int = 1
    renumber: bool = False
    """Whether rows are numbered by those that are there, and so change their number when one is inserted."""
    ids: str = "none"
    """Whether frames have ids: `none`, `ignored` (for a resume) or `honoured`."""
    given: bool = False
    """Whether the consumer names the prompt."""
    noise: int = 0
    """The seed of what comes between the frames, and of repeated frames; 0 for nothing."""
    splits: tuple[int, ...] = ()
    """The sizes of the pieces in which the bytes come, in turn; none for one piece."""
    chunked: bool = True
    has_task_result: bool = False
    lag: int = 0
    """How many reads of the task still say running after the turn has ended."""
    unknown: int = 0
    """How many reads of the task don't have the prompt yet."""
    failing_reads: frozenset[int] = frozenset()
    """Which reads of the task, and of a sub-prompt, fail."""
    subs: tuple[Row, ...] = ()
    """What a delegation does. One more of them is there with each read, and all when the turn's last step is taken."""

    @property
    def last(self) -> Step:
        """The step that is repeated."""
        return self.steps[-1]

    @property
    def taken_over(self) -> bool:
        """Whether a later turn takes the stream over."""
        return self.last.kind in {"next", "pending"}

    @property
    def answer(self) -> str:
        """The final result, wherever one is given: the last text after the last tool call, if no other is like it."""
        texts = [row.payload["content"] for row in self.rows if has_final_text([row])]
        return texts[-1] if has_final_text(self.rows) and texts.count(texts[-1]) == 1 else "final"

    @property
    def mishaps(self) -> int:
        """How many connects and reads fail at most."""
        bad = sum(step.kind in {"refuse", "drop"} or step.end in {"cut", "reset"} for step in self.steps)
        return bad + len(self.failing_reads)

    def shown(self, before: int, step: Step, after_id: int = 0) -> list[int]:
        """Return the rows that a connect shows when `before` rows had appeared."""
        if self.ids == "honoured":
            return list(self.order[after_id : step.visible])
        if step.live and step.visible > before:
            return sorted(self.order[:before]) + list(self.order[before : step.visible])
        return sorted(self.order[: step.visible])

    def last_seq(self, visible: int) -> int | None:
        """Return the last number that a done frame announces when `visible` rows are there."""
        there = sorted(self.order[:visible])
        if not there:
            return -1
        numbered = [(place, index) for place, index in enumerate(there) if self.rows[index].numbered]
        if not numbered:
            return None
        place, index = numbered[-1]
        return self.first + (place if self.renumber else index)


def has_final_text(rows: Iterable[Row], holding: str = "") -> bool:
    """Whether text comes after the last tool call, and holds a final result."""
    texts: list[str] = []
    for row in rows:
        if row.event_type == "tool_use":
            texts = []
        elif row.event_type in {"text", "assistant", "result"} and isinstance(row.payload.get("content"), str):
            texts.append(row.payload["content"])
    return bool(texts) and holding in "".join(texts)


@define
class _Source:
    """What was sent on a connect, or by a read of the content."""

    rows: list[int]
    got: list[str] = field(factory=list[str])


@define(eq=False)
class UnreliableServer:
    """Plays a scenario."""

    scenario: Scenario
    time: VirtualTime
    sick_after: int | None = None
    """After how many connects every later one fails, each in another way, if the turn hasn't ended by then."""
    sick_connects: int = field(default=0, init=False)
    over: bool = field(default=False, init=False)
    """Set when silence may end: a server that sends nothing doesn't notice that a client has gone."""
    place: int = field(default=-1, init=False)
    """The step that is being taken."""
    connects: int = field(default=0, init=False)
    reads: int = field(default=0, init=False)
    _ended_reads: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)
    _visible: int = field(default=0, init=False)
    _sub_reads: int = field(default=0, init=False)
    _sub_got: list[str] = field(factory=list[str], init=False)
    _sources: list[_Source] = field(factory=lambda: [_Source([])], init=False)

    async def __call__(self, request: RawRequest) -> Any:
        path = request.path.removeprefix(f"/v1/tasks/{TASK_ID}")
        if path == "/events":
            return self._stream(request)
        if path == f"/prompts/{SUB_PROMPT_ID}/events":
            return self._sub_events()
        self.reads += 1
        if path == "" and self.reads in self.scenario.failing_reads:
            return (DROP, http_response(502, _GATEWAY, Content_Type="text/html"), http_response(503))[self.reads % 3]
        return self._content() if path == "/content" else json_response({"id": TASK_ID, **self._task()})

    # --- The stream ----------------------------------------------------------------------------------------------

    def _stream(self, request: RawRequest) -> Any:
        self.connects += 1
        assert self.connects <= _MOST_CONNECTS, "connected again and again"
        if self.sick_after is not None and self.connects > self.sick_after and self.place < self.scenario.ended_at:
            return self._fail()
        step = self._next()
        self._sources.append(_Source([]))
        match step.kind:
            case "refuse":
                status = step.refusal
                body = _GATEWAY
                more = {"Retry_After": "1"} if status == 429 else {}
                return http_response(status, body, Content_Type="text/html", **more)
            case "drop":
                return DROP
            case _:
                last_id = int(request.headers.get("last-event-id", "0"))
                return self._body(step, self._frames(step, last_id))

    def _fail(self) -> Any:
        self.sick_connects += 1
        self._sources.append(_Source([]))
        cut = Step("show", self._visible, end="reset", at=self.connects * 131)
        return (DROP, http_response(502), self._body(cut, self._frames(cut, 0)))[self.connects % 3]

    def _next(self) -> Step:
        steps = self.scenario.steps
        held = self.place >= 0 and self.time.now < self._since + steps[self.place].hold
        if not held and self.place < len(steps) - 1:
            self.place += 1
            self._since = self.time.now
        return steps[self.place]

    def _frames(self, step: Step, last_id: int) -> list[bytes]:
        frames: list[bytes] = []
        if step.kind == "previous":
            frames = [_frame({"seq": 1, "promptId": "p0", "eventType": "text", "payload": {"content": "old"}})]
        elif step.kind in {"show", "next"}:
            frames = self._turn(step, last_id)
        if step.kind == "next":
            frames.append(_frame({"seq": 1, "promptId": "p2", "eventType": "text", "payload": {"content": "new"}}))
        frames = self._with_noise(frames)
        if step.kind in {"empty", "pending"}:
            frames.append(done("succeeded", -1, ""))
        elif step.kind == "previous":
            frames.append(done("succeeded", 1, "old"))
        elif step.kind == "show" and step.end not in {"close", "cut", "reset", "silence"}:
            visible = len(self.scenario.rows) if step.announces_all else step.visible
            frames.append(done(step.end, self.scenario.last_seq(visible), step.result))
        return frames

    def _turn(self, step: Step, last_id: int) -> list[bytes]:
        before, self._visible = self._visible, max(self._visible, step.visible)
        rows = self.scenario.shown(before, step, last_id)
        self._sources[-1].rows.extend(rows)
        frames: list[bytes] = []
        for count, index in enumerate(rows, 1):
            shown = rows[:count] if step.live and count > before else rows
            frames.append(self._id(index) + _frame(self._document(index, shown)))
        return frames

    def _id(self, index: int) -> bytes:
        return b"" if self.scenario.ids == "none" else f"id: {self.scenario.order.index(index) + 1}\n".encode()

    def _document(self, index: int, shown: Sequence[int]) -> dict[str, Any]:
        place = sorted(shown).index(index) if self.scenario.renumber else index
        return {"promptId": PROMPT_ID, **_document(self.scenario.rows[index], self.scenario.first + place)}

    def _with_noise(self, frames: list[bytes]) -> list[bytes]:
        if not self.scenario.noise:
            return frames
        rng = Random(self.scenario.noise + self.connects)
        result = list[bytes]()
        for frame in frames:
            if rng.random() < 0.4:
                result.append(rng.choice(_NOISE))
            result.append(frame)
            if rng.random() < 0.2:
                result += [earlier for earlier in [rng.choice(result)] if _is_numbered(earlier)]
        return result

    async def _body(self, step: Step, frames: list[bytes]) -> AsyncIterator[Any]:
        chunked = self.scenario.chunked
        body = b"".join(frames)
        wire = [stream_head(chunked=chunked)]
        wire += [chunk(piece) if chunked else piece for piece in self._pieces(body)]
        if chunked and step.end != "silence":
            wire.append(chunk(b""))
        if step.end in {"cut", "reset"}:
            data = b"".join(wire)
            wire = self._pieces(data[: step.at % len(data)])
        for piece in wire:
            yield piece
        if step.end == "reset":
            yield DROP
        while step.end == "silence" and not self.over:
            await asyncio.sleep(0.005)

    def _pieces(self, data: bytes) -> list[bytes]:
        splits = self.scenario.splits or (len(data) or 1,)
        pieces = list[bytes]()
        start = 0
        while start < len(data):
            size = splits[len(pieces) % len(splits)]
            pieces.append(data[start : start + size])
            start += size
        return pieces

    # --- The reads -----------------------------------------------------------------------------------------------

    def _task(self) -> dict[str, Any]:
        scenario = self.scenario
        over = scenario.taken_over and self._is_last
        known = self.place >= scenario.ended_at
        if known:
            self._ended_reads += 1
        ended = known and self._ended_reads > scenario.lag
        ours = scenario.status.replace("exploded", "failed") if ended else "running"
        prompts = [{"id": "p0", "status": "succeeded"}]
        if known or self.reads > scenario.unknown:
            prompts.append({"id": PROMPT_ID, "status": ours})
        if over:
            prompts.append({"id": "p2", "status": "pending" if scenario.last.kind == "pending" else "running"})
        status = "running" if over or not ended else {"succeeded": "completed"}.get(ours, ours)
        result = scenario.answer if scenario.has_task_result and known and not over else None
        return {"status": status, "prompts": prompts, "finalResult": result}

    def _sub_events(self) -> Any:
        self._sub_reads += 1
        count = len(self.scenario.subs) if self._is_last else self._sub_reads // 2
        if self._sub_reads in self.scenario.failing_reads:
            failures = (
                DROP,
                http_response(502, _GATEWAY),
                http_response(200, _GATEWAY),
                DROP if self._is_last else http_response(404),
            )
            return failures[self._sub_reads % 4]
        rows = self.scenario.subs[:count]
        events = [_document(row, self.scenario.first + place) for place, row in enumerate(rows)]
        return json_response({"promptId": SUB_PROMPT_ID, "events": events})

    @property
    def _is_last(self) -> bool:
        return self.place == len(self.scenario.steps) - 1

    def _content(self) -> Any:
        everything = list(range(len(self.scenario.rows)))
        self._sources.append(_Source(everything))
        prompt = {
            "id": PROMPT_ID,
            "status": self.scenario.status,
            "response": self.scenario.answer,
            "events": [self._document(index, everything) for index in everything],
        }
        later = [{"id": "p2"}] if self.scenario.taken_over and self._is_last else []
        return json_response({"id": TASK_ID, "prompts": [{"id": "p0"}, prompt, *later]})

    # --- The model -----------------------------------------------------------------------------------------------

    def note(self, event: TaskEvent) -> None:
        """Note that a consumer was given an event."""
        got = self._sub_got if event.prompt_id == SUB_PROMPT_ID else self._sources[-1].got
        got.append(token(event.event_type, event.payload))

    @property
    def got(self) -> list[str]:
        """Everything that was delivered."""
        return [item for source in self._sources for item in source.got] + self._sub_got

    def check(self, *, whole: bool = True) -> None:
        """Check that each row came once, and those of each connect in its order and without a gap.

        Args:
            whole: Whether everything must have been delivered.
        """
        rows = self.scenario.rows
        delivered = set[int]()
        for source in self._sources:
            fresh = [index for index in source.rows if index not in delivered]
            expected = [rows[index].token for index in fresh[: len(source.got)]]
            assert source.got == expected, f"got {source.got} of a source that had {[rows[i].token for i in fresh]}"
            delivered.update(fresh[: len(source.got)])
        subs = [row.token for row in self.scenario.subs]
        assert self._sub_got == (subs if whole else subs[: len(self._sub_got)])
        if whole:
            missing = [rows[index].token for index in range(len(rows)) if index not in delivered]
            assert not missing, f"lost {missing}; got {self.got}"


def _document(row: Row, number: int) -> dict[str, Any]:
    document: dict[str, Any] = {"eventType": row.event_type, "payload": row.payload}
    if row.key is not None:
        document["eventKey"] = row.key
    if row.numbered:
        document["seq"] = number
    return document


def _frame(document: dict[str, Any]) -> bytes:
    return f"event: event\ndata: {json.dumps(document)}\n\n".encode()


def _is_numbered(frame: bytes) -> bool:
    return b'"seq"' in frame  # what has a key alone says nothing of its place when it is repeated
