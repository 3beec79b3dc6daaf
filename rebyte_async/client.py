"""The client: where settings, connections and resources come together."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn, Self, cast

from attrs import evolve

from rebyte_async._clock import Time
from rebyte_async._settings import RetryPolicy, Timeouts
from rebyte_async._transport import SessionPool, Transport, parse_base_url
from rebyte_async._wire import endpoints, models
from rebyte_async.errors import ConfigurationError
from rebyte_async.resources import AgentComputers, Artifacts, Files, Tasks, Webhooks
from rebyte_async.resources.waiting import CreationGrace
from rebyte_async.types.service import Health

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import ClientSession
    from yarl import URL

    from rebyte_async.types.service import ClientStats

__all__ = ["AsyncRebyte"]

_OWN_HEADERS = frozenset({"api_key", "api-key", "x-api-key", "host", "content-length", "content-type", "connection"})
_REPLACED = {name.lower(): name for name in ("User-Agent", "Accept", "Accept-Encoding")}
"""The client's own headers that an application may replace, under whatever spelling."""


class AsyncRebyte:
    """A client of the Rebyte Agent Computer API, for one event loop.

        async with AsyncRebyte() as client:
            task = await client.tasks.create("Build a REST API")

    Make one and share it: it holds the connections, the pause after a 429 and the retry budget. It connects when it
    is first used, and belongs to the event loop of that use. Close it with `async with` or `aclose`.

    Args:
        api_key: The key, `rbk_…`; None reads `REBYTE_API_KEY`. It is sent to the API's origin and nowhere else.
        base_url: The API's address; None reads `REBYTE_BASE_URL`, then `REBYTE_API_URL`, then takes
            `https://api.rebyte.ai/v1`. Plain http is for this machine alone.
        timeouts: How long to wait for what.
        retry: How often and how patiently to try again.
        session: An aiohttp session to use instead of the client's own. It is never closed here; its connection limit
            then holds for streams too.
        headers: Headers to add to every request to the API's origin.
        _time: A hook for tests: the clock, sleep and random numbers of everything that the client does. A sleep that
            is replaced isn't ended by closing the client.

    Raises:
        ConfigurationError: There is no key, or a setting can't be right.

    *Source*: contract §1, documented.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        session: ClientSession | None = None,
        headers: Mapping[str, str] | None = None,
        _time: Time | None = None,
    ) -> None:
        _check_settings(timeouts, retry)
        sessions = SessionPool(session)
        transport = Transport(
            base_url=_base(base_url),
            api_key=_key(api_key),
            timeouts=timeouts,
            retry=retry,
            headers=_headers(headers),
            sessions=sessions,
            time=_time_of(_time, sessions),
        )
        self._set_up(transport, CreationGrace(transport.time.clock), owner=True)

    def _set_up(self, transport: Transport, grace: CreationGrace, *, owner: bool) -> None:
        self._transport = transport
        self._grace = grace
        self._owner = owner
        self.tasks: Tasks = Tasks(transport, grace)
        """Tasks and their events."""
        self.agent_computers: AgentComputers = AgentComputers(transport, grace)
        """The machines that tasks run on."""
        self.files: Files = Files(transport)
        """Files to attach to tasks and prompts."""
        self.artifacts: Artifacts = Artifacts(transport)
        """The files that tasks leave in their workspaces."""
        self.webhooks: Webhooks = Webhooks(transport)
        """Where the service reports what becomes of tasks."""

    def with_options(
        self,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncRebyte:
        """A view of this client under other settings.

        It shares the connections, the pause after a 429, the retry budget and the counters. Closing it does nothing;
        it ends with the client that it was made from.

        Args:
            timeouts: The waits, or None for the same ones.
            retry: The retries, or None for the same ones.
            headers: Headers to add to those of this client, or None.

        Raises:
            ConfigurationError: A setting can't be right.
        """
        mine = self._transport
        _check_settings(timeouts or mine.timeouts, retry or mine.retry)
        view = object.__new__(type(self))
        transport = mine.with_settings(
            timeouts=timeouts or mine.timeouts,
            retry=retry or mine.retry,
            headers={**mine.headers, **_headers(headers)},
        )
        view._set_up(transport, self._grace, owner=False)
        return view

    async def health(self) -> Health:
        """Read the service's health. It needs no key, and sends none.

        Raises:
            TransportError: The service can't be reached.
            APIError: It answers that it isn't well.
            DecodeError: The answer can't be read.

        *Source*: contract §1, observed.
        """
        answer = await self._transport.health()
        return models.decode(Health, answer.json())

    def stats(self) -> ClientStats:
        """What this client, with all views of it, has done so far."""
        transport = self._transport
        return transport.counters.snapshot(transport.sessions.bodies.received)

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
        """Close the client's own connections. Remote tasks go on; open streams and calls fail."""
        if self._owner:
            await self._transport.sessions.close()


def _base(given: str | None) -> URL:
    text = given or os.environ.get("REBYTE_BASE_URL") or os.environ.get("REBYTE_API_URL") or endpoints.DEFAULT_BASE_URL
    return parse_base_url(text)


def _time_of(given: Time | None, sessions: SessionPool) -> Time:
    """The time of a client: with the ordinary sleep replaced by one that closing the client ends."""
    time = given or Time()
    return evolve(time, sleep=sessions.sleeps.sleep) if time.sleep is asyncio.sleep else time


def _key(given: object) -> str:
    """The API key; no error about it repeats it."""
    key = os.environ.get("REBYTE_API_KEY", "") if given is None else given
    if not isinstance(key, str):
        raise ConfigurationError(f"api_key must be a string, not {type(key).__name__}")
    key = key.strip()
    if not key:
        raise ConfigurationError("there is no API key: give api_key, or set REBYTE_API_KEY")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("api_key has characters that no API key has, such as a space or a line end")
    return key


def _headers(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"headers must be a mapping of strings, not {type(given).__name__}")
    headers = cast("Mapping[object, object]", given)
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ConfigurationError(f"{name!r:.80} is no header name")
        if not isinstance(value, str) or re.search(r"[\r\n\0]", value):
            raise ConfigurationError(f"the header {name} must be a string on one line")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"the header {name} is set by the client itself")
    return {_REPLACED.get(str(name).lower(), str(name)): str(value) for name, value in headers.items()}


def _check_settings(timeouts: object, retry: object) -> None:
    if not isinstance(timeouts, Timeouts):
        raise ConfigurationError(f"timeouts must be a Timeouts, such as Timeouts(read=30), not {timeouts!r:.80}")
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry must be a RetryPolicy, such as RetryPolicy(max_attempts=1), not {retry!r:.80}")
