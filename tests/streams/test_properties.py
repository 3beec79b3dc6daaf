"""The proof: a stream gives every event once, in order of appearance, and the right end, whatever happens.

Scenarios are drawn by Hypothesis and played on real sockets; time is virtual. `REBYTE_EXAMPLES=50` runs fifty times
as many as usual.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from zlib import crc32

import anyio
import pytest
from attrs import define, evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from rebyte_async import AsyncRebyte, RetryPolicy, errors
from rebyte_async.sse import ServerSentEvent
from rebyte_async.streams._cursor import CursorPosition, read_cursor, write_cursor
from rebyte_async.streams._delivered import Delivered
from rebyte_async.streams._turn import TurnState
from rebyte_async.streams.stream import TaskEventStream
from rebyte_async.streams.text import TextAssembler
from rebyte_async.types import (
    Done,
    ResultEvent,
    TaskEvent,
    TaskStatus,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
    UnknownEvent,
)
from support.clients import client_of
from support.raw_server import RawRequest, RawServer
from support.task_server import TASK_ID
from support.unreliable_server import (
    PROMPT_ID,
    SUB_PROMPT_ID,
    Row,
    Scenario,
    Short,
    Step,
    UnreliableServer,
    VirtualTime,
    has_final_text,
)

SCALE = float(os.environ.get("REBYTE_EXAMPLES", "1"))
HARD_LIMIT = 20
"""Seconds of real time after which an example hangs."""
IDLE = 0.25
"""The idle timeout of a stream whose scenario has silence, in seconds of real time."""
STATUSES = {
    "succeeded": "completed",
    "completed": "completed",
    "failed": "failed",
    "exploded": "failed",
    "canceled": "canceled",
    "cancelled": "canceled",
}


def examples(count: int) -> settings:
    """Run a number of examples, the same ones in every ordinary run."""
    return settings(
        deadline=None,
        max_examples=max(1, int(count * SCALE)),
        derandomize=SCALE <= 1,
        print_blob=SCALE > 1,
    )


# --- What can happen ---------------------------------------------------------------------------------------------


@st.composite
def rows(draw: st.DrawFn, naming: str, *, delegates: bool = False) -> tuple[Row, ...]:
    """Draw a turn's events. Those without an identity may be equal; all others differ."""
    kinds = draw(st.lists(st.sampled_from(["text", "tool_use", "tool_result", "delta", "other", "odd"]), max_size=7))
    if delegates:
        kinds.insert(draw(st.integers(0, len(kinds))), "delegation")
    return tuple(_row(draw, kind, index, naming) for index, kind in enumerate(kinds))


def _row(draw: st.DrawFn, kind: str, index: int, naming: str) -> Row:
    named = draw(st.sampled_from(["key", "both", "number", "none"])) if naming == "mixed" else naming
    label = draw(st.sampled_from("ab")) if named == "none" else f"w{index}"
    event_type, payload = {
        "text": (draw(st.sampled_from(["text", "assistant", "result"])), {"content": label}),
        "delta": ("text", {"content": label, "is_delta": True}),
        "tool_use": ("tool_use", {"id": f"w{index}", "name": "Bash"}),
        "delegation": ("tool_use", {"id": f"w{index}", "name": "Task", "subPromptId": SUB_PROMPT_ID}),
        "tool_result": ("tool_result", {"id": f"w{index}", "output": "x"}),
        "other": (draw(st.sampled_from(["brand_new", "thinking"])), {"content": label}),
        "odd": ("text", {"content": 5, "n": label}),
    }[kind]
    return Row(event_type, payload, f"k{index}" if named in {"key", "both"} else None, named in {"both", "number"})


@st.composite
def orders(draw: st.DrawFn, turn: tuple[Row, ...]) -> tuple[int, ...]:
    """Draw an order of appearance: some rows with an identity come late."""
    delays = [draw(st.sampled_from([0, 0, 0, 2, 4])) if row.has_identity else 0 for row in turn]
    return tuple(sorted(range(len(turn)), key=lambda index: (index + delays[index], index)))


