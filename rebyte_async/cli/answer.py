"""`rebyte-async answer`: answer the question that an agent waits on."""

from __future__ import annotations

import asyncio

import click

from rebyte_async import AsyncRebyte, TaskEventStream
from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.exits import Exit, print_error
from rebyte_async.cli.runtime import run_once
from rebyte_async.errors import RebyteError
from rebyte_async.types import QuestionEvent

_FIRST_QUESTION_WITHIN = 30.0  # seconds without an event after which no question is expected any more
_SETTLED_AFTER = 1.0
"""Seconds without an event after which the last question is the open one: what came before it is replayed at once."""

_EPILOG = """\b
Examples:
  rebyte-async answer 6d3c... --option 2
  rebyte-async answer 6d3c... --option Postgres --text "the version that prod has"
"""


@click.command(epilog=_EPILOG)
@task_argument
@click.option("--option", "-o", "options", multiple=True, metavar="N|LABEL", help="A choice; may be repeated.")
@click.option("--text", "-t", help="An answer in your own words.")
def answer(*, task_id: str, options: tuple[str, ...], text: str | None) -> int:
    """Answer the question that the agent of task TASK_ID waits on."""
    if not options and text is None:
        raise click.UsageError("an answer needs --option, --text, or both")

    async def call(client: AsyncRebyte) -> int:
        async with client.tasks.events(task_id) as stream:
            question = await _find_open_question(stream)
        if question is None:
            print_error(f"task {task_id} waits on no question")
            return Exit.NOT_FOUND
        chosen = [_parse_choice(option, question) for option in options]
        await client.tasks.answer(task_id, question, options=chosen, text=text)
        click.echo(f"answered; watch what follows:  rebyte-async events {task_id}")
        return Exit.OK

    return run_once(call)


async def _find_open_question(stream: TaskEventStream) -> QuestionEvent | None:
    question: QuestionEvent | None = None
    while True:
        try:
            async with asyncio.timeout(_SETTLED_AFTER if question else _FIRST_QUESTION_WITHIN):
                event = await anext(stream)
        except StopAsyncIteration:
            return None
        except TimeoutError as error:
            if isinstance(error, RebyteError):
                raise
            return question
        if isinstance(event, QuestionEvent):
            question = event


def _parse_choice(given: str, question: QuestionEvent) -> int | str:
    """Return an option's label as it is, or the index of its number, which the views count from 1."""
    if any(given == option.label for option in question.options) or not given.isdecimal():
        return given
    return int(given) - 1
