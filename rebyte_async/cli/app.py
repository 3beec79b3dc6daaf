"""The group of all commands, and the edge where click's errors become exit codes."""

from __future__ import annotations

import io
import os
import sys

import click

from rebyte_async import __version__
from rebyte_async._logging import LEVELS, VARIABLE
from rebyte_async.cli.completion import ANSWERS_SHELL
from rebyte_async.cli.exits import Exit, report_error
from rebyte_async.cli.lazy import Entry, LazyGroup
from rebyte_async.cli.runtime import discard_output, discard_unwritable

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
  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE
                    the network's proxy and certificate authorities
  REBYTE_LOG        as --log
  NO_COLOR          no colors
"""

_BATCH = {
    "export": Entry(
        "batch_inspect:export", "Print the outcomes that JOURNAL has, in the order in which the items were taken."
    ),
    "load": Entry(
        "batch_work:load",
        "Load every line or row of ITEMS into a batch in a database; - reads them from stdin.",
    ),
    "report": Entry(
        "batch_inspect:report", "Write a page on the batch of JOURNAL: a timeline, durations, failures, final results."
    ),
    "retry": Entry("batch:retry", "Run items of JOURNAL again that failed, together with those that haven't ended."),
    "run": Entry("batch:run", "Run every line or row of ITEMS as a task; - reads them from stdin."),
    "status": Entry("batch_inspect:status", "Show how far the batch of JOURNAL is, also while it runs."),
    "work": Entry("batch_work:work", "Run items of a batch in a database until none is left, beside other workers."),
}

_SECTIONS = {
    "Watch an agent": {
        "demo": Entry("demo:demo", "Watch an emulated agent do a whole job: no key, no network, no cost."),
        "run": Entry("run:run", "Run PROMPT on an agent computer and watch it; - reads the prompt from stdin."),
        "events": Entry("run:events", "Watch the latest turn of task TASK_ID from its beginning to its end."),
        "answer": Entry("answer:answer", "Answer the question that the agent of task TASK_ID waits on."),
        "cancel": Entry("tasks:cancel", "Cancel what task TASK_ID is doing."),
    },
    "Run many": {"batch": Entry("app:batch", "Batches: run a file of tasks, nothing lost, nothing paid for twice.")},
    "Manage": {
        "tasks": Entry("tasks:tasks", "Tasks: make, read, prompt, wait for, cancel, share, delete."),
        "computers": Entry("computers:computers", "Agent computers: make, read, wait for, change, delete."),
        "files": Entry("files:files", "Files to attach to tasks: upload."),
        "artifacts": Entry(
            "artifacts:artifacts", "Artifacts, the files that tasks leave: list, download, upload, delete."
        ),
        "webhooks": Entry("webhooks:webhooks", "Webhooks: register, read, delete, listen; the key that signs them."),
    },
    "Set up": {
        "doctor": Entry("doctor:doctor", "See whether this command is set up, and whether the service answers."),
        "emulator": Entry(
            "demo:emulator", "Run the API's emulator on this machine until Ctrl-C: no key, no network, no cost."
        ),
        "completion": Entry("completion:completion", "Print what makes SHELL complete this command."),
    },
}


@click.group(
    cls=LazyGroup,
    sections=_SECTIONS,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="rebyte-async", message="%(prog)s %(version)s")
@click.option(
    "--proxy",
    metavar="URL",
    help="The proxy to use, such as http://proxy.example.com:3128. It and --ca come before the command.",
)
@click.option(
    "--ca", metavar="FILE", help="A PEM file with the certificate authorities to trust, instead of the system's."
)
@click.option(
    "--log",
    type=click.Choice(LEVELS),
    help="Write what the SDK does to stderr, from this level on: never a key, a prompt or a result.",
)
def group(proxy: str | None, ca: str | None, log: str | None) -> None:
    """Run coding agents on Rebyte's agent computers, and watch them work."""
    del proxy, ca  # `runtime.network_settings` reads them
    if log is not None:
        os.environ[VARIABLE] = log  # which the client reads


@click.group(cls=LazyGroup, sections={"Commands": _BATCH})
def batch() -> None:
    """Batches: run a file of tasks, nothing lost, nothing paid for twice."""


def start() -> int:
    _prepare_output()
    try:
        code = group.main(prog_name="rebyte-async", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except SystemExit as end:  # click ends like this after the completion of a word, and when a pipe is broken
        return int(end.code or 0) if ANSWERS_SHELL in os.environ else discard_output()
    except BrokenPipeError:
        return discard_output()
    except OSError as error:  # stdout is on a full disk, for example
        discard_unwritable()
        return report_error(error)
    return int(code or 0)


def _prepare_output() -> None:
    """Have every line written at once, and let no character fail because an encoding lacks it."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace", line_buffering=True)