@st.composite
def running_steps(draw: st.DrawFn, count: int, *, given: bool) -> list[Step]:
    """Draw what connects bring while the turn runs; at most one of them falls silent."""
    kinds = ["show", "show", "show", "empty", "refuse", "drop"] + ["previous"] * 2 * given
    steps: list[Step] = []
    visible = 0
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=5)):
        if kind == "show":
            visible = min(count, visible + draw(st.integers(0, 3)))
            end = draw(st.sampled_from(["close", "cut", "cut", "reset", "reset", "close"]))
            at = draw(st.integers(0, 3000)) if end in {"cut", "reset"} else 0
            steps.append(Step("show", visible, draw(st.booleans()), end, at))
        elif kind == "refuse":
            steps.append(Step("refuse", refusal=draw(st.sampled_from([429, 500, 502, 503, 200]))))
        elif kind == "drop":
            steps.append(Step("drop"))
        else:
            steps.append(Step(kind, hold=draw(st.sampled_from([0.0, 0.0, 5.0]))))
    if steps and draw(st.integers(0, 11)) == 0:
        place = draw(st.integers(0, len(steps) - 1))
        if steps[place].kind == "show":
            steps[place] = evolve(steps[place], end="silence")
    return steps


@st.composite
def draining_steps(draw: st.DrawFn, base: Scenario, before: int, *, least: int) -> list[Step]:
    """Draw what connects bring when the turn is reported as ended and its tail isn't readable yet.

    Only what can be survived: no end is reported that can only be the last. The tail may come after any number of
    tries, for the content has it.
    """
    steps: list[Step] = []
    result, announces_all = draw(st.sampled_from(["", base.answer])), draw(st.booleans())
    dones = draw(st.booleans())  # else it is the task alone that says so
    while STATUSES[base.status] != "canceled" and (len(steps) < least or draw(st.booleans())):
        kind = draw(st.sampled_from(["end", "end", "partial", "fail"])) if steps else "end"
        hold = draw(st.integers(0, 7)) if kind == "end" else 0
        if kind == "fail":
            step = draw(st.sampled_from([Step("drop"), Step("refuse"), Step("refuse", refusal=429)]))
        elif kind == "partial":
            step = Step("show", draw(st.integers(0, before)), end="close")
        else:
            visible = draw(st.integers(before, len(base.rows)))
            end = base.status if dones else "close"
            step = Step("show", visible, draw(st.booleans()), end, result=result, announces_all=announces_all)
        if kind == "end" and dones:
            shown = [base.shown(before, step), base.shown(step.visible, step)]
            looks_whole = any(has_final_text((base.rows[index] for index in indexes), result) for indexes in shown)
            if not _is_doubtful(base, step, looks_whole=looks_whole):
                break
        steps.append(evolve(step, hold=float(hold)))
        before = max(before, step.visible)
    return steps


def _is_doubtful(base: Scenario, step: Step, *, looks_whole: bool) -> bool:
    """Whether a done frame leaves it open that more will come."""
    last, so_far = base.last_seq(len(base.rows)), base.last_seq(step.visible)
    announces_more = step.announces_all and None not in {last, so_far} and last != so_far
    return announces_more or not (looks_whole or STATUSES[base.status] == "failed")


@st.composite
def scenarios(draw: st.DrawFn, *, quick: bool = False, delegates: bool = False, drains: bool = False) -> Scenario:
    """Draw a turn and what goes wrong with it."""
    naming = draw(st.sampled_from(["number", "both", "key", "mixed", "none"]))
    turn = draw(rows(naming, delegates=delegates))
    given = draw(st.booleans())
    status = draw(st.sampled_from(["succeeded"] if drains else ["succeeded", "succeeded", "completed", *STATUSES]))
    base = Scenario(
        rows=turn,
        order=draw(orders(turn)),
        steps=(),
        ended_at=0,
        status=status,
        first=draw(st.integers(0, 1)),
        renumber=naming == "both" and draw(st.booleans()),
        ids=draw(st.sampled_from(["none", "none", "ignored", "honoured"])),
        given=given,
        noise=draw(st.integers(0, 3)),
        splits=tuple(draw(st.sampled_from([[], [1], [7, 1, 30], [100, 3]]))),
        chunked=draw(st.sampled_from([True, True, True, False])),
        has_task_result=draw(st.booleans()),
        lag=draw(st.integers(0, 2)),
        unknown=draw(st.integers(0, 2)) if given else 0,
        failing_reads=frozenset(draw(st.lists(st.integers(1, 6), max_size=3))),
        subs=draw(rows(draw(st.sampled_from(["number", "key", "mixed", "none"])))) if delegates else (),
    )
    running = [] if drains else draw(running_steps(len(turn), given=given))
    if quick:
        running = [step for step in running if step.end != "silence"]
    before = max((step.visible for step in running), default=0)
    draining = draw(draining_steps(base, before, least=6 if drains else draw(st.integers(0, 2))))
    last = Step("show", len(turn), draw(st.booleans()), status, result=draw(st.sampled_from(["", base.answer])))
    ways = ["done"] * 5 + ["close"] + ["next", "pending"] * (given and status != "exploded")
    way = draw(st.sampled_from(ways))
    if way == "close":
        last = evolve(last, end="close", result="")
    elif way != "done":
        last = Step(way, draw(st.integers(before, len(turn))), end="close")
    steps = (*running, *draining, last)
    return evolve(base, steps=steps, ended_at=len(running))


