"""The real command in the test's process, where a separate process would prove nothing more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from cli.process import Finished

from rebyte_async.cli.app import start

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["run_inline"]


def run_inline(*arguments: str, env: Mapping[str, str], stdin: str | bytes = "", is_terminal: bool = False) -> Finished:
    """Run it to its end in its own event loop; its input and output are no terminal, or pretend to be one."""
    given = stdin if isinstance(stdin, bytes) else stdin.encode()
    with _streams(given, _Terminal if is_terminal else io.TextIOWrapper) as (out, err), ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, env, clear=True))
        stack.enter_context(patch.object(sys, "argv", ["rebyte-async", *arguments]))
        code = start()
        sys.stdout.flush()
        sys.stderr.flush()
        return Finished(code, out.getvalue().decode(), err.getvalue().decode())


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@contextmanager
def _streams(given: bytes, kind: type[io.TextIOWrapper]) -> Generator[tuple[io.BytesIO, io.BytesIO]]:
    out, err = io.BytesIO(), io.BytesIO()
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "stdin", kind(io.BytesIO(given))))
        stack.enter_context(patch.object(sys, "stdout", kind(out, write_through=True)))
        stack.enter_context(patch.object(sys, "stderr", kind(err, write_through=True)))
        yield out, err
