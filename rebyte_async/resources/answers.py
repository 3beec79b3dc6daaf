"""Answers to an agent's questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rebyte_async.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rebyte_async.types.events import QuestionEvent

__all__ = ["answer_body"]


def answer_body(question: QuestionEvent, options: Iterable[int | str], text: str | None) -> dict[str, Any]:
    """The body of an answer (contract §3, observed).

    Raises:
        InvalidRequestError: The question can't be answered, an option isn't one of its options, or there is no
            answer at all.
    """
    if question.action_id is None or not question.message_id:
        raise InvalidRequestError("the question came without an action id or a message id, so nothing can answer it")
    chosen = [_index(question, option) for option in options]
    if not chosen and text is None:
        raise InvalidRequestError("an answer needs options, text, or both")
    answer: dict[str, Any] = {"selectedOptions": chosen}
    if text is not None:
        answer["customResponse"] = text
    return {"messageId": question.message_id, "actionId": question.action_id, "answer": answer}


def _index(question: QuestionEvent, option: object) -> int:
    labels = [choice.label for choice in question.options]
    if isinstance(option, str) and option in labels:
        return labels.index(option)
    if isinstance(option, int) and not isinstance(option, bool) and 0 <= option < len(labels):
        return option
    raise InvalidRequestError(f"{option!r:.80} is no option of the question; they are {labels!r:.300}")