# --- What a consumer does ----------------------------------------------------------------------------------------


@frozen
class Act:
    """Something that a consumer does before it continues to read.

    Kinds: `read` some events; be cancelled natively (`cancel`) or by a scope (`scope`) after some turns of the event
    loop; `timeout` after some tenths of a millisecond; have another task `close` the stream; `disconnect`; `leave`
    and resume by the cursor in a new client; be `impatient`, and so cancelled again and again.
    """

    kind: str
    count: int


@frozen(repr=False)
class Story(Short):
    """What the server does, and what the consumer does."""

    scenario: Scenario
    acts: tuple[Act, ...] = ()
    sick_after: int | None = None
    """After how many connects the server is out of order until the stream is given up."""
    attempts: int | None = None
    """The policy's attempts; by default enough that the stream never gives up."""


def stories(
    scenario: st.SearchStrategy[Scenario], *, acts: int, least: int = 0, **more: st.SearchStrategy[int]
) -> st.SearchStrategy[Story]:
    """Draw stories with at most `acts` acts."""
    return st.builds(Story, scenario, st.lists(ACTS, min_size=least, max_size=acts).map(tuple), **more)


ACTS = st.builds(
    Act,
    st.sampled_from(["read", "cancel", "scope", "timeout", "close", "disconnect", "leave", "impatient"]),
    st.integers(0, 40),
)


@define
class Consumer:
    """Follows a scenario's turn with any number of clients, one after the other."""

    server: RawServer
    world: UnreliableServer
    retry: RetryPolicy
    idle: float | None = None
    resumes_failures: bool = False
    """Whether to resume from the cursor of the error when a stream gives up."""
    failures: int = field(default=0, init=False)
    cursor: str | None = None
    resumes: int = field(default=0, init=False)
    done: Done | None = field(default=None, init=False)

    async def follow(self, acts: tuple[Act, ...]) -> Done:
        """Read to the end, and carry out the acts on the way."""
        rest = list(acts)
        while self.done is None:
            async with self._client() as client:
                async with self._events(client) as stream:
                    try:
                        await self._use(stream, rest)
                    except errors.StreamInterruptedError as error:
                        self._interrupted(error)
                        continue
                    assert json.loads(json.dumps(stream.cursor)) == stream.cursor
                    self.cursor = stream.cursor
                    self.done = stream.done
                stats = client.stats()
                assert (stats.open_streams, stats.in_flight) == (0, 0)
            self.resumes += 1
        return self.done

    def _interrupted(self, error: errors.StreamInterruptedError) -> None:
        if not self.resumes_failures:
            raise error
        self.failures += 1
        self.world.sick_after = None
        assert (error.cursor is None) == (not self.world.got)
        self.cursor = error.cursor

    def _client(self) -> AsyncRebyte:
        return client_of(self.server.url, retry=self.retry, _time=self.world.time.time)

    def _events(self, client: AsyncRebyte) -> TaskEventStream:
        prompt_id = PROMPT_ID if self.world.scenario.given else None
        return client.tasks.events(
            TASK_ID,
            prompt_id=prompt_id,
            after=self.cursor,
            idle_timeout=self.idle,
            follow_subprompts=bool(self.world.scenario.subs),
        )

    async def _use(self, stream: TaskEventStream, acts: list[Act]) -> None:
        """Read until the end, or until the consumer leaves."""
        while acts:
            act = acts.pop(0)
            if act.kind == "leave":
                return
            try:
                await self._do(stream, act)
            except StopAsyncIteration:
                return
        async for event in stream:
            self.world.note(event)

    async def _do(self, stream: TaskEventStream, act: Act) -> None:
        if act.kind == "disconnect":
            stream.disconnect()
        elif act.kind == "read":
            for _ in range(act.count % 4):
                await self._one(stream)
        elif act.kind == "timeout":
            with suppress(TimeoutError):
                await asyncio.wait_for(self._one(stream), act.count / 10_000)
        elif act.kind == "scope":
            await _scoped(lambda: self._one(stream), act.count)
        elif act.kind == "impatient":
            for _ in range(60):
                await _scoped(lambda: self._one(stream), act.count)
        else:
            await self._disturbed(stream, act)

    async def _disturbed(self, stream: TaskEventStream, act: Act) -> None:
        reader = asyncio.create_task(self._until_stop(stream))
        for _ in range(act.count):
            await asyncio.sleep(0)
        if act.kind == "close":
            await stream.close()
        else:
            reader.cancel()
        with suppress(asyncio.CancelledError):
            if await reader:
                raise StopAsyncIteration

    async def _until_stop(self, stream: TaskEventStream) -> bool:
        """Read on; True when the iteration has ended."""
        try:
            while True:
                await self._one(stream)
        except StopAsyncIteration:
            return True

    async def _one(self, stream: TaskEventStream) -> None:
        event = await anext(stream)
        self.world.note(event)


