"""`rebyte-async answer`: answer what an agent asks, by options of the command or in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from rebyte_async import AsyncRebyte
from rebyte_async._terminal import one_line, sanitize
from rebyte_async.cli.completion import task_argument
from rebyte_async.cli.exits import Exit, print_error
from rebyte_async.cli.runtime import run_once
from rebyte_async.cli.view.text import number_questions
from rebyte_async.types import Question, QuestionAnswer, QuestionEvent, QuestionOption

_EPILOG = """\b
Examples:
  rebyte-async answer 6d3c...
  rebyte-async answer 6d3c... --option 2
  rebyte-async answer 6d3c... --option Postgres --text "the version that prod has"
  rebyte-async answer 6d3c... --option 1=Postgres --option 2=1 --text "2=near Zurich"

In a terminal, without --option and --text, the questions are asked one after the other.
"""


@click.command(epilog=_EPILOG)
@task_argument
@click.option(
    "--option",
    "-o",
    "options",
    multiple=True,
    metavar="[Q=]N|LABEL",
    help="A choice; may be repeated. Where the agent asks several questions, Q is the number of one.",
)
@click.option("--text", "-t", "texts", multiple=True, metavar="[Q=]TEXT", help="An answer in your own words.")
def answer(*, task_id: str, options: tuple[str, ...], texts: tuple[str, ...]) -> int:
    """Answer the question that the agent of task TASK_ID waits on."""
    is_asked = not options and not texts
    if is_asked and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("an answer needs --option, --text, or both")
    found: list[QuestionEvent | None] = []

    async def find(client: AsyncRebyte) -> None:
        found.append(await client.tasks.pending_question(task_id))

    if (code := run_once(find)) != Exit.OK:
        return code
    if (event := found[0]) is None:
        print_error(f"task {task_id} waits on no question")
        return Exit.NOT_FOUND
    # Outside of an event loop, so that Ctrl-C ends the command at once.
    answers = _ask(event) if is_asked else _parse(event.questions, options, texts)

    async def send(client: AsyncRebyte) -> None:
        await client.tasks.answer(task_id, event, answers=answers)
        click.echo(f"answered; watch what follows:  rebyte-async events {task_id}")

    return run_once(send)


# --- Answers by options of the command ---


def _parse(questions: Sequence[Question], options: Iterable[str], texts: Iterable[str]) -> list[QuestionAnswer]:
    chosen: list[list[QuestionOption]] = [[] for _ in questions]
    said: list[str | None] = [None] * len(questions)
    for given in options:
        place, choice = _split("--option", given, questions)
        chosen[place].append(_require_option(questions[place], choice))
    for given in texts:
        place, text = _split("--text", given, questions)
        if said[place] is not None:
            raise click.UsageError("--text: a question takes one text")
        said[place] = text
    return [QuestionAnswer(options, text) for options, text in zip(chosen, said, strict=True)]


def _split(name: str, given: str, questions: Sequence[Question]) -> tuple[int, str]:
    """Return the place of the question that a value is for, and the value without its number."""
    if len(questions) == 1:
        return 0, given
    number, _, rest = given.partition("=")
    place = next((place for place in range(len(questions)) if number == str(place + 1)), None)
    if place is None or not rest:
        asked = ", ".join(f"{count}: {one_line(question.question, 80)}" for count, question in enumerate(questions, 1))
        message = f"the agent asks several questions ({asked}): begin with the number of one, such as 1={given}"
        raise click.UsageError(f"{name} {given}: {message}")
    return place, rest


def _require_option(question: Question, given: str) -> QuestionOption:
    if (option := _find_option(question, given)) is not None:
        return option
    known = ", ".join(f"{number}: {one_line(each.label, 80)}" for number, each in enumerate(question.options, 1))
    about = one_line(question.question, 80)
    raise click.UsageError(f"--option {given}: no option of {about!r}; it has {known or 'none: give --text'}")


def _find_option(question: Question, given: str) -> QuestionOption | None:
    """Find an option by its label, else by its number, which the views count from 1."""
    numbers = {str(number): option for number, option in enumerate(question.options, 1)}
    return next((option for option in question.options if option.label == given), numbers.get(given))


# --- Answers in a terminal ---


def _ask(event: QuestionEvent) -> list[QuestionAnswer]:
    return [_ask_one(title, question) for title, question in number_questions(event.questions)]


def _ask_one(title: str, question: Question) -> QuestionAnswer:
    click.echo(f"? {sanitize(title).strip()}", err=True)
    for number, option in enumerate(question.options, 1):
        about = f"  {one_line(option.description)}" if option.description else ""
        click.echo(f"  {number}. {one_line(option.label)}{about}", err=True)
    numbers = "numbers with commas between" if question.multi_select else "a number"
    words = f"your answer, {numbers} or your own words" if question.options else "your answer"
    while True:
        given = str(click.prompt(words, err=True)).strip()
        whole = _find_option(question, given)
        parts = [given] if whole or not question.multi_select else [part.strip() for part in given.split(",")]
        chosen = [_find_option(question, part) for part in parts]
        options = [option for option in chosen if option is not None]
        if len(options) == len(parts):
            return QuestionAnswer(options)
        if question.options and all(part.isdecimal() for part in parts):
            click.echo(f"the options are 1 to {len(question.options)}", err=True)
        else:
            return QuestionAnswer(text=given)
