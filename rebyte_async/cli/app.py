"""The group of all commands, and the edge where what went wrong becomes an exit code."""

from __future__ import annotations

import io
import os
import sys
from itertools import chain
from pathlib import Path

import click

from rebyte_async import __version__
from rebyte_async.cli.answer import answer
from rebyte_async.cli.artifacts import artifacts
from rebyte_async.cli.batch import batch
from rebyte_async.cli.cancel import cancel
from rebyte_async.cli.completion import ANSWERS_SHELL, completion
from rebyte_async.cli.computers import computers
from rebyte_async.cli.demo import demo
from rebyte_async.cli.doctor import doctor
from rebyte_async.cli.emulator import emulator
from rebyte_async.cli.events import events
from rebyte_async.cli.exits import Exit, forget_output
from rebyte_async.cli.files import files
from rebyte_async.cli.run import run
from rebyte_async.cli.tasks import tasks
from rebyte_async.cli.webhooks import webhooks

__all__ = ["start"]

_EPILOG = """\b
Start here:
  rebyte-async demo               a first look, without a key
  export REBYTE_API_KEY=rbk_...
  rebyte-async doctor             is everything set up?
  rebyte-async run "Build a REST API in Go"

\b
Environment:
  REBYTE_API_KEY    the key
  REBYTE_BASE_URL   another address, such as an emulator's
  NO_COLOR          no colors
"""


_SECTIONS = {
    "Watch an agent": (demo, run, events, answer, cancel),
    "Run many": (batch,),
    "Manage": (tasks, computers, files, artifacts, webhooks),
    "Set up": (doctor, emulator, completion),
}


class _Group(click.Group):
    """The commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them into the help."""
        del ctx
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(command.name), command.get_short_help_str(90)) for command in commands])


@click.group(
    cls=_Group,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="rebyte-async", message="%(prog)s %(version)s")
def group() -> None:
    """Run coding agents on Rebyte's agent computers, and watch them work."""


for _command in chain.from_iterable(_SECTIONS.values()):
    group.add_command(_command)


def start() -> int:
    """Run the command with the process's arguments.

    Returns:
        The exit code.
    """
    _prepare_output()
    try:
        code = group.main(prog_name="rebyte-async", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except SystemExit as end:  # click ends like this when it has answered a shell, and when a pipe is broken
        if ANSWERS_SHELL in os.environ:
            return int(end.code or 0)
        forget_output()
        return Exit.BROKEN_PIPE
    except BrokenPipeError:
        forget_output()
        return Exit.BROKEN_PIPE
    return int(code or 0)


def _prepare_output() -> None:
    """Have every line go out at once, and no character fail for want of an encoding."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by whoever started the command
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the process
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace", line_buffering=True)