async def _scoped(read: Callable[[], Awaitable[None]], turns: int) -> None:
    scope = anyio.CancelScope()

    async def cancel() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        scope.cancel()

    canceller = asyncio.create_task(cancel())
    try:
        with scope:
            await read()
    finally:
        canceller.cancel()
        with suppress(asyncio.CancelledError):
            await canceller


async def _settled(server: RawServer) -> None:
    """Check that no task, and no connection on the server's side, is left over."""
    async with asyncio.timeout(2):
        while server._tasks:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def play(story: Story) -> None:
    """Check that the turn and its end are delivered, and that nothing is left over."""
    scenario, attempts = story.scenario, story.attempts

    async def main() -> None:
        async with asyncio.timeout(HARD_LIMIT):
            world = UnreliableServer(scenario, VirtualTime(), story.sick_after)
            async with RawServer(world) as server:
                retry = RetryPolicy(max_attempts=attempts or scenario.mishaps + 1, max_delay=1)
                idle = IDLE if _is_silent(scenario) else None
                consumer = Consumer(server, world, retry, idle, attempts is not None)
                end = await consumer.follow(story.acts)
                world.check()
                _check_end(scenario, end, whole=consumer.resumes == 1 and attempts is None)
                if not story.acts:
                    assert world.sick_connects <= (retry.max_attempts + 1) * (len(world.got) + 1)
                    assert consumer.failures or world.sick_connects < retry.max_attempts
                consumer.done = None
                count = len(world.got)
                again = await consumer.follow(())
                assert len(world.got) == count, "a resume after the end repeated something"
                assert again.status == end.status
                world.over = True
                await _settled(server)

    asyncio.run(main())


def _is_silent(scenario: Scenario) -> bool:
    return any(step.end == "silence" for step in scenario.steps)


def _check_end(scenario: Scenario, end: Done, *, whole: bool) -> None:
    """Check the status in any case, and the rest where the scenario determines it.

    Args:
        scenario: What the server did.
        end: The end that the consumer got.
        whole: Whether one stream had it all.
    """
    assert end.status == STATUSES[scenario.status]
    if scenario.taken_over or scenario.last.result or scenario.has_task_result:
        assert end.final_result == scenario.answer
    elif whole and end.final_result != scenario.answer:
        assert bool(end.final_result) == has_final_text(scenario.rows)
    if scenario.last.result and scenario.ended_at == len(scenario.steps) - 1:
        assert end.last_seq == scenario.last_seq(len(scenario.rows))


@examples(150)
@given(stories(scenarios(), acts=0))
def test_every_event_comes_once_in_order_to_the_right_end(story: Story) -> None:
    """A server does anything that the contract allows: the turn and its end are delivered exactly."""
    play(story)


