"""aiohttp's exceptions in the package's words. No exception of another library leaves the transport.

What is chained as the cause is only what shows no request: aiohttp's `ClientResponseError` prints the URL with its
query and the headers with the key.
"""

from __future__ import annotations

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
        isinstance(error, RuntimeError) and str(error) == "Session is closed"
    )


class _LostError(Exception):
    """A lost connection under a name that aiohttp doesn't know, so that it doesn't repeat the request by itself."""


async def single_attempt(request: object, handler: object) -> object:
    """A client middleware that keeps aiohttp from silently repeating a request whose connection was lost.

    aiohttp repeats GET, PUT and DELETE once, uncounted: a repeated DELETE then looks like a 404.
    """
    import aiohttp  # noqa: PLC0415 - imported on first use

    try:
        return await handler(request)  # type: ignore[operator]
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        lost = _LostError(str(error))
        lost.__cause__ = error
    raise lost


def translate(error: BaseException, method: str, url: URL) -> RebyteError:
    """The package's error for a failure on the way, with a cause that is safe to show.

    `TimeoutError` goes first: aiohttp's total timeout is a plain one, its read timeout is a ClientError as well.
    """
    import aiohttp  # noqa: PLC0415 - imported on first use

    where, what = shown(url), f"{method} {shown(url)}"
    if isinstance(error, _LostError) and error.__cause__ is not None:
        error = error.__cause__
    result: RebyteError
    match error:
        case aiohttp.ConnectionTimeoutError():
            result = ConnectError(f"{what}: no connection in time", method=method, url=where)
        case TimeoutError():
            result = RequestTimeoutError(f"{what}: no answer in time", method=method, url=where)
        case aiohttp.ClientConnectorError():
            result = ConnectError(f"{what}: no connection: {_reason(error)}", method=method, url=where)
        case aiohttp.ClientPayloadError():
            result = TransportError(f"{what}: the connection was lost amid the answer", method=method, url=where)
        case aiohttp.ClientResponseError():
            result = TransportError(f"{what}: the answer was no HTTP", method=method, url=where)
            error = error.__cause__ or RuntimeError("malformed answer")
        case aiohttp.ServerDisconnectedError() | OSError():
            result = TransportError(f"{what}: the connection was lost before the answer", method=method, url=where)
        case RuntimeError():
            result = ConfigurationError("the aiohttp session that was given to the client is closed")
        case _:
            result = TransportError(f"{what}: {type(error).__name__}", method=method, url=where)
            error = RuntimeError(type(error).__name__)
    result.__cause__ = error
    return result


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
