"""The files in the machine that an agent works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rebyte_async.emulator.state.files import StoredFile

_FOLDER = "/code/"
# The functions of a script aren't awaited, and yet reading must not hold up the emulator; so what they may want to read
# is read before. Larger files than this are read when they are asked for: memory matters more then.
_LARGEST_LOADED = 64 << 20


@define(eq=False)
class AgentFilesystem:
    """The machine of a workspace during one turn."""

    files: Mapping[str, StoredFile] = field(factory=dict[str, "StoredFile"])
    _loaded: dict[StoredFile, bytes] = field(factory=dict["StoredFile", bytes], init=False, repr=False)

    async def load(self) -> None:
        """Have the files at hand for functions that read them."""
        for file in tuple(self.files.values()):
            if file not in self._loaded and file.size <= _LARGEST_LOADED:
                self._loaded[file] = await anyio.Path(file.path).read_bytes()

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: There is none.
        """
        file = self.files.get(path.removeprefix(_FOLDER))
        if file is None:
            raise FileNotFoundError(f"no file {path!r} in the agent's machine, which has {sorted(self.files)}")
        return self._loaded[file] if file in self._loaded else file.path.read_bytes()
