"""`python -m rebyte_async.emulator`: run the emulator as a server."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from yarl import URL

from rebyte_async.emulator import Emulator
from rebyte_async.emulator.webhooks.delivery import is_loopback

_EXIT_CANNOT_LISTEN = 1
_MAX_PORT = 65_535
_SIGNALS = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # each system has some of them
    if name in signal.Signals.__members__
]


async def serve(
    *, host: str = "127.0.0.1", port: int = 8787, storage_port: int = 0, api_key: str | None = None
) -> None:
    """Run the emulator until the caller is cancelled, and print its URL and key as two lines for a shell.

    What else its user should know about the address goes to stderr.

    Args:
        host: The address to listen on.
        port: The port of the API; 0 for a free one.
        storage_port: The port of the storage, where files are uploaded; 0 for a free one.
        api_key: The key that it accepts; None generates one.

    Raises:
        OSError: A port is taken, or the host isn't this machine's.
    """
    async with Emulator(host=host, port=port, storage_port=storage_port, api_key=api_key) as emulator:
        lines = f"REBYTE_BASE_URL={emulator.url}\nREBYTE_API_KEY={emulator.api_key}"
        print(lines, flush=True)  # noqa: T201 - it is a command's output
        if note := _describe_reach(host, emulator):
            print(note, file=sys.stderr)  # noqa: T201 - likewise
        await asyncio.Event().wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until Ctrl-C, or until it is ended as services are.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit status: 0, or 1 when it couldn't listen.
    """
    parser = argparse.ArgumentParser("python -m rebyte_async.emulator", description="The Rebyte API on loopback.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=8787, type=_port, help="the port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--storage-port", default=0, type=_port, help="the port for uploads, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--api-key", help="the key that it accepts (default: a new one)")
    options = parser.parse_args(argv)
    try:
        asyncio.run(_serve_until_signal(options))
    except OSError as error:
        print(f"error: can't listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return _EXIT_CANNOT_LISTEN
    return 0


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
