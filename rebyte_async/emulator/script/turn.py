"""What the functions of a script see of the turn that they are played in."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from attrs import define, field, frozen

from rebyte_async.emulator.settings import Executor
from rebyte_async.emulator.state.files import StoredFile
from rebyte_async.emulator.state.prompts import Answer

_FOLDER = "/code/"
# The functions of a script aren't awaited, and yet their reads must not block the event loop; so files are loaded
# before a function is called. Larger files than this are read when a function asks for them, to save memory.
_MAX_LOADED = 64 << 20


@define(eq=False)
class AgentFilesystem:
    """The files on an agent computer during one turn."""

    files: Mapping[str, StoredFile] = field(factory=dict[str, "StoredFile"])
    _loaded: dict[StoredFile, bytes] = field(factory=dict[StoredFile, bytes], init=False, repr=False)

    async def load(self) -> None:
        """Load all but very large files into memory."""
        for file in tuple(self.files.values()):
            if file not in self._loaded and file.size <= _MAX_LOADED:
                self._loaded[file] = await anyio.Path(file.path).read_bytes()

    def read(self, path: str) -> bytes:
        file = self.files.get(path.removeprefix(_FOLDER))
        if file is None:
            raise FileNotFoundError(f"the agent computer has no file {path!r}; it has {sorted(self.files)}")
        return self._loaded[file] if file in self._loaded else file.path.read_bytes()


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
    """The prompt's text."""
    number: int
    """The number of the turn in its task, counted from 0."""
    executor: Executor
    """The executor that the task was created for."""
    skills: tuple[str, ...]
    """The skills that came with the prompt."""
    files: tuple[str, ...]
    """The names of the files that came with the prompt."""
    answers: tuple[Answer, ...]
    """The answers to the questions of this turn so far, one for each question."""
    _filesystem: AgentFilesystem = field(factory=AgentFilesystem, alias="filesystem", repr=False, eq=False)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file on the agent computer: one that came with this prompt, or with an earlier one.

        Args:
            path: Its path: `/code/<filename>`, or the filename alone.

        Raises:
            FileNotFoundError: There is no such file.
        """
        return self._filesystem.read(path)

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Return the text of a file on the agent computer.

        Args:
            path: Its path: `/code/<filename>`, or the filename alone.
            encoding: The encoding of the text.

        Raises:
            FileNotFoundError: There is no such file.
            UnicodeDecodeError: The file isn't text in that encoding.
        """
        return self.read(path).decode(encoding)
