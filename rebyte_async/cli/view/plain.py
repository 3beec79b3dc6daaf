"""The views for files and pipes: plain lines, each written when it is complete, or the final result alone."""

from __future__ import annotations

from typing import TextIO

from attrs import define, field

from rebyte_async._terminal import format_duration, one_line, sanitize
from rebyte_async.cli.view.base import Finished, Interrupted, View
from rebyte_async.cli.view.text import SpokenText, describe_files, excerpt, format_arguments, number_questions
from rebyte_async.types import (
    ErrorEvent,
    InitEvent,
    Question,
    QuestionEvent,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
)

_RESULT_LINES = 10


@define
class QuietView(View):
    """Writes the final result of a turn that completed, and nothing else: `result=$(rebyte-async run --quiet …)`."""

    out: TextIO

    def finish(self, finished: Finished) -> None:
        if finished.result.status == "completed":
            self.out.write(sanitize(finished.result.final_result).rstrip("\n") + "\n")
            self.out.flush()


@define
class PlainView(View):
    """Writes what the agent says as it is, and what it does with a mark before it; no escape sequence."""

    out: TextIO
    _spoken: SpokenText = field(factory=SpokenText, init=False)
    _line: str = field(default="", init=False)  # the line that isn't complete yet
    _is_speaking: bool = field(default=False, init=False)

    def begin(self, task_id: str, workspace_id: str | None) -> None:
        self._write(one_line(f"task {task_id}"))
        if workspace_id is not None:
            self._write(one_line(f"-- on agent computer {workspace_id}"))

    def show(self, event: TaskEvent) -> None:
        words = self._spoken.add(event)
        if isinstance(event, TextEvent | ResultEvent):
            self._say(words)
            if isinstance(event, TextEvent) and event.is_delta:
                return
        self._end_line()
        for line in _lines(event):
            self._write(line)

    def note(self, text: str) -> None:
        self._write(one_line(f"-- {text}"))

    def finish(self, finished: Finished) -> None:
        self._end_line()
        if remaining := self._spoken.remaining_result(finished.result):
            self._write(remaining)
        self._write(f"-- {one_line(str(finished.result.status))} in {format_duration(finished.seconds)}")
        for line in describe_files(finished.files):
            self._write(f"-- {line}")

    def interrupt(self, interrupted: Interrupted) -> None:  # noqa: ARG002 - of the base class
        self._end_line()

    def _say(self, words: str) -> None:
        if not words:
            return
        self._line += words if self._is_speaking else words.lstrip("\n")
        self._is_speaking = True
        whole, found, rest = self._line.rpartition("\n")
        if found:
            self._write(whole)
            self._line = rest

    def _end_line(self) -> None:
        if self._line:
            self._write(self._line)
        self._line, self._is_speaking = "", False

    def _write(self, text: str) -> None:
        self.out.write(text + "\n")
        self.out.flush()


def _lines(event: TaskEvent) -> list[str]:
    match event:
        case TextEvent() | ResultEvent():
            lines = list[str]()
        case ThinkingEvent(text=text):
            lines = _mark(".", text)
        case ToolUseEvent(name=name, input=given):
            lines = [one_line(f"> {name} {format_arguments(given)}")]
        case ToolResultEvent(output=output, is_error=is_error):
            mark, shown = "<!" if is_error else "<", excerpt(output, _RESULT_LINES)
            lines = [f"{mark} {line}".rstrip() for line in shown.lines]
            lines += [f"{mark} ... {shown.more} more lines"] if shown.more else []
        case QuestionEvent(questions=questions):
            lines = [line for title, question in number_questions(questions) for line in _ask(title, question)]
        case ErrorEvent(message=message):
            lines = _mark("!", message)
        case InitEvent(model=model, cwd=cwd):
            lines = [one_line(f"-- {' in '.join(filter(None, (model, cwd))) or 'the agent'} is ready")]
        case _:
            lines = [one_line(f"* {event.event_type} {format_arguments(event.payload)}")]
    return lines


def _ask(title: str, question: Question) -> list[str]:
    labels = (": ".join(filter(None, (option.label, option.description))) for option in question.options)
    return [*_mark("?", title), *(f"?   {number}. {one_line(label)}" for number, label in enumerate(labels, 1))]


def _mark(mark: str, text: str) -> list[str]:
    return [f"{mark} {line}".rstrip() for line in sanitize(text).strip("\n").split("\n")]
