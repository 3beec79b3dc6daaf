"""The client: checks the settings, and puts transport and resources together."""

from __future__ import annotations

import asyncio
import inspect
import os
import ssl as tls
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, cast

from attrs import evolve

from rebyte_async._clock import Time
from rebyte_async._logging import set_up_logging
from rebyte_async._settings import RetryPolicy, Timeouts
from rebyte_async._transport import LazyModule, Response, SessionPool, Transport, make_network, parse_base_url
from rebyte_async._validate import count, header_name, header_value
from rebyte_async._wire import models
from rebyte_async._wire.endpoints import DEFAULT_BASE_URL, custom_endpoint
from rebyte_async.errors import ConfigurationError, InvalidRequestError
from rebyte_async.resources import AgentComputers, Artifacts, Files, Tasks, Webhooks
from rebyte_async.resources.waiting import CreationGrace
from rebyte_async.types.service import ClientStats, Health, ResponseInfo

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = LazyModule("aiohttp")

__all__ = ["AsyncRebyte"]

_OWN_HEADERS = frozenset({"api_key", "api-key", "x-api-key", "host", "content-length", "content-type", "connection"})
_REPLACEABLE = {name.lower(): name for name in ("User-Agent", "Accept", "Accept-Encoding")}
"""The client's own headers that an application may replace, in any spelling."""


class AsyncRebyte:
    """A client of the Rebyte Agent Computer API, for one event loop.

        async with AsyncRebyte() as client:
            task = await client.tasks.create("Build a REST API")

    Make one and share it: it holds the connections, the pause after a 429 and the retry budget. It connects when it
    is first used, and belongs to the event loop of that use. Close it with `async with` or `aclose`.

    Args:
        api_key: The key, `rbk_…`; None reads `REBYTE_API_KEY`. It is sent to the API's origin and nowhere else.
        base_url: The API's address; None reads `REBYTE_BASE_URL`, then `REBYTE_API_URL`, then takes
            `https://api.rebyte.ai/v1`. Plain http is accepted for this machine alone.
        timeouts: How long the client waits, for each kind of wait.
        retry: How often the client tries again, and after how long.
        session: An aiohttp session to use instead of the client's own. The client never closes it; its connection
            limit also holds for streams. It has its own proxy and TLS, so `proxy`, `ssl` and `trust_env` are refused.
        headers: Headers to add to every request to the API's origin.
        proxy: The URL of the proxy for calls, streams, uploads and downloads, but never for addresses of this machine.
            Its user and password are never shown.
        ssl: An `ssl.SSLContext`, or the path of a PEM file of certificate authorities, which replace the system's.
        trust_env: Whether to read the environment when the client is made: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
            `NO_PROXY` where there is no `proxy`, `SSL_CERT_FILE` where there is no `ssl`. A netrc is never read.
        on_response: A function to call with a `ResponseInfo` after every attempt that got a response, for logs and
            metrics. What it raises is logged, and never fails the call.
        max_response_bytes: The longest response that is read whole, unpacked. Streams and downloads may be longer.
        _time: A hook for tests: the clock, sleep and random numbers of everything that the client does. Closing the
            client doesn't end a sleep that was replaced.

    Raises:
        ConfigurationError: There is no key, or a setting is invalid.

    *Source*: contract §1, documented.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        session: aiohttp.ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl: tls.SSLContext | str | Path | None = None,
        trust_env: bool = False,
        on_response: Callable[[ResponseInfo], object] | None = None,
        max_response_bytes: int = 64 * 1024 * 1024,
        _time: Time | None = None,
    ) -> None:
        set_up_logging()
        _check_settings(timeouts, retry)
        url = base_url or os.environ.get("REBYTE_BASE_URL") or os.environ.get("REBYTE_API_URL") or DEFAULT_BASE_URL
        network = make_network(proxy=proxy, tls=ssl, trust_env=trust_env, has_session=session is not None)
        sessions = SessionPool(session, network)
        time = _time or Time()
        if time.sleep is asyncio.sleep:
            time = evolve(time, sleep=sessions.sleeps.sleep)  # which closing the client ends
        transport = Transport(
            base_url=parse_base_url(url),
            api_key=_read_api_key(api_key),
            timeouts=timeouts,
            retry=retry,
            headers=_check_headers(headers),
            sessions=sessions,
            time=time,
            on_response=_check_callback(on_response),
            max_response_bytes=count("max_response_bytes", max_response_bytes, error=ConfigurationError),
        )
        self._set_up(transport, CreationGrace(transport.time.clock), owns_sessions=True)

    def _set_up(self, transport: Transport, grace: CreationGrace, *, owns_sessions: bool) -> None:
        self._transport = transport
        self._grace = grace
        self._owns_sessions = owns_sessions

    # Made on first use, so that a view for one call costs next to nothing.

    @cached_property
    def tasks(self) -> Tasks:
        """Tasks and their events."""
        return Tasks(self._transport, self._grace)

    @cached_property
    def agent_computers(self) -> AgentComputers:
        """The agent computers that tasks run on."""
        return AgentComputers(self._transport, self._grace)

    @cached_property
    def files(self) -> Files:
        """Files to attach to tasks and prompts."""
        return Files(self._transport)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files that tasks leave on their agent computers."""
        return Artifacts(self._transport)

    @cached_property
    def webhooks(self) -> Webhooks:
        """The URLs to which the service reports what becomes of tasks."""
        return Webhooks(self._transport)

    def with_options(
        self,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncRebyte:
        """Return a view of this client with other settings.

        It shares the connections, the pause after a 429, the retry budget and the counts with this client. Closing it
        does nothing; it ends with the client that it was made from.

        Args:
            timeouts: The timeouts, or None for the same ones.
            retry: The retry policy, or None for the same one.
            headers: Headers to add to those of this client, or None.

        Raises:
            ConfigurationError: A setting is invalid.
        """
        own = self._transport
        timeouts = own.timeouts if timeouts is None else timeouts
        retry = own.retry if retry is None else retry
        _check_settings(timeouts, retry)
        headers = own.headers if headers is None else {**own.headers, **_check_headers(headers)}
        transport = own.with_settings(timeouts=timeouts, retry=retry, headers=headers)
        view = object.__new__(type(self))
        view._set_up(transport, self._grace, owns_sessions=False)
        return view

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        query: Mapping[str, str | int] | None = None,
        repeatable: bool | None = None,
    ) -> Response:
        """Send a request that this package has no call for yet: with the key, the retries and the errors of all calls.

        Args:
            method: The HTTP method, such as `GET`.
            path: The path below the base URL, such as `/tasks`, percent-encoded. It leads nowhere else.
            json: What to send as JSON, or None to send no body.
            query: The query.
            repeatable: Whether the request may be sent again after its response was lost. None: only GET, HEAD, PUT and
                DELETE. A request that may not fails with `AmbiguousRequestError` then.

        Returns:
            The response, read to its end: `status`, `headers`, `request_id`, `body` and `json()`.

        Raises:
            InvalidRequestError: An argument can't be right. Nothing was sent.
            RebyteError: Whatever else a call can raise; `Tasks` lists it.
        """
        endpoint = custom_endpoint(method, path, is_repeatable=repeatable)
        return await self._transport.call(endpoint, query=_check_query(query), json=json)

    async def health(self) -> Health:
        """Read the service's health. It needs no key, and sends none.

        Raises:
            TransportError: The service can't be reached.
            APIError: It says that it isn't well.
            DecodeError: The response can't be read.

        *Source*: contract §1, observed.
        """
        response = await self._transport.health()
        return models.decode(Health, response.json())

    def stats(self) -> ClientStats:
        """Return what this client and all its views have done so far."""
        return self._transport.counters.snapshot(self._transport.sessions.bodies.received)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._transport.base_url}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client can't be pickled: it holds connections and a key. Make one where it is needed")

    async def __aenter__(self) -> Self:
        await self._transport.sessions.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client's own connections. Remote tasks continue; open streams and calls fail."""
        if self._owns_sessions:
            await self._transport.sessions.close()


