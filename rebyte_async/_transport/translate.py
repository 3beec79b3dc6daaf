"""aiohttp's exceptions in the package's words. No exception of another library leaves the transport.

What is chained as the cause is only what shows no request: aiohttp's `ClientResponseError` prints the URL with its
query and the headers with the key.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rebyte_async.errors import ConfigurationError, ConnectError, RebyteError, RequestTimeoutError, TransportError

if TYPE_CHECKING:
    from yarl import URL

from rebyte_async._transport.origin import shown

__all__ = ["is_foreign", "translate"]


def is_foreign(error: BaseException) -> bool:
    """Whether an exception is a failure of the network or of aiohttp, and so for `translate`."""
    import aiohttp  # noqa: PLC0415 - imported on first use

    http = aiohttp.http.HttpProcessingError
    return isinstance(error, aiohttp.ClientError | http | OSError | TimeoutError | _LostError) or (
        isinstance(error, RuntimeError) and str(error) in {"Session is closed", "Connection closed."}
    )


class _LostError(Exception):
    """A lost connection under a name that aiohttp doesn't know, so that it doesn't repeat the request by itself."""


async def single_attempt(request: object, handler: object) -> object:
    """A client middleware that keeps aiohttp from silently repeating a request whose connection was lost.

    aiohttp repeats GET, PUT and DELETE once, uncounted: a repeated DELETE then looks like a 404.
    """
    try:
        return await handler(request)  # type: ignore[operator]
    except Exception as error:
        import aiohttp  # noqa: PLC0415 - imported on first use

        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            raise
        if not isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError):
            raise
        lost = _LostError(str(error))
        lost.__cause__ = error
    raise lost


def translate(error: BaseException, method: str, url: URL) -> RebyteError:
    """The package's error for a failure on the way, with a cause that is safe to show.

    `TimeoutError` goes before the rest: aiohttp's total timeout is a plain one, its read timeout is a ClientError too.
    """
    import aiohttp  # noqa: PLC0415 - imported on first use

    if isinstance(error, _LostError) and error.__cause__ is not None:
        error = error.__cause__
    kind, what = _KIND_OF_REST
    for known, found, words in (
        (aiohttp.ConnectionTimeoutError, ConnectError, "no connection in time"),
        (TimeoutError, RequestTimeoutError, "no answer in time"),
        (aiohttp.ClientConnectorError, ConnectError, "no connection"),
        (aiohttp.ClientPayloadError, TransportError, "the connection was lost amid the answer"),
        (aiohttp.ClientResponseError, TransportError, "the answer was no HTTP"),
        (aiohttp.ServerDisconnectedError, TransportError, "the connection was lost before the answer"),
        (OSError, TransportError, "the connection was lost before the answer"),
        (RuntimeError, ConfigurationError, "the client is closed, or the aiohttp session that was given to it"),
    ):
        if isinstance(error, known):
            kind, what = found, words
            break
    cause = _presentable(error)
    detail = f": {cause}" if isinstance(error, aiohttp.ClientConnectorError) else ""
    result = kind(f"{method} {shown(url)}: {what}{detail}")
    if isinstance(result, TransportError):
        result.method, result.url = method, shown(url)
    result.__cause__ = cause
    return result


_KIND_OF_REST: tuple[type[RebyteError], str] = (TransportError, "the exchange failed")


def _presentable(error: BaseException) -> BaseException:
    """An exception that says the same without a URL's query, which aiohttp writes into some of its messages.

    It comes without its traceback and what is chained to it: in their variables are the request and its headers.
    """
    import aiohttp  # noqa: PLC0415 - imported on first use

    cause: BaseException
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    elif isinstance(error, OSError) and error.errno is not None:
        cause = OSError(error.errno, os.strerror(error.errno))
    elif isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | aiohttp.SocketTimeoutError):
        cause = error
    else:
        cause = TimeoutError() if isinstance(error, TimeoutError) else RuntimeError(type(error).__name__)
    cause.__traceback__ = cause.__cause__ = cause.__context__ = None
    return cause
