"""The step in which an agent asks, and waits for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from rebyte_async.emulator.state.questions import Question

if TYPE_CHECKING:
    from rebyte_async.emulator.script.player import ScriptPlayer

__all__ = ["Ask", "question"]


@frozen(kw_only=True)
class Ask:
    """An `ask_user_question` event, and the wait for its answer."""

    question: str
    options: tuple[str, ...] = ()
    multi_select: bool = False
    action_id: int | None = None
    message_id: str | None = None

    async def play(self, player: ScriptPlayer) -> None:
        """Ask, and wait."""
        question = self._open(player)
        player.task.question = question
        player.emit("ask_user_question", self._payload(question))
        try:
            player.answers.append(await question.answer)
        finally:
            player.task.question = None

    def _open(self, player: ScriptPlayer) -> Question:
        return Question(
            action_id=player.state.next_action_id() if self.action_id is None else self.action_id,
            message_id=self.message_id or player.state.ids.uuid(),
            options=len(self.options),
            multi_select=self.multi_select,
        )

    def _payload(self, question: Question) -> dict[str, Any]:
        return {
            "actionId": str(question.action_id),
            "messageId": question.message_id,
            "question": self.question,
            "options": [{"label": label} for label in self.options],
            "multiSelect": self.multi_select,
        }


def question(
    prompt: str,
    *options: str,
    multi_select: bool = False,
    action_id: int | None = None,
    message_id: str | None = None,
) -> Ask:
    """Ask the user, and wait for `POST /tasks/:id/answer`.

    Args:
        prompt: The question.
        options: The labels of the options.
        multi_select: Whether several may be chosen.
        action_id: The question's number; None counts.
        message_id: The question's message; None makes one up.
    """
    return Ask(question=prompt, options=options, multi_select=multi_select, action_id=action_id, message_id=message_id)
