"""Prints lists and single models on stdout: drawn on a terminal, lines with tabs elsewhere, or JSON."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar, cast

import attrs

from rebyte_async._terminal import is_terminal, one_line, sanitize
from rebyte_async.cli.view import make_view, open_screen
from rebyte_async.cli.view.base import Finished, Interrupted
from rebyte_async.cli.view.json import is_model, public_fields, to_json_line
from rebyte_async.cli.view.table import Column
from rebyte_async.cli.view.text import format_plain, format_time, format_value, status_style
from rebyte_async.types import Prompt, PromptContent, Task, TaskContent, TaskResult, Webhook

T = TypeVar("T")

_LONGEST = 60
"""Characters of a text that is printed beside its name; a longer one, or one of several lines, is printed below."""
_PARTS = 3  # fields of a model within another one that are shown: the first ones identify it and give its status
_STATUSES = frozenset({"status", "visibility"})


async def show_list(items: AsyncIterable[T], columns: Sequence[Column[T]], *, as_json: bool, empty: str) -> int:
    """Show a list, off a terminal each item as it comes, and return how many items it had."""
    if not as_json and is_terminal(sys.stdout):
        drawn = [item async for item in items]
        show_items(drawn, columns, as_json=False, empty=empty)
        return len(drawn)
    count = 0
    async for item in items:
        show_items([item], columns, as_json=as_json)
        count += 1
    return count


def show_items(items: Sequence[T], columns: Sequence[Column[T]], *, as_json: bool, empty: str = "") -> None:
    """Show items: a table on a terminal, or `empty` where there are none; lines with tabs or JSON elsewhere."""
    screen = None if as_json else open_screen(sys.stdout)
    if screen is None:
        for item in items:
            _print(to_json_line(item) if as_json else "\t".join(column.plain(item) for column in columns))
    elif items:
        screen.print_table(columns, [[column.cell(item) for column in columns] for item in items])
    else:
        screen.print_prose(empty, "dim")


def show_created(item: Task | Prompt | Webhook, style: str | None) -> None:
    """Show what was created; its id alone in the style `quiet`."""
    if style == "quiet":
        _print(format_plain(item.id))
    else:
        show_record(item, as_json=style == "json")


def show_record(item: attrs.AttrsInstance, *, as_json: bool) -> None:
    """Show a model; fields without a value are left to JSON."""
    if as_json:
        _print(to_json_line(item))
        return
    fields = [(name, value) for name, value in public_fields(item) if value is not None and value != ()]
    texts = [(name, cast("str", value)) for name, value in fields if _is_long(value)]
    lines = [line for name, value in fields if not _is_long(value) for line in _field_lines(name, value)]
    screen = open_screen(sys.stdout)
    if screen is None:
        for name, value in lines:
            _print(f"{name}\t{format_plain(value)}")
        for name, text in texts:
            _print(f"\n{name}:\n{sanitize(text).rstrip()}")
        return
    shown = ((name, _format(value)) for name, value in lines)
    screen.print_fields((name, text, status_style(text) if name in _STATUSES else "") for name, text in shown)
    for name, text in texts:
        screen.print_prose(text, heading=name)


def _is_long(value: object) -> bool:
    return isinstance(value, str) and ("\n" in value.strip() or (" " in value and len(value) > _LONGEST))


def _field_lines(name: str, value: object) -> list[tuple[str, object]]:
    """Return the lines of a field: one for each model in it, and one for any other value."""
    if is_model(value):
        return [(name, _summarize(value))]
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value).items()
        return [(name, tuple(f"{key}={format_plain(inner)}" for key, inner in pairs))]
    if isinstance(value, tuple) and is_model(cast("tuple[object, ...]", value)[0]):
        models = cast("tuple[attrs.AttrsInstance, ...]", value)
        return [(name if number == 0 else "", _summarize(model)) for number, model in enumerate(models)]
    return [(name, value)]


def _summarize(model: attrs.AttrsInstance) -> tuple[object, ...]:
    return tuple([value for _, value in public_fields(model) if value is not None][:_PARTS])


def _format(value: object) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, tuple):
        return "  ".join(map(format_value, cast("tuple[object, ...]", value)))
    return format_value(value)


def show_content(content: TaskContent, *, as_json: bool) -> None:
    """Show the turns of a task, each as it looks while it is watched."""
    if as_json:
        _print(to_json_line(content))
        return
    _print(one_line(f"task {content.id}{f' is {content.status}' if content.status else ''}"))
    for number, turn in enumerate(content.prompts, 1):
        prompt = sanitize(turn.user_prompt or "").strip("\n")
        screen = open_screen(sys.stdout)
        if screen is None:
            for line in [f"turn {number}", *prompt.split("\n")]:
                _print(f"-- {line}".rstrip())
        else:
            screen.console.print()
            screen.print_prose(f"❯ {prompt}", "bold")  # noqa: RUF001 - a shell's prompt
        _show_turn(content.id, turn)


def _show_turn(task_id: str, turn: PromptContent) -> None:
    view = make_view(None)
    for event in turn.events or ():
        view.show(event)
    if not turn.is_terminal:
        view.note("the turn is still running")
        view.interrupt(Interrupted(error="", message="", exit_code=0, task_id=task_id, cursor=None))
        return
    began, end = turn.submitted_at, turn.completed_at
    result = TaskResult(
        task_id=task_id,
        status=Task(id=task_id, status=turn.status).status,
        final_result=turn.response or "",
        text="",
        events_seen=len(turn.events or ()),
    )
    seconds = max(0.0, (end - began).total_seconds()) if began and end else 0.0
    view.finish(Finished(result=result, prompt_id=turn.id, last_seq=None, cursor="", seconds=seconds))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