@examples(150)
@given(stories(scenarios(drains=True), acts=2))
def test_a_late_tail_is_waited_for(story: Story) -> None:
    """An end is reported early, and the consumer is impatient: the tail still gets its promised time."""
    play(story)


@examples(150)
@given(stories(scenarios(quick=True), least=1, acts=12))
def test_whatever_the_consumer_does_nothing_is_lost_or_repeated(story: Story) -> None:
    """Cancelled, timed out, closed, disconnected and resumed at any point: all that was delivered is the turn, once."""
    play(story)


@examples(80)
@given(stories(scenarios(quick=True, delegates=True), acts=8))
def test_the_events_of_a_delegation_come_once(story: Story) -> None:
    """The events of a sub-prompt come once and in order, whatever happens to stream, reads and consumer."""
    play(story)


@examples(100)
@given(stories(scenarios(quick=True), acts=4, sick_after=st.integers(0, 4), attempts=st.integers(1, 4)))
def test_a_stream_that_gave_up_resumes_from_its_cursor(story: Story) -> None:
    """More failures in a row than allowed raise, and the error's cursor leads to exactly the rest."""
    play(story)


CUT_TURN = (
    Row("text", {"content": "w0"}),
    Row("tool_use", {"id": "w1", "name": "Bash"}, "k1", numbered=False),
    Row("thinking", {"content": "w2"}, numbered=False),
    Row("text", {"content": "w3"}),
)


@pytest.mark.parametrize("ids", ["none", "honoured"])
@pytest.mark.parametrize(("end", "chunked"), [("cut", True), ("reset", True), ("cut", False)])
async def test_a_cut_at_any_byte_loses_nothing(end: str, ids: str, *, chunked: bool) -> None:
    """Losing the connection at any byte of a response, its head included, neither loses nor repeats an event."""
    worlds: list[UnreliableServer] = []

    async def handler(request: RawRequest) -> Any:
        return await worlds[-1](request)

    time = VirtualTime()
    async with RawServer(handler) as server, client_of(server.url, _time=time.time) as client:
        for at in range(1000 if chunked else 700):
            steps = (Step("show", 4, end=end, at=at), Step("show", 4, end="succeeded", result="w3"))
            scenario = Scenario(CUT_TURN, (0, 1, 2, 3), steps, ended_at=1, ids=ids, chunked=chunked)
            worlds.append(world := UnreliableServer(scenario, time))
            async with client.tasks.events(TASK_ID) as stream:
                async for event in stream:
                    world.note(event)
            world.check()
            assert stream.done == Done(status=TaskStatus.COMPLETED, last_seq=4, final_result="w3")
        assert client.stats().open_streams == 0


# --- The pure parts ----------------------------------------------------------------------------------------------


NUMBERS = (
    st.integers(-6, 25) | st.integers() | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**4300 - 1])
)
KEYS = st.text(max_size=3)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(2**70) | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
IDENTITIES = st.fixed_dictionaries({}, optional={"seq": NUMBERS, "event_key": KEYS})


@examples(400)
@given(
    st.lists(
        st.sampled_from(["again", "cursor"])
        | st.tuples(IDENTITIES, st.sampled_from(["", "s1", "s2"]), st.sampled_from("xyz"), st.booleans()),
        max_size=60,
    )
)
def test_what_was_delivered_behaves_like_a_set(steps: list[Any]) -> None:
    """Any numbers and keys in any order are new exactly once, and a cursor covers them, whenever others were taken."""
    seen = Delivered()
    model = set[Any]()
    counts: dict[Any, int] = {}
    for step in steps:
        if step == "again":
            seen.restart()
            seen.restart(out_of_band=True)
            counts.clear()
        elif step == "cursor":
            position = seen.position("p")
            assert read_cursor(TASK_ID, json.loads(json.dumps(write_cursor(TASK_ID, position)))) == position
            digests = [position.own, *position.of_sub_prompts.values()]
            assert sum(digest.size for digest in digests) == len(model)
        else:
            names, sub_prompt, content, aside = step
            identity: Any = names.get("event_key"), names.get("seq") if "event_key" not in names else None
            if not names:
                counts[aside, sub_prompt, content] = counts.get((aside, sub_prompt, content), 0) + 1
                identity = content, counts[aside, sub_prompt, content], "nameless"
            event = TextEvent(event_type="text", text="", payload={"content": content}, **names)
            assert seen.of(sub_prompt).add(event, aside) == ((sub_prompt, identity) not in model)
            model.add((sub_prompt, identity))
    assert bool(seen) == bool(model)


