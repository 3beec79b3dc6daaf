"""How far transfers are, in lines of text on stderr."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import click
from attrs import define, field

from rebyte_async._terminal import format_duration, one_line
from rebyte_async.cli.view.base import Shown, View
from rebyte_async.cli.view.text import format_size

LONGEST_NAME = 30


@define
class TransferView(Shown):
    """Shows transfers, each of one or more files; this class shows nothing."""

    name: str = field(default="", init=False)
    began: float = field(default=0.0, init=False)
    count: int = field(default=0, init=False)  # the bytes of the transfer

    @contextmanager
    def transfer(self, name: str, verb: str) -> Generator[None]:
        """Show a transfer from its beginning to its end; `verb` says what was done."""
        with self:
            self.name = one_line(name)
            self.began = time.monotonic()
            self.update(0, 1)
            self.count = 0
            yield
            self.finish(verb)

    def update(self, done: int, total: int, /) -> None:
        """Show how many bytes are transferred; `total` is 0 where it isn't known."""
        self.count = max(done, total)

    def finish(self, verb: str) -> None:
        """Show that the transfer is complete; `verb` says what was done."""


class LineTransferView(TransferView):
    """Writes a line when a transfer is complete."""

    def finish(self, verb: str) -> None:
        took = format_duration(time.monotonic() - self.began)
        click.echo(f"{verb} {self.name} ({format_size(self.count)} in {took})", err=True)


@define
class NestedTransferView(TransferView):
    """Shows transfers in the status line of the view of a turn, which has the terminal for itself."""

    view: View
    doing: str = "uploading"
    notes: bool = True  # whether the view notes what was done, rather than shows the files at its end

    def update(self, done: int, total: int, /) -> None:
        super().update(done, total)
        part = f"{done / total:.0%}" if total else format_size(done)
        self.view.set_status(f"{self.doing} {one_line(self.name, LONGEST_NAME)}  {part}")

    def finish(self, verb: str) -> None:
        if self.notes:
            self.view.note(f"{verb} {self.name} ({format_size(self.count)})")
