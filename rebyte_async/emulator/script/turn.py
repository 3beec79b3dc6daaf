"""What a script may know about the turn that it plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async.emulator.script.machine import AgentFilesystem

if TYPE_CHECKING:
    from rebyte_async.emulator.state.questions import Answer

__all__ = ["Turn"]


@frozen(kw_only=True)
class Turn:
    """The turn that is being played, for steps that are functions."""

    task_id: str
    """The task's id."""
    workspace_id: str = ""
    """The id of the task's workspace."""
    prompt_id: str
    """The prompt's id."""
    prompt: str
    """What was asked."""
    number: int
    """Counts the turns of a task from 0."""
    executor: str
    """The executor that the task asked for."""
    skills: tuple[str, ...]
    """The skills that the prompt asked for."""
    files: tuple[str, ...]
    """The names of the files that came with the prompt."""
    answers: tuple[Answer, ...]
    """What was answered to the questions of this turn so far."""
    _machine: AgentFilesystem = field(factory=AgentFilesystem, alias="machine", repr=False, eq=False)

    def read(self, path: str) -> bytes:
        """The bytes of a file in the agent's machine: of one that came with this prompt, or with an earlier one.

        Args:
            path: Where it is: `/code/<filename>`, or the filename alone.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._machine.read(path)

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """The text of a file in the agent's machine.

        Args:
            path: Where it is: `/code/<filename>`, or the filename alone.
            encoding: How its bytes are to be decoded.

        Raises:
            FileNotFoundError: There is none.
            UnicodeDecodeError: It is no such text.
        """
        return self.read(path).decode(encoding)
