"""Text and values in the words of those who read them on a terminal; text of agents and servers is made harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from attrs import define, field, frozen
from rich.filesize import decimal

from rebyte_async import TextAssembler
from rebyte_async._terminal import one_line, sanitize
from rebyte_async.cli.view.base import Downloaded
from rebyte_async.types import FileRef, Question, TaskEvent, TaskResult
from rebyte_async.types.values import write_json

_LONGEST_VALUE = 80
_LONGEST_OUTPUT = 100_000
"""Characters of an output that are looked at: more can't be shown, and sanitizing them would take time."""
_MINUTE, _HOUR, _DAY, _WEEK = 60, 3_600, 86_400, 7 * 86_400
_STATUS_STYLES = {
    **dict.fromkeys(("completed", "succeeded", "ready"), "green"),
    **dict.fromkeys(("running", "pending", "provisioning"), "cyan"),
    **dict.fromkeys(("failed", "error"), "red"),
    "canceled": "yellow",
}


def number_questions(questions: Sequence[Question]) -> list[tuple[str, Question]]:
    """Return each question with its title, which counts it where there are several."""
    count = len(questions)
    titles = (f"({number} of {count}) " if count > 1 else "" for number in range(1, count + 1))
    return [(title + question.question, question) for title, question in zip(titles, questions, strict=True)]


@frozen
class Excerpt:
    """The beginning of a text."""

    lines: tuple[str, ...]
    more: int  # how many lines follow


def excerpt(output: object, limit: int) -> Excerpt:
    """Take the first `limit` lines of a tool's output; one line more is shown rather than counted."""
    text = output if isinstance(output, str) else "" if output is None else _json(output)
    beyond = text[_LONGEST_OUTPUT:].rstrip()
    head = sanitize(text[:_LONGEST_OUTPUT]).lstrip("\n")
    lines = (head if beyond else head.rstrip()).split("\n")
    keep = len(lines) if len(lines) <= limit + 1 else limit
    return Excerpt(tuple(lines[:keep]), len(lines) - keep + beyond.count("\n"))


def format_arguments(given: object) -> str:
    """Put a tool's arguments on one line: a single text as it is, several values with their names."""
    if not isinstance(given, Mapping):
        return _short(given)
    items = list(cast("Mapping[str, object]", given).items())
    if len(items) == 1 and isinstance(items[0][1], str):
        return one_line(items[0][1])
    return one_line(", ".join(f"{name}={_short(value)}" for name, value in items))


def format_size(count: object) -> str:
    return decimal(count) if isinstance(count, int) else ""


def describe_files(files: Sequence[Downloaded] | None) -> list[str]:
    """Describe the artifacts that were downloaded at the end of a turn, on a line each."""
    lines = [one_line(f"downloaded {file.path} ({format_size(file.size)})") for file in files or ()]
    return lines or ([] if files is None else ["no artifacts to download"])


def format_file_ref(ref: FileRef) -> str:
    """Write an uploaded file as `--file-ref` takes it."""
    return f"{ref.id}={ref.filename}"


def format_plain(value: object) -> str:
    """Write a value on one line for programs: times in ISO 8601, several values with commas, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return ",".join(map(format_plain, cast("list[object]", value)))
    return " ".join(sanitize(str(value)).split())


def format_value(value: object) -> str:
    """Write a value on one line for a terminal: times as they are from now."""
    return format_age(value) if isinstance(value, datetime) else format_plain(value)


def format_time(moment: datetime) -> str:
    """Write a time in full, by the local clock, with its age where it is recent."""
    local = _to_local(moment)
    text = f"{local.replace(tzinfo=None).isoformat(' ', 'seconds')} {local:%Z}"
    return f"{text} ({format_age(moment)})" if _is_recent(moment) else text


def format_age(moment: datetime) -> str:
    """Write how long ago a time is, like `5 min ago`, or its local date where that is more than a week."""
    if not _is_recent(moment):
        return _to_local(moment).replace(tzinfo=None).isoformat(" ", "minutes")
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < _MINUTE:
        return "just now" if seconds < 1 else f"{seconds:.0f} s ago"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min ago"
    return f"{seconds // _HOUR:.0f} h ago" if seconds < _DAY else f"{seconds // _DAY:.0f} d ago"


def status_style(status: str) -> str:
    return _STATUS_STYLES.get(status, "")


@define
class SpokenText:
    """What the agent has said in a turn, without repetitions: text events often echo what deltas said."""

    _assembler: TextAssembler = field(factory=TextAssembler, init=False)

    def add(self, event: TaskEvent) -> str:
        """Return the words that an event adds, sanitized; a blank line is between two blocks."""
        return sanitize(self._assembler.feed(event))

    def remaining_result(self, result: TaskResult) -> str:
        """Return the final result, or nothing where the agent has said it already.

        One line on why a turn failed is left to the line on stderr.
        """
        final = result.final_result.strip()
        if self._assembler.text.rstrip().endswith(final) or (result.status != "completed" and "\n" not in final):
            return ""
        return sanitize(final)


def _to_local(moment: datetime) -> datetime:
    """Convert a time to the local zone; return it as it is where that leads out of the years from 1 to 9999."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):  # Windows can't convert times before 1970
        return moment


def _is_recent(moment: datetime) -> bool:
    # The service's clock may be some minutes ahead.
    return -_HOUR < (datetime.now(UTC) - moment).total_seconds() < _WEEK


def _short(value: object) -> str:
    return one_line(value if isinstance(value, str) else _json(value), _LONGEST_VALUE)


def _json(value: object) -> str:
    return write_json(value, ensure_ascii=False, default=str)
