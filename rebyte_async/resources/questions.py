"""Questions of an agent: which one waits, and the body of the request that answers it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rebyte_async.errors import InvalidRequestError
from rebyte_async.types.events import (
    QuestionEvent,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
)
from rebyte_async.types.questions import OptionChoice, Question, QuestionAnswer
from rebyte_async.types.tasks import TaskContent

_BLOCKED = "blocked_user_answer_required"


def find_pending_question(content: TaskContent) -> QuestionEvent | None:
    """Find the question that waits in a turn that hasn't ended. The latest turn may only wait for its start."""
    open_turns = (turn for turn in reversed(content.prompts) if not turn.is_terminal)
    for turn in open_turns:
        question = _find_last_question(turn.events or (), is_blocked=_BLOCKED in (turn.status, content.status))
        if question is not None:
            return question
    return None


def _find_last_question(events: Iterable[TaskEvent], *, is_blocked: bool) -> QuestionEvent | None:
    """Return the last question after which the agent hasn't gone on; with `is_blocked`, the last one."""
    question: QuestionEvent | None = None
    calls = list[str]()
    other_calls = frozenset[str]()  # calls before the question, except its own, whose results may come meanwhile
    for event in events:
        match event:
            case QuestionEvent():
                question, other_calls = event, frozenset(calls[:-1])
            case ToolResultEvent(tool_id=tool_id) if tool_id in other_calls:
                pass
            case TextEvent() | ThinkingEvent() | ToolUseEvent() | ToolResultEvent() | ResultEvent() if not is_blocked:
                question = None
            case _:
                pass
        if isinstance(event, ToolUseEvent):
            calls.append(event.tool_id)
    return question


def gather_answers(
    options: Iterable[OptionChoice], text: str | None, answers: Iterable[QuestionAnswer] | None
) -> Sequence[QuestionAnswer] | QuestionAnswer:
    """Return the one answer that `options` and `text` are, or the several of `answers`."""
    try:
        one = QuestionAnswer(options, text)
        several = None if answers is None else tuple(answers)
    except TypeError as error:
        raise InvalidRequestError(f"options and answers must be lists: {error}") from error
    if several is None:
        _check(one, "an answer")
        return one
    if one.options or text is not None:
        raise InvalidRequestError("give either answers, or options and text, not both")
    for number, answer in enumerate(several, 1):
        _check(answer, f"answer {number} of {len(several)}")
    return several


def _check(answer: QuestionAnswer, name: str) -> None:
    if not isinstance(answer, QuestionAnswer):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"{name} must be a QuestionAnswer, not {answer!r:.80}")
    if answer.text is not None and not isinstance(answer.text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"the text of {name} must be a string, or None, not {answer.text!r:.80}")
    if not answer.options and not answer.text:
        raise InvalidRequestError(f"{name} needs options, text, or both")


def answer_body(event: QuestionEvent, given: Sequence[QuestionAnswer] | QuestionAnswer) -> dict[str, Any]:
    """Return the body that answers all questions of an event, each with its own answer."""
    if not isinstance(event, QuestionEvent):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(
            f"question must be a QuestionEvent, or None for the one that waits, not {event!r:.80}"
        )
    if event.action_id is None or not event.message_id:
        raise InvalidRequestError("the question came without an action id or a message id, so it can't be answered")
    asked = event.questions
    several = (given,) if isinstance(given, QuestionAnswer) else given
    if len(several) != len(asked):
        questions = ", ".join(f"{question.question!r:.80}" for question in asked)
        message = f"the agent asks {len(asked)} ({questions}), and there are answers to {len(several)}"
        raise InvalidRequestError(f"{message}: give answers, with a QuestionAnswer for each question")
    bodies = [_to_body(question, answer) for question, answer in zip(asked, several, strict=True)]
    answer: dict[str, Any] = bodies[0] if len(bodies) == 1 else {"answers": bodies}
    return {"messageId": event.message_id, "actionId": event.action_id, "answer": answer}


def _to_body(question: Question, answer: QuestionAnswer) -> dict[str, Any]:
    chosen = [question.index_of(option) for option in answer.options]
    if None in chosen:
        wrong = answer.options[chosen.index(None)]
        known = ", ".join(f"{place}: {option.label!r:.80}" for place, option in enumerate(question.options))
        message = f"{wrong!r:.120} is no option of the question {question.question!r:.80}"
        raise InvalidRequestError(f"{message}; it has {known or 'none, so give text'}")
    body: dict[str, Any] = {"selectedOptions": chosen}
    return body if answer.text is None else body | {"customResponse": answer.text}
