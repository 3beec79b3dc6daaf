"""The view for terminals: what is final scrolls by, and a status line stays at the bottom."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from attrs import define, field
from rich.console import Group
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from rebyte_async.cli.view.brief import arguments, duration, folded
from rebyte_async.cli.view.clean import clean, one_line
from rebyte_async.cli.view.keys import without_echo
from rebyte_async.cli.view.prose import Prose
from rebyte_async.cli.view.screens import make_console
from rebyte_async.cli.view.words import Words
from rebyte_async.types.events import (
    ErrorEvent,
    InitEvent,
    QuestionEvent,
    ResultEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

    from rebyte_async.cli.view.base import Ending, Stop
    from rebyte_async.types.events import TaskEvent

__all__ = ["RichView"]

_WIDEST = 100
"""Columns of prose: longer lines are hard to read, however wide the terminal is."""
_RESULT_LINES = 4
_ERROR_LINES = 8
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPINS_PER_SECOND = 10
_QUIET = 20.0
"""Seconds of silence after which the status line says that this is normal."""
_ENDS = {
    "completed": ("✓ completed", "green"),
    "failed": ("✗ failed", "red"),
    "canceled": ("⏹ canceled", "yellow"),
}


@define
class RichView:
    """Prints a line once it can't change any more; only the line being written and the status are drawn again."""

    _console: Console = field(converter=make_console)
    _live: Live = field(init=False)
    _keys: ExitStack = field(factory=ExitStack, init=False)
    _words: Words = field(factory=Words, init=False)
    _prose: Prose | None = field(default=None, init=False)
    _kind: str = field(default="", init=False)
    _tools: dict[str, str] = field(factory=dict[str, str], init=False)
    _last_tool: str = field(default="", init=False)
    _task_id: str = field(default="", init=False)
    _doing: str = field(default="starting the task", init=False)
    _usage: str = field(default="", init=False)
    _since: float = field(factory=time.monotonic, init=False)
    _heard: float = field(factory=time.monotonic, init=False)

    def __attrs_post_init__(self) -> None:
        self._live = Live(
            self,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def started(self, task_id: str) -> None:
        """Say which task it is."""
        self._task_id = task_id
        self._doing = "waiting for the agent"
        self._print_whole(Text(f"task {one_line(task_id)}", style="dim"))

    def event(self, event: TaskEvent) -> None:
        """Show what is new."""
        self._heard = time.monotonic()
        piece = self._words.of(event)
        match event:
            case TextEvent() | ResultEvent():
                self._note_usage(event)
                self._say(piece)
            case ThinkingEvent(text=text):
                self._think(text, goes_on=event.payload.get("is_delta") is True)
            case ToolUseEvent():
                self._call(event)
            case ToolResultEvent():
                self._return(event)
            case QuestionEvent():
                self._ask(event)
            case ErrorEvent(message=message):
                self._block("error", Prose("red").feed(f"✗ {clean(message).strip()}\n", self._width))
            case InitEvent(model=model, cwd=cwd):
                about = " · ".join(filter(None, (model, cwd))) or "the agent is ready"
                self._print(Text(one_line(about), style="dim"))
                self._doing = "working"
            case _:
                self._block("other", [self._cut(Text(f"· {event.event_type} {arguments(event.payload)}", style="dim"))])

    def tick(self) -> None:
        """Turn the spinner."""
        self._live.refresh()

    def status(self, text: str) -> None:
        """Say in the status line what is being waited for."""
        self._doing = text
        self._heard = time.monotonic()
        self._live.refresh()

    def note(self, text: str) -> None:
        """Print it."""
        self._print(Text(f"· {text}", style="dim"))

    def warn(self, text: str) -> None:
        """Show it as a block of its own."""
        self._block("warning", Prose("yellow").feed(f"! {text}\n", self._width))

    def ended(self, ending: Ending) -> None:
        """Show the answer, unless it has been said, and how the turn ended."""
        self._close()
        if answer := self._words.unsaid(ending.result):
            self._print(Text(), Rule("answer", style="dim", characters="─"))
            prose = Prose()
            self._print(*prose.feed(answer, self._width), *prose.finish())
        self._doing = ""
        status = one_line(str(ending.result.status))
        words, color = _ENDS.get(status, (status, "yellow"))
        title = Text.assemble((words, f"bold {color}"), (f" in {duration(ending.seconds)}{self._usage}", color))
        self._print(Text(), Rule(title, style=color, align="left"))

    def stopped(self, stop: Stop) -> None:  # noqa: ARG002 - of the protocol
        """Leave what has come, and drop the status line."""
        self._close()
        self._doing = ""

    def __enter__(self) -> Self:
        self._keys.enter_context(without_echo())
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._doing = ""
        self._live.stop()
        self._keys.close()

    def _say(self, piece: str) -> None:
        if not piece:
            return
        if self._kind != "text":
            self._begin("text", Prose())
            piece = piece.lstrip("\n")
        self._feed(piece)
        self._doing = "writing"

    def _think(self, text: str, *, goes_on: bool) -> None:
        if self._kind != "thinking":
            self._begin("thinking", Prose("dim italic"))
        elif not goes_on:
            self._close(kind="thinking", again=Prose("dim italic"))
        self._feed(clean(text) if goes_on else clean(text).strip("\n"))
        self._doing = "thinking"

    def _call(self, event: ToolUseEvent) -> None:
        name = one_line(event.name)
        self._tools[event.tool_id] = name
        self._last_tool = event.tool_id
        call = Text.assemble(("● ", "green"), (name, "bold"), " ", (arguments(event.input), "cyan"))
        self._block("call", [self._cut(call)])
        self._doing = f"running {name}"

    def _return(self, event: ToolResultEvent) -> None:
        fold = folded(event.output, _ERROR_LINES if event.is_error else _RESULT_LINES)
        style = "red" if event.is_error else "dim"
        follows = self._kind == "call" and event.tool_id == self._last_tool
        name = "" if follows else f"{self._tools.get(event.tool_id, event.tool_id)}: "
        lines = [Text(f"  {'  ' if number else '└ '}{line}", style=style) for number, line in enumerate(fold.lines)]
        lines[0] = Text(f"  └ {one_line(name)}{' ' if name else ''}{fold.lines[0]}", style=style)
        if fold.more:
            lines.append(Text(f"    … {fold.more} more line{'s' if fold.more > 1 else ''}", style=style))
        self._block("result", [self._cut(line) for line in lines], apart=self._kind not in {"call", "result"})
        self._doing = "working"

    def _ask(self, event: QuestionEvent) -> None:
        prose = Prose("bold yellow")
        lines = [*prose.feed(f"? {clean(event.question).strip()}\n", self._width)]
        for number, option in enumerate(event.options, 1):
            about = f"  {one_line(option.description)}" if option.description else ""
            lines.append(self._cut(Text.assemble(f"  {number}. ", (one_line(option.label), "bold"), (about, "dim"))))
        self._block("question", lines)
        if self._task_id:
            self._print_how_to_answer(event)
        self._doing = "waiting for an answer"

    def _print_how_to_answer(self, event: QuestionEvent) -> None:
        choice = "--option 1" if event.options else '--text "..."'
        several = " (several may be chosen)" if event.multi_select and event.options else ""
        self._print(*Prose("dim").feed(f"  The agent waits. Answer from another terminal{several}:\n", self._width))
        self._print_whole(Text(f"    rebyte-async answer {one_line(self._task_id)} {choice}", style="dim"))

    def _note_usage(self, event: TextEvent | ResultEvent) -> None:
        usage = event.usage if isinstance(event, ResultEvent) else None
        counts = [
            f"{count:,} tokens {way}"
            for way in ("in", "out")
            if isinstance(count := (usage or {}).get(f"{way}put_tokens"), int)
        ]
        if counts:
            self._usage = f" · {', '.join(counts)}"

    def _begin(self, kind: str, prose: Prose | None = None) -> None:
        """Begin a block, a blank line after the last one."""
        self._close()
        self._print(Text())
        self._kind, self._prose = kind, prose

    def _block(self, kind: str, lines: Iterable[Text], *, apart: bool = True) -> None:
        """Print a block that is there at once."""
        if apart:
            self._begin(kind)
        self._kind = kind
        self._print(*lines)

    def _close(self, kind: str = "", again: Prose | None = None) -> None:
        """End the open block; another one of its kind may follow without a blank line."""
        prose, self._prose, self._kind = self._prose, again, kind
        if prose is not None:
            self._print(*prose.finish())

    def _feed(self, piece: str) -> None:
        if self._prose is not None:
            self._print(*self._prose.feed(piece, self._width))

    @property
    def _width(self) -> int:
        return max(8, min(self._console.width, _WIDEST))

    def _cut(self, line: Text) -> Text:
        """A line that takes one line of the terminal."""
        line.truncate(self._console.width, overflow="ellipsis")
        return line

    def _print(self, *lines: RenderableType) -> None:
        if lines:
            self._console.print(Group(*lines), overflow="fold")

    def _print_whole(self, line: Text) -> None:
        """Print a line that shall stay one when it is copied, however narrow the terminal is."""
        self._console.print(line, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        """What is drawn again and again: the line that is being written, and the status."""
        rest = None if self._prose is None else self._prose.rest(self._width)
        lines = [] if rest is None else [self._cut(rest)]
        return Group(*lines, *([self._status()] if self._doing else []))

    def _status(self) -> Text:
        now = time.monotonic()
        spin = _SPINNER[int(now * _SPINS_PER_SECOND) % len(_SPINNER)]
        quiet = now - self._heard
        line = Text.assemble((f"{spin} ", "green"), (self._doing, ""), (f"  {duration(now - self._since)}", "dim"))
        if quiet > _QUIET:
            line.append(f"  quiet for {duration(quiet)}, which is normal", "dim")
        line.append("  Ctrl-C to leave", "dim")
        return self._cut(line)
