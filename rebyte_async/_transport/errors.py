"""Translates aiohttp's exceptions into the package's. No exception of another library leaves the transport.

What is chained as the cause is only what shows no request: aiohttp's `ClientResponseError` prints the URL with its
query and the headers with the key.
"""

from __future__ import annotations

import os

from yarl import URL

from rebyte_async._transport.aiohttp_internals import SESSION_CLOSED_MESSAGES, ConnectionLostError, ProxyFailedError
from rebyte_async._transport.urls import LONGEST_HEADER, redact_url
from rebyte_async.errors import ClientClosedError, ConnectError, RebyteError, RequestTimeoutError, TransportError

_PROXY_AUTHENTICATION_REQUIRED = 407


def is_transport_failure(error: BaseException) -> bool:
    """Whether an exception is a failure of the network or of aiohttp, and so for `translate`."""
    import aiohttp  # noqa: PLC0415 - imported on first use

    http = aiohttp.http.HttpProcessingError
    separated = ConnectionLostError | ProxyFailedError
    return isinstance(error, aiohttp.ClientError | http | OSError | TimeoutError | separated) or (
        isinstance(error, RuntimeError) and str(error) in SESSION_CLOSED_MESSAGES
    )


def translate(error: BaseException, method: str, url: URL, attempts: int = 1) -> RebyteError:
    """Return the package's error for a transport failure, with a cause that is safe to show."""
    import aiohttp  # noqa: PLC0415 - imported on first use

    if isinstance(error, ConnectionLostError) and error.__cause__ is not None:
        error = error.__cause__
    # The order matters: aiohttp's total timeout is a plain TimeoutError, its read timeout is a ClientError as well.
    table: tuple[tuple[type[BaseException], type[TransportError], str], ...] = (
        (aiohttp.ConnectionTimeoutError, ConnectError, "no connection in time"),
        (TimeoutError, RequestTimeoutError, "no response in time"),
        (aiohttp.ClientConnectorError, ConnectError, _describe_no_connection(error, url)),
        (ProxyFailedError, ConnectError, _describe_proxy_failure(error)),
        (aiohttp.ClientPayloadError, TransportError, "the connection was lost amid the response"),
        (aiohttp.ClientHttpProxyError, ConnectError, _describe_refusal(error)),
        (aiohttp.ClientResponseError, TransportError, _describe_bad_response(error)),
        (aiohttp.http.HttpProcessingError, TransportError, "what came amid the response wasn't HTTP"),
        (aiohttp.ServerDisconnectedError, TransportError, "the connection was lost before the response"),
        (OSError, TransportError, "the connection was lost before the response"),
    )
    cause = _safe_cause(error)
    shown = redact_url(url)
    result: RebyteError
    if isinstance(error, RuntimeError):
        closed = "the client is closed, or the aiohttp session that was given to it"
        result = ClientClosedError(f"{method} {shown}: {closed}")
    else:
        found = ((kind, message) for known, kind, message in table if isinstance(error, known))
        kind, message = next(found, (TransportError, "the request failed"))
        result = kind(f"{method} {shown}: {message}", method=method, url=shown, attempts=attempts)
    result.__cause__ = cause
    return result


def _describe_no_connection(error: BaseException, url: URL) -> str:
    """Say which host it was, if it isn't that of the request: a proxy's, or a storage's."""
    import aiohttp  # noqa: PLC0415 - imported on first use

    if not isinstance(error, aiohttp.ClientConnectorError):
        return ""
    role = " the proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
    to = "" if (error.host, error.port) == (url.host, url.port) else f" to{role} {error.host}:{error.port}"
    return f"no connection{to}: {error.os_error}"


def _describe_refusal(error: BaseException) -> str:
    status = getattr(error, "status", 0)
    reason = ", for want of a valid user and password" if status == _PROXY_AUTHENTICATION_REQUIRED else ""
    return f"the proxy refused to connect with {status}{reason}"


def _describe_proxy_failure(error: BaseException) -> str:
    import aiohttp  # noqa: PLC0415 - imported on first use

    is_garbled = isinstance(error.__cause__, aiohttp.ClientResponseError)
    return "the proxy's response wasn't HTTP" if is_garbled else "the proxy ended the connection"


def _describe_bad_response(error: BaseException) -> str:
    if "Got more than" in str(getattr(error, "message", "")):  # aiohttp exports no class for it
        return f"a line of the response's head is longer than {LONGEST_HEADER:,} bytes"
    return "the response wasn't HTTP"


def hide_frames(error: BaseException) -> None:
    """Take from a cancellation the frames that it came through: their variables are requests and their headers.

    `asyncio.timeout` chains it to the TimeoutError that it raises, and some tools show the variables of each frame.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None


def _safe_cause(error: BaseException) -> BaseException:
    """Return an exception that says the same without a URL's query, which some of aiohttp's messages show.

    It has no traceback and no chained exceptions: their variables are the request and its headers.
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