@define
class _Turn:
    """The rows of a turn as a server shows them, and the streams that follow them one after the other."""

    rows: list[tuple[Any, ...]]
    got: list[Any] = field(factory=list[Any])
    cursor: str | None = None

    def follow(self, shown: list[int], taken: int, cut: int, *, asks_often: bool) -> None:
        """Have a new stream resume; cut its first replay; show the rows in their places, and take some new events."""
        position = CursorPosition("p") if self.cursor is None else read_cursor(TASK_ID, self.cursor)
        turn = TurnState(TASK_ID, "p", Delivered(position), None)
        for places in (shown[:cut], shown):
            turn.restart()
            turn.add_frames([self._frame(place, shown) for place in places])
            for _ in range(taken):
                if (event := turn.next_event()) is None:
                    break
                taken -= 1
                self.got.append(event.payload["row"])
                self.cursor = turn.cursor if asks_often else self.cursor
        self.cursor = turn.cursor

    def _frame(self, place: int, shown: list[int]) -> ServerSentEvent:
        kind, row = self.rows[place]
        seq = shown.index(place) if kind == "renumbered" else row
        names: dict[str, dict[str, Any]] = {
            "key": {"eventKey": f"k{row}"},
            "renumbered": {"eventKey": f"k{row}", "seq": seq},
            "number": {"seq": seq},
        }
        document = {"eventType": "x", "promptId": "p", "payload": {"row": row, **({"n": 1} if kind == "none" else {})}}
        return ServerSentEvent("event", json.dumps({**document, **names.get(kind, {})}), "")


@examples(300)
@given(st.data())
def test_a_cursor_is_exact_with_up_to_three_late_rows(data: st.DataObject) -> None:
    """Rows that come late anywhere, are renumbered or change places: any number of resumed streams give each once."""
    kinds = data.draw(st.lists(st.sampled_from(["key", "renumbered", "number", "none"]), min_size=1, max_size=30))
    turn = _Turn([(kind, row) for row, kind in enumerate(kinds)])
    visible: list[int] = []
    hidden = list(range(len(kinds)))
    while hidden:
        late = data.draw(st.lists(st.sampled_from(hidden), unique=True, max_size=3))
        newest = max(visible, default=-1)
        late = [row for row in late if row < newest] or [row for row in hidden if row > newest][:6]
        late = late or hidden[:3]
        hidden = [row for row in hidden if row not in late]
        order = sorted([*visible, *late])
        if data.draw(st.booleans()):  # the delivered ones in another order
            places = [place for place, row in enumerate(order) if row in visible]
            for place, row in zip(places, data.draw(st.permutations(visible)), strict=True):
                order[place] = row
        taken = data.draw(st.integers(0, 6))
        turn.follow(order, taken, data.draw(st.integers(0, len(order))), asks_often=data.draw(st.booleans()))
        turn.follow(order, 99, data.draw(st.integers(0, len(order))), asks_often=data.draw(st.booleans()))
        assert sorted(turn.got) == sorted([*visible, *late])
        assert [row for row in turn.got if row in late] == [row for row in order if row in late]
        visible = order


@examples(200)
@given(st.lists(st.integers(0, 40), unique=True, max_size=30), st.lists(st.integers(0, 40), unique=True, max_size=40))
def test_a_cursor_never_loses_an_event(delivered: list[int], shown: list[int]) -> None:
    """Whatever the service shows afterwards, what was not delivered comes; where that is open, all comes again."""
    seen = Delivered()
    for number in delivered:
        seen.own.add(TextEvent(event_type="text", text="", event_key=f"k{number}"))
    turn = TurnState(TASK_ID, "p", Delivered(seen.position("p")), None)
    document = {"eventType": "x", "promptId": "p", "payload": {}}
    frames = [json.dumps({**document, "eventKey": f"k{number}"}) for number in shown]
    turn.add_frames([ServerSentEvent("event", frame, "") for frame in frames])
    got = list(iter(turn.next_event, None))
    turn.release_withheld()
    got += list(iter(turn.next_event, None))
    keys = [event.event_key for event in got]
    assert len(set(keys)) == len(keys)
    assert set(keys) >= {f"k{number}" for number in shown if number not in delivered}
    if set(delivered) <= set(shown):
        last = max((shown.index(number) for number in delivered), default=-1)
        is_decidable = len([number for number in shown[: last + 1] if number not in delivered]) <= 3
        assert len(keys) == (len(shown) - len(delivered) if is_decidable else len(shown))


