"""Which words of a turn are new to someone who reads along: echoes of what was said are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async import TextAssembler
from rebyte_async.cli.view.clean import clean

if TYPE_CHECKING:
    from rebyte_async.types.events import TaskEvent
    from rebyte_async.types.tasks import TaskResult

__all__ = ["Words"]


@define
class Words:
    """The agent's words, as the SDK puts them together, made harmless."""

    _assembler: TextAssembler = field(factory=TextAssembler, init=False)

    def of(self, event: TaskEvent) -> str:
        """The words that an event adds; a blank line stands between two blocks."""
        return clean(self._assembler.feed(event))

    def unsaid(self, result: TaskResult) -> str:
        """The final result, or nothing where it has been said already.

        One line on why a turn failed is left to the line on stderr.
        """
        answer = result.final_result.strip()
        if self._assembler.text.rstrip().endswith(answer) or (result.status != "completed" and "\n" not in answer):
            return ""
        return clean(answer)
