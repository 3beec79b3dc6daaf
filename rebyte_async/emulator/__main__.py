"""`python -m rebyte_async.emulator`: run the emulator as a server."""

from __future__ import annotations

import argparse
import asyncio
import errno
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from yarl import URL

from rebyte_async.emulator import Emulator, Record
from rebyte_async.emulator.document import Document, ScriptError, load_documents
from rebyte_async.emulator.webhooks.delivery import is_loopback

_EXIT_CANNOT_LISTEN = 1
_EXIT_USAGE = 2
_MAX_PORT = 65_535
_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # each system has some of them
    if name in signal.Signals.__members__
]


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    storage_port: int = 0,
    api_key: str | None = None,
    pace: float = 0.02,
    document: Document | None = None,
    log: bool = False,
    export: bool = False,
) -> None:
    """Run the emulator until the caller is cancelled, and print its URL and key as two lines for a shell.

    What else its user should know goes to stderr.

    Args:
        host: The address to listen on.
        port: The port of the API; 0 for a free one.
        storage_port: The port of the storage, where files are uploaded; 0 for a free one.
        api_key: The key that it accepts; None generates one.
        pace: Seconds between two events of an agent without a script.
        document: Scripts and faults.
        log: Whether to print a line for each request.
        export: Whether the two lines begin with `export`.

    Raises:
        OSError: A port is taken, or the host isn't this machine's.
    """
    async with Emulator(host=host, port=port, storage_port=storage_port, api_key=api_key, pace=pace) as emulator:
        emulator.log.on_request = _print_request if log else None
        if document is not None:
            emulator.load(document)
        word = "export " if export else ""
        lines = f"{word}REBYTE_BASE_URL={emulator.url}\n{word}REBYTE_API_KEY={emulator.api_key}"
        print(lines, flush=True)  # noqa: T201 - it is a command's output
        if note := _describe_reach(host, emulator):
            print(note, file=sys.stderr)  # noqa: T201 - likewise
        await asyncio.Event().wait()


def _print_request(record: Record) -> None:
    time = record.time.astimezone().strftime("%H:%M:%S")
    faults = "".join(f" {type(fault).__name__}" for fault in record.faults)
    line = f"{time} {record.method} {record.path} {record.status or 'dropped'}{faults}"
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - it is a command's output


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until Ctrl-C, or until it is ended as services are.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit status: 0, 1 when it couldn't listen, or 2 when a script or a fault can't be read.
    """
    options = _make_parser().parse_args(argv)
    try:
        settings = vars(options)
        settings["document"] = load_documents(settings.pop("script"), settings.pop("fault"))
        asyncio.run(_serve_until_signal(options))
    except ScriptError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - it is a command's output
        return _EXIT_USAGE
    except OSError as error:
        print(f"error: {explain_listening(error, options.host, options.port)}", file=sys.stderr)  # noqa: T201 - likewise
        return _EXIT_CANNOT_LISTEN
    return 0


def explain_listening(error: Exception, host: str, port: int) -> str:
    """Say why the emulator couldn't listen, and what to do where the port is taken."""
    text = f"can't listen on {host}:{port}: {getattr(error, 'strerror', None) or error}"
    return f"{text}; --port 0 takes a free one" if getattr(error, "errno", None) == errno.EADDRINUSE else text


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m rebyte_async.emulator", description="The Rebyte API on loopback.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    add("--port", default=8787, type=_port, help="the port, 0 for a free one (default: %(default)s)")
    add("--storage-port", default=0, type=_port, help="the port for uploads, 0 for a free one (default: %(default)s)")
    add("--api-key", help="the key that it accepts (default: a new one)")
    add("--script", action="append", default=[], type=Path, metavar="FILE", help="scripts and faults, JSON or YAML")
    add("--fault", action="append", default=[], metavar="FAULT", help="such as html_page, status=429 or cut=2")
    add("--pace", default=0.02, type=float, help="seconds between events without a script (default: %(default)s)")
    add("--log", action="store_true", help="print a line for each request")
    add("--export", action="store_true", help="print the address and the key as commands of a shell")
    return parser


async def _serve_until_signal(options: argparse.Namespace) -> None:
    serving = asyncio.create_task(serve(**vars(options)))
    with _cancel_on_signal(serving), suppress(asyncio.CancelledError):
        await serving


@contextmanager
def _cancel_on_signal(task: asyncio.Task[None]) -> Generator[None]:
    """Cancel a task on a signal, so that it can clean up; further signals don't interrupt that.

    Signals that are ignored stay so, as in a script's background or with nohup.
    """

    def cancel_once() -> None:
        if not task.cancelling():
            task.cancel()

    def on_signal(*_: object) -> None:
        task.get_loop().call_soon_threadsafe(cancel_once)

    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _describe_reach(host: str, emulator: Emulator) -> str:
    """Say who can reach an emulator that isn't for this machine alone."""
    if is_loopback(host):
        return ""
    ports = f"the ports {URL(emulator.url).port} and {URL(emulator.storage_url).port} (uploads)"
    return (
        f"Other machines and containers reach {ports} by this machine's name. rebyte-async sends its key over plain "
        "http to its own machine alone: forward both ports to its loopback address, or share the network namespace."
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"not a port: {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