@examples(200)
@given(PAYLOADS)
def test_an_event_without_identity_is_recognized_by_its_payload(payload: Any) -> None:
    """An event is recognized in a replay whatever JSON its payload holds."""
    event = UnknownEvent(event_type="x", payload={"a": payload})
    seen = Delivered()
    assert seen.own.add(event)
    seen.restart()
    assert not seen.own.add(event)
    again = Delivered(seen.position(None))
    assert not again.own.add(event)
    assert not again.own.is_resuming


def _events(numbers: list[int], keys: list[str]) -> list[TaskEvent]:
    return [
        *(TextEvent(event_type="text", text="", seq=number) for number in numbers),
        *(TextEvent(event_type="text", text="", event_key=key) for key in keys),
    ]


SEENS = st.builds(_events, st.lists(NUMBERS, max_size=6), st.lists(KEYS, max_size=3))


@examples(400)
@given(st.data())
def test_a_damaged_cursor_is_refused(data: st.DataObject) -> None:
    """A cursor that was changed anywhere is an InvalidRequestError: it neither loads nor breaks anything."""
    events, prompt_id = data.draw(SEENS), data.draw(st.none() | st.text(max_size=4))
    seen = Delivered()
    for event in events:
        seen.of(data.draw(st.sampled_from(["", "s1"]))).add(event)
    position = seen.position(prompt_id)
    cursor = write_cursor(TASK_ID, position)
    assert read_cursor(TASK_ID, cursor) == position
    start = data.draw(st.integers(0, len(cursor)))
    stop = data.draw(st.integers(start, min(len(cursor), start + 4)))
    damaged = cursor[:start] + data.draw(st.text(max_size=4)) + cursor[stop:]
    if damaged != cursor:
        with pytest.raises(errors.InvalidRequestError):
            read_cursor(TASK_ID, damaged)
    head = damaged.rpartition(".")[0]
    with suppress(errors.InvalidRequestError):  # even one with a right sum
        read_cursor(TASK_ID, f"{head}.{crc32(head.encode(errors='surrogatepass')):08x}")


WORDS = st.text("ab \n", max_size=3)


@examples(400)
@given(
    st.lists(
        st.tuples(st.sampled_from(["delta", "whole", "echo", "result", "last", "all", "break"]), WORDS), max_size=14
    )
)
def test_pieces_are_the_text(steps: list[tuple[str, str]]) -> None:
    """Joined, the pieces are the text: every delta unchanged, every block once, and no echo."""
    words = TextAssembler()
    blocks = list[str]()
    pieces = list[str]()
    is_open = is_streamed = False
    for index, (kind, word) in enumerate(steps):
        said = f"<{index}>{word}"
        event: TaskEvent = TextEvent(event_type="text", text=said, is_delta=kind == "delta")
        match kind:
            case "delta" if is_open:
                blocks[-1] += said
            case "echo" if is_open and is_streamed:
                event = TextEvent(event_type="text", text=f" {blocks[-1]}\n")
            case "last" | "all":
                said = blocks[-1] if kind == "last" and blocks else "\n\n".join(blocks)
                event = ResultEvent(event_type="result", text=said)
            case "break":
                event = BREAKS[index % len(BREAKS)]
            case _:
                event = ResultEvent(event_type="result", text=said) if kind == "result" else event
                blocks.append(said)
        is_open = kind in {"delta", "whole"} or (kind == "echo" and not (is_open and is_streamed))
        is_streamed = kind == "delta"
        pieces.append(words.feed(event))
        assert "".join(pieces) == words.text == "\n\n".join(blocks)
        assert words.last_block == (blocks[-1] if blocks else "")


BREAKS: list[TaskEvent] = [
    ToolUseEvent(event_type="tool_use", tool_id="1", name="Bash"),
    ToolResultEvent(event_type="tool_result", tool_id="1"),
    ThinkingEvent(event_type="thinking", text="hm"),
]