def _read_api_key(given: object) -> str:
    """Return the API key; no error about it repeats it."""
    key = os.environ.get("REBYTE_API_KEY", "") if given is None else given
    if not isinstance(key, str):
        raise ConfigurationError(f"api_key must be a string, not {type(key).__name__}")
    key = key.strip()
    if not key:
        raise ConfigurationError("there is no API key: give api_key, or set REBYTE_API_KEY")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("api_key has characters that no API key has, such as a space or a line end")
    return key


def _check_headers(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"headers must be a mapping of strings, not {type(given).__name__}")
    headers: dict[str, str] = {}
    for key, value in cast("Mapping[object, object]", given).items():
        name = header_name("each key of headers", key, error=ConfigurationError)
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"the header {name} is set by the client itself")
        headers[_REPLACEABLE.get(name.lower(), name)] = header_value(name, value, error=ConfigurationError)
    return headers


def _check_query(given: object) -> dict[str, str | int]:
    if not isinstance(given, Mapping | None):
        raise InvalidRequestError(f"query must be a mapping, not {type(given).__name__}")
    query = dict(cast("Mapping[str, str | int]", given or {}))
    for name, value in cast("dict[object, object]", query).items():
        if not isinstance(name, str) or not isinstance(value, str | int) or isinstance(value, bool):
            raise InvalidRequestError(f"query must have strings and whole numbers, not {name!r:.80}: {value!r:.80}")
    return query


def _check_callback(given: object) -> Callable[[ResponseInfo], object] | None:
    if given is None or (callable(given) and not inspect.iscoroutinefunction(given)):
        return cast("Callable[[ResponseInfo], object] | None", given)
    raise ConfigurationError(f"on_response must be a plain function of one argument, not {given!r:.80}")


def _check_settings(timeouts: object, retry: object) -> None:
    if not isinstance(timeouts, Timeouts):
        raise ConfigurationError(f"timeouts must be a Timeouts, such as Timeouts(read=30), not {timeouts!r:.80}")
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry must be a RetryPolicy, such as RetryPolicy(max_attempts=1), not {retry!r:.80}")
