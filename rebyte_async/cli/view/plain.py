"""The view for files and pipes: plain lines, each written when it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import click
from attrs import define, field

from rebyte_async.cli.view.brief import arguments, duration, folded
from rebyte_async.cli.view.clean import clean, one_line
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
    from typing import TextIO

    from rebyte_async.cli.view.base import Ending, Stop
    from rebyte_async.types.events import TaskEvent

__all__ = ["PlainView"]

_RESULT_LINES = 10


@define
class PlainView:
    """What the agent says as it is, what it does with a mark before it; no escape sequence."""

    out: TextIO
    _words: Words = field(factory=Words, init=False)
    _line: str = field(default="", init=False)
    _speaking: bool = field(default=False, init=False)

    def started(self, task_id: str) -> None:
        """Say which task it is."""
        self._write(f"task {task_id}")

    def event(self, event: TaskEvent) -> None:
        """Write what is new."""
        if isinstance(event, TextEvent | ResultEvent):
            self._say(self._words.of(event))
            if not (isinstance(event, TextEvent) and event.is_delta):
                self._hush()
            return
        self._words.of(event)
        self._hush()
        for line in _lines(event):
            self._write(line)

    def tick(self) -> None:
        """Do nothing."""

    def status(self, text: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Write it with a mark."""
        self._write(f"-- {text}")

    def warn(self, text: str) -> None:
        """Say it on stderr."""
        click.echo(f"warning: {text}", err=True)

    def ended(self, ending: Ending) -> None:
        """Write the answer, unless it has been said, and how the turn ended."""
        self._hush()
        if answer := self._words.unsaid(ending.result):
            self._write(answer)
        self._write(f"-- {one_line(str(ending.result.status))} in {duration(ending.seconds)}")

    def stopped(self, stop: Stop) -> None:  # noqa: ARG002 - of the protocol
        """Write what was left of a line."""
        self._hush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _say(self, piece: str) -> None:
        if not piece:
            return
        self._line += piece if self._speaking else piece.lstrip("\n")
        self._speaking = True
        whole, found, rest = self._line.rpartition("\n")
        if found:
            self._write(whole)
            self._line = rest

    def _hush(self) -> None:
        if self._line:
            self._write(self._line)
        self._line, self._speaking = "", False

    def _write(self, text: str) -> None:
        self.out.write(text + "\n")
        self.out.flush()


def _lines(event: TaskEvent) -> list[str]:
    match event:
        case ThinkingEvent(text=text):
            lines = _marked(".", text)
        case ToolUseEvent(name=name, input=given):
            lines = [one_line(f"> {name} {arguments(given)}")]
        case ToolResultEvent(output=output, is_error=is_error):
            lines = _result("<!" if is_error else "<", output)
        case QuestionEvent(question=question):
            lines = _marked("?", question) + _options(event)
        case ErrorEvent(message=message):
            lines = _marked("!", message)
        case InitEvent(model=model, cwd=cwd):
            lines = [one_line(f"-- {' in '.join(filter(None, (model, cwd))) or 'the agent'} is ready")]
        case _:
            lines = [one_line(f"* {event.event_type} {arguments(event.payload)}")]
    return lines


def _marked(mark: str, text: str) -> list[str]:
    return [f"{mark} {line}".rstrip() for line in clean(text).strip("\n").split("\n")]


def _result(mark: str, output: object) -> list[str]:
    fold = folded(output, _RESULT_LINES)
    more = [f"{mark} ... {fold.more} more lines"] if fold.more else []
    return [f"{mark} {line}".rstrip() for line in fold.lines] + more


def _options(event: QuestionEvent) -> list[str]:
    labels = (": ".join(filter(None, (option.label, option.description))) for option in event.options)
    return [f"?   {number}. {one_line(label)}" for number, label in enumerate(labels, 1)]
