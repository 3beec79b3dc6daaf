"""Questions that an agent waits on."""

from __future__ import annotations

import asyncio

from attrs import define, field, frozen

from rebyte_async.emulator.errors import validation_error

__all__ = ["Answer"]


@frozen
class Answer:
    """What somebody answered to a question."""

    selected_options: tuple[int, ...] = ()
    """The indexes of the chosen options."""
    custom_response: str | None = None
    """A text of one's own."""


@define(eq=False, kw_only=True)
class Question:
    """A question that waits for its answer."""

    action_id: int
    message_id: str
    options: int
    multi_select: bool
    answer: asyncio.Future[Answer] = field(factory=lambda: asyncio.get_running_loop().create_future())

    def waits_for(self, message_id: str, action_id: int) -> bool:
        """Whether an answer is for this question, and nobody has answered it."""
        return (self.message_id, self.action_id) == (message_id, action_id) and not self.answer.done()

    def settle(self, answer: Answer) -> None:
        """Take the answer.

        Raises:
            ApiError: It chooses what isn't there, too much, or nothing at all.
        """
        self._check(answer)
        self.answer.set_result(answer)

    def _check(self, answer: Answer) -> None:
        chosen = answer.selected_options
        if not all(0 <= index < self.options for index in chosen):
            raise validation_error("answer.selectedOptions has an index that is no option.")
        if len(chosen) > 1 and not self.multi_select:
            raise validation_error("answer.selectedOptions must have one index.")
        if not chosen and answer.custom_response is None:
            raise validation_error("answer must select an option or have a customResponse.")
