"""The view for terminals: what is final scrolls by, and a status line stays at the bottom."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

from attrs import Factory, define, field
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from rebyte_async._terminal import format_duration, one_line, sanitize
from rebyte_async.cli.view.base import Finished, Interrupted, View
from rebyte_async.cli.view.prose import Prose
from rebyte_async.cli.view.screen import ECHO, Redrawn, make_console, prose_width
from rebyte_async.cli.view.text import SpokenText, describe_files, excerpt, format_arguments, number_questions
from rebyte_async.types import (
    ErrorEvent,
    InitEvent,
    QuestionEvent,
    QuestionOption,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
)

_RESULT_LINES = 4
_ERROR_LINES = 8
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPINS_PER_SECOND = 10
_QUIET = 20.0  # seconds of silence after which the status line says that this is normal
_ENDS = {"completed": ("✓ completed", "green"), "failed": ("✗ failed", "red"), "canceled": ("⏹ canceled", "yellow")}


@define
class RichView(View):
    """Prints a line once it can't change any more; only the line being written and the status are drawn again."""

    console: Console = field(converter=make_console)
    _live: Redrawn = field(default=Factory(lambda view: Redrawn(view, view.console), takes_self=True), init=False)
    _spoken: SpokenText = field(factory=SpokenText, init=False)
    _prose: Prose | None = field(default=None, init=False)  # the block that is being written
    _kind: str = field(default="", init=False)  # the kind of the last block; empty when another one of any kind begins
    _tools: dict[str, str] = field(factory=dict[str, str], init=False)
    """The names of the tools that were called, by the id of the call."""
    _last_tool: str = field(default="", init=False)
    _task_id: str = field(default="", init=False)
    _status: str = field(default="starting the task", init=False)
    _usage: str = field(default="", init=False)
    _since: float = field(factory=time.monotonic, init=False)
    _last_heard: float = field(factory=time.monotonic, init=False)

    def begin(self, task_id: str, workspace_id: str | None) -> None:
        self._task_id = task_id
        self._status = "waiting for the agent"
        self._print_unbroken(Text(f"task {one_line(task_id)}", style="dim"))
        if workspace_id is not None:
            self._print_unbroken(Text(f"on agent computer {one_line(workspace_id)}", style="dim"))

    def show(self, event: TaskEvent) -> None:
        self._last_heard = time.monotonic()
        words = self._spoken.add(event)
        match event:
            case TextEvent() | ResultEvent():
                if isinstance(event, ResultEvent):
                    self._note_usage(event.usage or {})
                self._show_words(words)
            case ThinkingEvent(text=text):
                self._show_thought(text, is_delta=event.payload.get("is_delta") is True)
            case ToolUseEvent():
                self._show_tool_use(event)
            case ToolResultEvent():
                self._show_tool_result(event)
            case QuestionEvent():
                self._show_question(event)
            case ErrorEvent(message=message):
                self._print_block("error", Prose("red").feed(f"✗ {sanitize(message).strip()}\n", self._width))
            case InitEvent(model=model, cwd=cwd):
                about = " · ".join(filter(None, (model, cwd))) or "the agent is ready"
                self._print(Text(one_line(about), style="dim"))
                self._status = "working"
            case _:
                other = Text(f"· {one_line(event.event_type)} {format_arguments(event.payload)}", style="dim")
                self._print_block("other", [self._cut(other)])

    def refresh(self) -> None:
        self._live.refresh()

    def set_status(self, text: str) -> None:
        self._status = text
        self._last_heard = time.monotonic()
        self._live.refresh()

    def note(self, text: str) -> None:
        self._print(Text(one_line(f"· {text}"), style="dim"))

    def warn(self, text: str) -> None:
        self._print_block("warning", Prose("yellow").feed(f"! {text}\n", self._width))

    def finish(self, finished: Finished) -> None:
        self._end_block()
        if remaining := self._spoken.remaining_result(finished.result):
            self._print(Text(), Rule("final result", style="dim", characters="─"))
            prose = Prose()
            self._print(*prose.feed(remaining, self._width), *prose.finish())
        self._status = ""
        status = one_line(str(finished.result.status))
        words, color = _ENDS.get(status, (status, "yellow"))
        title = Text.assemble(
            (words, f"bold {color}"), (f" in {format_duration(finished.seconds)}{self._usage}", color)
        )
        self._print(Text(), Rule(title, style=color, align="left"))
        for line in describe_files(finished.files):
            self._print_unbroken(Text(f"· {line}", style="dim"))

    def interrupt(self, interrupted: Interrupted) -> None:  # noqa: ARG002 - of the base class
        self._end_block()
        self._status = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_block()
        self._status = ""
        self._live.stop()

    # --- Events ---

    def _show_words(self, words: str) -> None:
        if not words:
            return
        if self._kind != "text":
            self._begin_block("text", Prose())
            words = words.lstrip("\n")
        self._feed(words)
        self._status = "writing"

    def _show_thought(self, text: str, *, is_delta: bool) -> None:
        if self._kind != "thinking":
            self._begin_block("thinking", Prose("dim italic"))
        elif not is_delta:  # another thought: on a new line, without a blank one between
            self._end_block()
            self._kind, self._prose = "thinking", Prose("dim italic")
        self._feed(sanitize(text) if is_delta else sanitize(text).strip("\n"))
        self._status = "thinking"

    def _show_tool_use(self, event: ToolUseEvent) -> None:
        name = one_line(event.name)
        self._tools[event.tool_id] = name
        self._last_tool = event.tool_id
        call = Text.assemble(("● ", "green"), (name, "bold"), " ", (format_arguments(event.input), "cyan"))
        self._print_block("call", [self._cut(call)])
        self._status = f"running {name}"

    def _show_tool_result(self, event: ToolResultEvent) -> None:
        shown = excerpt(event.output, _ERROR_LINES if event.is_error else _RESULT_LINES)
        style = "red" if event.is_error else "dim"
        # A result that isn't right below its call, since several tools run at once, begins with the tool's name.
        is_below_call = self._kind == "call" and event.tool_id == self._last_tool
        name = "" if is_below_call else f"{one_line(self._tools.get(event.tool_id, event.tool_id))}: "
        first, *others = shown.lines
        lines = [f"  └ {name}{first}", *(f"    {line}" for line in others)]
        if shown.more:
            lines.append(f"    … {shown.more} more line{'s' if shown.more > 1 else ''}")
        is_apart = self._kind not in {"call", "result"}
        self._print_block("result", [self._cut(Text(line, style)) for line in lines], is_apart=is_apart)
        self._status = "working"

    def _show_question(self, event: QuestionEvent) -> None:
        lines: list[Text] = []
        for title, question in number_questions(event.questions):
            lines += Prose("bold yellow").feed(f"? {sanitize(title).strip()}\n", self._width)
            lines += [self._cut(_option_line(number, option)) for number, option in enumerate(question.options, 1)]
        self._print_block("question", lines)
        if self._task_id:
            choice = " --option 1" if event.options else ' --text "..."'
            several = " (several may be chosen)" if event.multi_select and event.options else ""
            if len(event.questions) > 1:  # the command asks them one by one
                choice = several = ""
            how = f"  The agent waits. Answer from another terminal{several}:\n"
            self._print(*Prose("dim").feed(how, self._width))
            self._print_unbroken(Text(f"    rebyte-async answer {one_line(self._task_id)}{choice}", style="dim"))
        self._status = "waiting for an answer"

    def _note_usage(self, usage: Mapping[str, Any]) -> None:
        counts = {way: usage.get(f"{way}put_tokens") for way in ("in", "out")}
        if known := [f"{count:,} tokens {way}" for way, count in counts.items() if isinstance(count, int)]:
            self._usage = f" · {', '.join(known)}"

    # --- Blocks, with a blank line between them ---

    def _begin_block(self, kind: str, prose: Prose | None = None) -> None:
        self._end_block()
        self._print(Text())
        self._kind, self._prose = kind, prose

    def _print_block(self, kind: str, lines: Iterable[Text], *, is_apart: bool = True) -> None:
        if is_apart:
            self._begin_block(kind)
        self._kind = kind
        self._print(*lines)

    def _end_block(self) -> None:
        prose, self._prose, self._kind = self._prose, None, ""
        if prose is not None:
            self._print(*prose.finish())

    def _feed(self, words: str) -> None:
        if self._prose is not None:
            self._print(*self._prose.feed(words, self._width))

    @property
    def _width(self) -> int:
        return prose_width(self.console)

    def _cut(self, line: Text) -> Text:
        line.truncate(self.console.width, overflow="ellipsis")
        return line

    def _print(self, *lines: RenderableType) -> None:
        if lines:
            self.console.print(Group(*lines), overflow="fold")

    def _print_unbroken(self, line: Text) -> None:
        """Print a line that remains one when it is copied, however narrow the terminal is."""
        self.console.print(line, soft_wrap=True)

    # --- What is drawn again and again: the line being written, and the status ---

    def __rich__(self) -> RenderableType:
        rest = None if self._prose is None else self._prose.rest(self._width)
        lines = [] if rest is None else [self._cut(rest)]
        return Group(*lines, *([self._status_line()] if self._status else []))

    def _status_line(self) -> Text:
        now = time.monotonic()
        spin = _SPINNER[int(now * _SPINS_PER_SECOND) % len(_SPINNER)]
        silence = now - self._last_heard
        line = Text.assemble((f"{spin} ", "green"), self._status, (f"  {format_duration(now - self._since)}", "dim"))
        if silence > _QUIET:
            line.append(f"  quiet for {format_duration(silence)}, which is normal", "dim")
        line.append("  Ctrl-C to leave", "dim")
        line.truncate(self.console.width - ECHO, overflow="ellipsis")
        return line


def _option_line(number: int, option: QuestionOption) -> Text:
    about = f"  {one_line(option.description)}" if option.description else ""
    return Text.assemble(f"  {number}. ", (one_line(option.label), "bold"), (about, "dim"))
