"""Files of outcomes: a JSON object a line, or CSV; whole, or not replaced."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Self, TextIO

import attrs
from attrs import define, field

from rebyte_async.cli.view.clean import clean
from rebyte_async.cli.view.document import as_document, as_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rebyte_async.batch import BatchOutcome

__all__ = ["OutcomeFile", "as_csv", "as_jsonl", "beside", "part_of", "replace_file"]


def as_jsonl(outcomes: Iterable[BatchOutcome]) -> Iterator[str]:
    """Outcomes as lines of JSON."""
    for outcome in outcomes:
        yield as_line(outcome) + "\n"


def as_csv(outcomes: Iterable[BatchOutcome]) -> Iterator[str]:
    """Outcomes as CSV with a heading; on a terminal without anything that it would obey."""
    from rebyte_async.batch import BatchOutcome as Outcome  # noqa: PLC0415 - few commands need batches

    names = [attribute.name for attribute in attrs.fields(Outcome)]
    yield _row(names)
    for outcome in outcomes:
        document = as_document(outcome)
        yield _row(["" if document[name] is None else str(document[name]) for name in names])


def _row(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return clean(line.getvalue()) if sys.stdout.isatty() else line.getvalue()


def replace_file(path: Path, lines: Iterable[str]) -> int:
    """Write a file that is whole or as it was before.

    Returns:
        How many lines were given.
    """
    path = path.resolve()
    if _is_device(path):
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            return _written(file, lines)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", errors="replace", newline="") as file:
            count = _written(file, lines)
            _to_disk(file)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return count


def _written(file: TextIO, lines: Iterable[str]) -> int:
    count = 0
    for line in lines:
        file.write(line)
        count += 1
    return count


def _is_device(path: Path) -> bool:
    """Whether this is a terminal, a pipe and the like, which nothing can take the place of."""
    return path.exists() and not path.is_file()


@define
class OutcomeFile:
    """What `--out` names, while a run goes on.

    Outcomes go to `NAME.part` as they come, a JSON object a line, and NAME is replaced by it when it is complete: so
    NAME always holds a line for everything that is known, also where a run is resumed, or killed. The part is begun
    with the first outcome: when another process has the journal, its part isn't touched.
    """

    path: Path | None
    """The file; `-` for stdout, and None for nowhere."""
    _file: TextIO | None = field(default=None, init=False)
    _is_stream: bool = field(default=False, init=False)
    """Whether what is written is gone, so that there is nothing to complete or to replace."""

    def __enter__(self) -> Self:
        if self.path is not None and not self.is_stdout:
            self.path = self.path.resolve()
        self._is_stream = self.path is None or self.is_stdout or _is_device(self.path)
        if self.path is not None and not self._is_stream and not os.access(self.path.parent, os.W_OK):
            reason = errno.EACCES if self.path.parent.is_dir() else errno.ENOENT
            raise OSError(reason, os.strerror(reason), str(self.path))  # before anything costs money
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and not self.is_stdout:
            self._file.close()

    def write(self, outcomes: Iterable[BatchOutcome]) -> None:
        """Write outcomes that have come, and hand them to the system."""
        if self.path is not None:
            file = self._begun(self.path)
            file.writelines(as_jsonl(outcomes))
            file.flush()

    def complete(self, known: Iterable[BatchOutcome]) -> None:
        """Make it the file, with what is known beyond what has come.

        Args:
            known: Outcomes that the journal has; those that were written are left out.
        """
        if self.path is None or self._is_stream:
            return
        self._begun(self.path).flush()
        with part_of(self.path).open(encoding="utf-8") as written:
            keys = {json.loads(line)["key"] for line in written}
        self.write(outcome for outcome in known if outcome.key not in keys)
        self.replace()

    def replace(self) -> None:
        """Make it the file: everything has come."""
        if self.path is None or self._is_stream:
            return
        file = self._begun(self.path)
        _to_disk(file)
        file.close()
        part_of(self.path).replace(self.path)

    def _begun(self, path: Path) -> TextIO:
        file = self._file
        if file is None:
            place = path if self._is_stream else part_of(path)
            file = self._file = sys.stdout if self.is_stdout else place.open("w", encoding="utf-8")
        return file

    @property
    def is_stdout(self) -> bool:
        """Whether outcomes are printed."""
        return self.path is not None and str(self.path) == "-"


def part_of(path: Path) -> Path:
    """Where outcomes go until they are complete."""
    return beside(path, ".part")


def beside(path: Path, ending: str) -> Path:
    """A file whose name is another one's with something behind it."""
    return path.with_name(path.name + ending)


def _to_disk(file: TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())
