"""The file of outcomes of a run: a JSON object a line, replaced whole, or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self, TextIO

from attrs import define, field

from rebyte_async._atomic import is_device, open_private, replace_file, sync_file
from rebyte_async.batch import BatchOutcome
from rebyte_async.batch.exports import to_jsonl


@define
class OutcomeFile:
    """The file of `--out` during a run.

    Outcomes are added to `NAME.part` as they come, a JSON object a line, which replaces NAME when it is complete. So
    NAME always has a line for each outcome that was known when it was written, also when a run is resumed or killed.
    The part is created with the first outcome: while another process has the journal, its part isn't touched. A new
    file can be read by its owner alone, since it has the words of agents; one that is replaced keeps its mode.
    """

    path: Path | None  # the file; `-` for stdout, and None for none
    _file: TextIO | None = field(default=None, init=False)
    _is_stream: bool = field(default=False, init=False)
    """Whether outcomes are gone once they are written, so that there is nothing to complete or to replace."""

    def __enter__(self) -> Self:
        if self.path is not None and not self.is_stdout:
            self.path = self.path.resolve()
        self._is_stream = self.path is None or self.is_stdout or is_device(self.path)
        if self.path is not None and not self._is_stream and not os.access(self.path.parent, os.W_OK):
            reason = errno.EACCES if self.path.parent.is_dir() else errno.ENOENT
            raise OSError(reason, os.strerror(reason), str(self.path))  # before anything costs money
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and not self.is_stdout:
            self._file.close()

    def write(self, outcomes: Iterable[BatchOutcome]) -> None:
        if self.path is not None:
            file = self._open(self.path)
            file.writelines(to_jsonl(outcomes))
            file.flush()

    def complete(self, known: Iterable[BatchOutcome]) -> None:
        """Add those of all outcomes of the journal that aren't in the part yet, and replace the file."""
        if self.path is None or self._is_stream:
            return
        self._open(self.path).flush()
        with part_of(self.path).open(encoding="utf-8") as written:
            keys = {json.loads(line)["key"] for line in written}
        self.write(outcome for outcome in known if outcome.key not in keys)
        self.replace()

    def replace(self) -> None:
        """Replace the file by the part, which has all outcomes."""
        if self.path is None or self._is_stream:
            return
        file = self._open(self.path)
        sync_file(file)
        file.close()
        if self.path.exists():
            shutil.copymode(self.path, part_of(self.path))
        replace_file(part_of(self.path), self.path)

    def _open(self, path: Path) -> TextIO:
        if self._file is not None:
            return self._file
        target = path if self._is_stream else part_of(path)
        file = sys.stdout if self.is_stdout else open(target, "w", encoding="utf-8", opener=open_private)  # noqa: SIM115
        self._file = file
        return file

    @property
    def is_stdout(self) -> bool:
        return self.path is not None and str(self.path) == "-"


def part_of(path: Path) -> Path:
    """Return the file that has the outcomes until they are complete."""
    return path.with_name(f"{path.name}.part")
