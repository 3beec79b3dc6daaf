"""The first promise of a stream: it ends with the whole turn and the right final result, or raises.

Each scene is a turn of which every connect shows a part, in whatever way it then ends, with what task and content say
of it. It is played without sockets and without waits.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from rebyte_async import RetryPolicy, errors
from rebyte_async._clock import Time
from rebyte_async._tracing import NO_STREAM, StreamTrace
from rebyte_async._wire.models import decode
from rebyte_async.streams import TaskEventStream
from rebyte_async.types import Done, Task, TaskContent, TaskEvent
from support.clients import SkippedTime
from support.fake_source import ChunkedBody, task
from support.task_server import TASK_ID, done, event

LOST = errors.TransportError("lost")
ELSEWHERE = "words that no text has"
MANY = settings(max_examples=600, deadline=None, derandomize=True)


@frozen
class Show:
    """What a connect shows: the first rows to appear, and then an end."""

    visible: int
    end: str
    """`close`, `lost`, or the word of a done frame."""
    last: str = "so far"
    """The number that the done frame announces: that of the last row `so far`, that of `all`, or `none`."""
    has_result: bool = True


@frozen
class Scene:
    """A turn, and what stream, task and content say of it."""

    kinds: tuple[str, ...]
    order: tuple[int, ...]
    """The rows in their order of appearance."""
    shows: tuple[Show, ...]
    """The last one is repeated."""
    naming: str
    result: str
    """The final result, wherever one is given."""
    running: int
    """How many reads of the task say that the turn is running."""
    task_has_result: bool
    content: str
    """`whole`, `none`, `response` (without events), or `late`: without a response, and with the events so far."""

    def text_of(self, row: int) -> str:
        """Return the text of a row, which no other has."""
        return f"<{row}>"

    def rows(self, visible: int) -> list[int]:
        """Return the rows that are there, in their order."""
        return sorted(self.order[:visible])

    def document(self, row: int, place: int) -> dict[str, Any]:
        """Return a row as the service writes it, by its place among those that are there."""
        kind = self.kinds[row]
        payload: dict[str, Any] = {"content": self.text_of(row)}
        if kind == "delta":
            payload["is_delta"] = True
        elif kind in {"tool_use", "tool_result"}:
            payload = {"id": f"call {row}", "name": "Bash"}
        names: dict[str, Any] = {} if self.naming == "number" else {"eventKey": f"k{row}"}
        if self.naming != "key":
            names["seq"] = 1 + (place if self.naming == "renumbered" else row)
        return {"promptId": "p1", "eventType": "text" if kind == "delta" else kind, "payload": payload, **names}

    def last_seq(self, visible: int) -> int | None:
        """Return the number of the last row that is there."""
        documents = [self.document(row, place) for place, row in enumerate(self.rows(visible))]
        return max((document.get("seq", -1) for document in documents), default=-1) if self.naming != "key" else None

    def frames(self, show: Show) -> list[bytes | Exception]:
        """Return what a connect brings."""
        frames: list[bytes | Exception] = [
            _frame(self.document(row, place)) for place, row in enumerate(self.rows(show.visible))
        ]
        if show.end == "lost":
            return [*frames, LOST]
        if show.end != "close":
            numbers = {"so far": self.last_seq(show.visible), "all": self.last_seq(len(self.kinds)), "none": None}
            frames.append(done(show.end, numbers[show.last], self.result if show.has_result else ""))
        return frames or [b": nothing\n\n"]

    def said(self, rows: list[int]) -> list[str]:
        """Return the texts after the last tool call of these rows."""
        texts: list[str] = []
        for row in sorted(rows):
            texts = [] if self.kinds[row] == "tool_use" else texts
            texts += [self.text_of(row)] * (self.kinds[row] in {"text", "delta", "result"})
        return texts

    @property
    def is_believable_early(self) -> bool:
        """Whether a done frame comes early that nothing contradicts: no result, and no number beyond what there is."""
        is_silent = not self.result or (self.content != "response" and (self.running > 0 or not self.task_has_result))
        return is_silent and any(
            show.visible < len(self.kinds)
            and show.end not in {"close", "lost"}
            and not (show.has_result and self.result)
            for show in self.shows
        )


def _frame(document: dict[str, Any]) -> bytes:
    names = {"promptId": "prompt", "eventType": "event_type", "eventKey": "key", "seq": "seq"}
    named = {names[name]: value for name, value in document.items() if name in names}
    return event(named.pop("seq", None), **named, **document["payload"])


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Draw a turn that ends with its last words, or with none after a tool call."""
    kinds = draw(
        st.lists(st.sampled_from(["text", "delta", "tool_use", "tool_result", "thinking", "result"]), max_size=6)
    )
    last = draw(st.sampled_from(["text", "result", "text", "tool_use"]))
    kinds.append(last)
    late = [draw(st.sampled_from([0, 0, 0, 2])) for _ in kinds[:-1]]
    order = [*sorted(range(len(late)), key=lambda row: (row + late[row], row)), len(late)]
    answer = "" if last == "tool_use" else f"<{len(late)}>"
    result = draw(st.sampled_from([answer, answer, answer, ELSEWHERE]))
    words = ["succeeded", "completed", "succeeded", "exploded", "", "close", "lost"]
    content = draw(st.sampled_from(["whole", "whole", "none", "response", "late"]))
    shows = [
        Show(
            draw(st.integers(content != "whole", len(kinds))),
            draw(st.sampled_from(words)),
            draw(st.sampled_from(["so far", "all", "none"])),
            draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    if not shows or draw(st.booleans()):
        shows.append(Show(len(kinds), draw(st.sampled_from(["succeeded", "exploded"]))))
    return Scene(
        kinds=tuple(kinds),
        order=tuple(order),
        shows=tuple(shows),
        naming=draw(st.sampled_from(["number", "both", "renumbered", "key"])),
        result=result,
        running=draw(st.integers(0, 2)),
        task_has_result=draw(st.booleans()),
        content=content,
    )


@define
class SceneSource(ChunkedBody):
    """A `TurnSource` and its bodies that play a scene, and note what they have shown."""

    scene: Scene
    skipped: SkippedTime = field(factory=SkippedTime, init=False)
    retry: RetryPolicy = field(default=RetryPolicy(max_attempts=20, base_delay=0), init=False)
    task_id: str = field(default=TASK_ID, init=False)
    trace: StreamTrace = field(default=NO_STREAM, init=False)
    connects: int = field(default=0, init=False)
    shown: list[list[int]] = field(factory=list[list[int]], init=False)
    """The rows that each connect, and each read of the content, has shown."""
    _reads: int = field(default=0, init=False)

    @property
    def time(self) -> Time:
        """A clock whose sleeps take no time."""
        return self.skipped.time

    @property
    def show(self) -> Show:
        """What the latest connect shows."""
        return self.scene.shows[min(max(self.connects, 1), len(self.scene.shows)) - 1]

    async def connect(self, **_: object) -> SceneSource:
        """Open the next connection."""
        self.connects += 1
        assert self.connects < 200, "connected again and again"
        self.shown.append(self.scene.rows(self.show.visible))
        self._chunks = self.scene.frames(self.show)
        return self

    async def read_task(self) -> Task:
        """Read the task, which says for a while that the turn is running."""
        self._reads += 1
        if self._reads <= self.scene.running:
            return task("running")
        return task("completed", final_result=self.scene.result if self.scene.task_has_result else None)

    async def read_content(self) -> TaskContent:
        """Read the content."""
        scene = self.scene
        if scene.content == "none":
            raise errors.NotFoundError(404)
        turn: dict[str, Any] = {"id": "p1", "status": "succeeded"}
        if scene.content != "late":
            turn["response"] = scene.result
        if scene.content != "response":
            rows = scene.rows(len(scene.kinds) if scene.content == "whole" else self.show.visible)
            turn["events"] = [scene.document(row, place) for place, row in enumerate(rows)]
            self.shown.append(rows)
        return decode(TaskContent, {"id": TASK_ID, "prompts": [turn]})

    async def read_prompt_events(self, prompt_id: str) -> tuple[TaskEvent, ...]:
        """Fail: there are no delegations."""
        raise AssertionError(prompt_id)


@define
class Played:
    """What came of a scene."""

    source: SceneSource
    rows: list[int] = field(factory=list[int], init=False)
    """The rows that were delivered, in their order."""
    done: Done | None = field(default=None, init=False)
    error: errors.StreamInterruptedError | None = field(default=None, init=False)

    async def read(self) -> None:
        """Read the stream to its end."""
        async with TaskEventStream(self.source, idle_timeout=900) as stream:
            try:
                async for found in stream:
                    said = found.payload.get("content") or found.payload["id"]
                    self.rows.append(int("".join(filter(str.isdigit, said))))
            except errors.StreamInterruptedError as error:
                self.error = error
            self.done = stream.done


def play(scene: Scene) -> Played:
    """Read the stream of a scene."""
    played = Played(SceneSource(scene))
    asyncio.run(played.read())
    return played


@MANY
@given(scenes())
def test_a_turn_ends_whole_or_raises(scene: Scene) -> None:
    """Whatever prefixes, ends and replays come: each event comes once, and nothing that can be had is missing."""
    played = play(scene)
    whole = set(range(len(scene.kinds)))
    assert played.rows == list(dict.fromkeys(chain(*played.source.shown)))
    if scene.content == "whole" and scene.shows[-1].end != "lost":
        assert played.error is None
    if played.error is not None:
        assert played.done is None
        return
    assert played.done is not None
    assert played.done.status == "completed"
    missing = whole - set(played.rows)
    if scene.content == "whole":
        assert not missing
    if missing and not scene.is_believable_early:
        # The events are nowhere, and the service says that there are none: by the last number, or by the content.
        last = scene.last_seq(max(show.visible for show in scene.shows)) or 0
        number = played.done.last_seq
        assert scene.content == "late" or (number is not None and number <= last)
        assert played.done.final_result == scene.result
    # Else it is the last words, of which none was said before a tool call.
    said = "".join(scene.said(played.rows))
    assert played.done.final_result == scene.result or said.endswith(played.done.final_result)
