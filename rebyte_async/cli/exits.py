"""Exit codes, and how errors are reported on stderr: by table, from the error's class."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from enum import IntEnum

import click

from rebyte_async import errors
from rebyte_async._terminal import one_line, sanitize
from rebyte_async.cli.view.text import format_file_ref
from rebyte_async.types import FileRef


class Exit(IntEnum):
    """How the command ended."""

    OK = 0  # the command is done; where a task was watched, it completed
    OTHER = 1  # another error, without its own code
    USAGE = 2  # an argument or a setting is invalid; nothing was sent
    FAILED = 3  # the task failed, or the computer couldn't be provisioned
    CANCELED = 4  # the task was canceled
    TIMEOUT = 5  # `--timeout` ran out
    AMBIGUOUS = 6  # a response was lost: a task may be running, or a computer may have been made
    NETWORK = 7  # the service can't be reached, or the connection was lost too often
    AUTH = 8  # the key is missing, wrong, or may not do this
    NOT_FOUND = 9  # the resource doesn't exist, or not for this key
    LIMITED = 10  # too many requests, or a limit of the organization
    REFUSED = 11  # the service refused the request for another reason
    SERVER = 12  # the service failed
    UNREADABLE = 13  # the service's response can't be read
    MISSING_EXTRA = 14  # click or rich isn't installed
    INTERRUPTED = 130  # Ctrl-C
    BROKEN_PIPE = 141  # the reader of the output has left


_BY_STATUS = {"completed": Exit.OK, "failed": Exit.FAILED, "canceled": Exit.CANCELED}

_BY_ERROR: tuple[tuple[type[errors.RebyteError | OSError], Exit], ...] = (
    (errors.AmbiguousRequestError, Exit.AMBIGUOUS),
    (errors.TransportError, Exit.NETWORK),
    (errors.ConfigurationError, Exit.USAGE),
    (errors.WaitTimeoutError, Exit.TIMEOUT),
    (errors.ProvisionError, Exit.FAILED),
    (errors.AuthenticationError, Exit.AUTH),
    (errors.PermissionDeniedError, Exit.AUTH),
    (errors.NotFoundError, Exit.NOT_FOUND),
    (errors.ConflictError, Exit.REFUSED),
    (errors.RateLimitedError, Exit.LIMITED),
    (errors.LimitExceededError, Exit.LIMITED),
    (errors.ServerError, Exit.SERVER),
    (errors.APIError, Exit.REFUSED),
    (errors.DecodeError, Exit.UNREADABLE),
    (errors.RebyteError, Exit.OTHER),
    (OSError, Exit.OTHER),
)
"""The first class that fits gives the code; a class is listed before its bases."""


def exit_code_for_status(status: str | None) -> Exit:
    """Return the exit code for the end of a turn; an unknown status is no success."""
    return _BY_STATUS.get(str(status), Exit.OTHER)


def exit_code_for(error: errors.RebyteError | OSError) -> Exit:
    if isinstance(error, errors.StreamInterruptedError) and error.last_status is not None:
        return Exit.UNREADABLE
    return next(code for kind, code in _BY_ERROR if isinstance(error, kind))


def explain(error: errors.RebyteError | OSError) -> str:
    """Say what went wrong and what it means, on one line."""
    if not isinstance(error, errors.RebyteError):
        about = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return one_line(f"{about}{error.strerror or error}")
    is_resumable = isinstance(error, errors.StreamInterruptedError) and error.last_status is None
    hint = "the task keeps running" if is_resumable else error.hint
    return one_line(f"{error} ({hint})" if hint else str(error))


def print_error(text: str) -> None:
    say(f"error: {text}")


def say(text: str) -> None:
    """Print a line on stderr, whatever the ids and names in it hold."""
    click.echo(sanitize(text).replace("\n", " "), err=True)


def report_error(error: errors.RebyteError | OSError) -> Exit:
    """Print an error, and what was done before it and so needn't be done again; return the exit code."""
    print_error(explain(error))
    for line in (*_done_before(error), *getattr(error, "__notes__", ())):
        say(f"  {line}")
    return exit_code_for(error)


def _done_before(error: errors.RebyteError | OSError) -> Iterator[str]:
    if not isinstance(error, errors.RebyteError):
        return
    context = click.get_current_context(silent=True)
    given = () if context is None else context.params.get("refs", ())  # uploaded before the command, by its user
    for item in error.uploaded:
        if not isinstance(item, FileRef):
            yield f"uploaded already:  {getattr(item, 'name', item)}"
        elif item not in given:
            yield f"uploaded already:  --file-ref {shlex.quote(format_file_ref(item))}"
    yield from (f"downloaded already:  {path}" for path in error.downloaded)
