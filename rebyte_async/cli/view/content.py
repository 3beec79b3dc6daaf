"""A task's turns with what was asked and answered, as they look while they are watched."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rebyte_async.cli.view import make_view
from rebyte_async.cli.view.base import Ending, Stop
from rebyte_async.cli.view.clean import clean, one_line
from rebyte_async.cli.view.document import as_line
from rebyte_async.cli.view.record import print_prose
from rebyte_async.cli.view.screens import is_screen, make_console
from rebyte_async.types.statuses import task_status
from rebyte_async.types.tasks import TaskResult

if TYPE_CHECKING:
    from rebyte_async.types.tasks import PromptContent, TaskContent

__all__ = ["show_content"]


def show_content(content: TaskContent, *, as_json: bool) -> None:
    """Show it on stdout, as it fits there."""
    if as_json:
        sys.stdout.write(as_line(content) + "\n")
        return
    sys.stdout.write(one_line(f"task {content.id}{f' is {content.status}' if content.status else ''}") + "\n")
    for number, turn in enumerate(content.prompts, 1):
        _show_question(number, turn)
        _show_turn(content.id, turn)


def _show_question(number: int, turn: PromptContent) -> None:
    asked = clean(turn.user_prompt or "").strip("\n")
    if not is_screen(sys.stdout):
        for line in [f"turn {number}", *asked.split("\n")]:
            sys.stdout.write(f"-- {line}".rstrip() + "\n")
        return
    console = make_console(sys.stdout)
    console.print()
    print_prose(console, f"❯ {asked}", "bold")  # noqa: RUF001 - a prompt


def _show_turn(task_id: str, turn: PromptContent) -> None:
    view = make_view(None)
    for event in turn.events or ():
        view.event(event)
    if not turn.is_terminal:
        view.note("the turn goes on")
        view.stopped(Stop(error="", message="", exit_code=0, task_id=task_id, cursor=None))
        return
    began, end = turn.submitted_at, turn.completed_at
    result = TaskResult(
        task_id=task_id,
        status=task_status(turn.status),
        final_result=turn.response or "",
        text="",
        events_seen=len(turn.events or ()),
    )
    seconds = max(0.0, (end - began).total_seconds()) if began and end else 0.0
    view.ended(Ending(result=result, prompt_id=turn.id, last_seq=None, cursor="", seconds=seconds))
