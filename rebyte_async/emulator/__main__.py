"""`python -m rebyte_async.emulator`: run the emulator as a server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence

from rebyte_async.emulator import Emulator

_EXIT_CANNOT_LISTEN = 1
_MAX_PORT = 65_535


async def serve(*, host: str = "127.0.0.1", port: int = 8787, api_key: str | None = None) -> None:
    """Run the emulator until the caller is cancelled, and print its URL and key as two lines for a shell.

    Args:
        host: The address to listen on.
        port: The port; 0 for a free one.
        api_key: The key that it accepts; None generates one.

    Raises:
        OSError: The port is taken, or the host isn't this machine's.
    """
    async with Emulator(host=host, port=port, api_key=api_key) as emulator:
        lines = f"REBYTE_BASE_URL={emulator.url}\nREBYTE_API_KEY={emulator.api_key}"
        print(lines, flush=True)  # noqa: T201 - it is a command's output
        await asyncio.Event().wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until Ctrl-C.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit status: 0, or 1 when it couldn't listen.
    """
    parser = argparse.ArgumentParser("python -m rebyte_async.emulator", description="The Rebyte API on loopback.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=8787, type=_port, help="the port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--api-key", help="the key that it accepts (default: a new one)")
    options = parser.parse_args(argv)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(host=options.host, port=options.port, api_key=options.api_key))
    except OSError as error:
        print(f"error: can't listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return _EXIT_CANNOT_LISTEN
    return 0


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"not a port: {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
