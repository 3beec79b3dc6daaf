"""The aiohttp sessions of a client: opened lazily in its event loop, or given by the application."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field, frozen

from rebyte_async._sync import FairSemaphore, InterruptibleSleep
from rebyte_async._transport.aiohttp_internals import (
    disable_implicit_retry,
    separate_failures,
    session_middlewares,
    start_fewer_timers,
    uses_proxy,
)
from rebyte_async._transport.network import Network
from rebyte_async._transport.response import IdleWatchdog
from rebyte_async._wire import models
from rebyte_async.errors import ClientClosedError, ConfigurationError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_MAX_CALLS = 100
"""How many attempts at ordinary calls one client makes at once; more wait for a permit. Streams don't count."""
_CLOSED = "the client is closed: make a new one, or keep this one open for longer"
_KEEPALIVE = {"TCP_KEEPIDLE": 45, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 85_000}
"""Seconds without traffic before TCP probes the peer, between two probes, and how many may be lost; and milliseconds
that sent bytes may stay unacknowledged. A peer that is gone, or that a router forgot, is found within 90 s.
"""


@define(eq=False, repr=False)
class SessionPool:
    """Two sessions, if they are the client's own: one that pools connections, and one that uses each only once.

    The second is for streams, after which the server closes the connection, and for requests that aren't idempotent:
    a pooled connection that the server has just closed would leave it open whether the request had arrived.
    """

    _injected: ClientSession | None = None  # the application's session: used for everything, and never closed here
    network: Network = field(factory=Network)
    _pooled: ClientSession | None = field(default=None, init=False)
    _single_use: ClientSession | None = field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _is_closed: bool = field(default=False, init=False)
    permits: FairSemaphore = field(
        default=Factory(lambda self: FairSemaphore(sys.maxsize if self.is_injected else _MAX_CALLS), takes_self=True),
        init=False,
    )
    """Permits for the attempts of ordinary calls; unlimited with an injected session, whose own limit holds."""
    middlewares: tuple[Any, ...] | None = field(default=None, init=False)
    """The middlewares that a request needs: it isn't repeated silently, and a proxy's failures are known as such."""
    _responses: set[ClientResponse] = field(factory=set["ClientResponse"], init=False)
    """The responses of ordinary calls that are being read."""
    bodies: IdleWatchdog = field(factory=IdleWatchdog, init=False)
    """The bodies that are read as they come: event streams and downloads."""
    sleeps: InterruptibleSleep = field(factory=InterruptibleSleep, init=False)
    """The waits between attempts, which closing the client ends."""

    async def open(self) -> None:
        """Open the sessions if they aren't open yet; raise ConfigurationError in another event loop."""
        self._check()
        if self._pooled is None:
            await asyncio.to_thread(_import_aiohttp)
            self._check()
            if self._pooled is None:
                self._open_sessions()

    def _check(self) -> None:
        if self._is_closed:
            raise ClientClosedError(_CLOSED)
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "the client belongs to another event loop: its connections can't be used from this one. Make one "
                "client in each loop"
            )

    def _open_sessions(self) -> None:
        if self._injected is not None:
            self._pooled = self._single_use = self._injected
            self.middlewares = (*session_middlewares(self._injected), separate_failures)
            return
        self._pooled = _make_session(self.network, force_close=False)
        self._single_use = _make_session(self.network, force_close=True)
        is_disabled = all([disable_implicit_retry(self._pooled), disable_implicit_retry(self._single_use)])
        if self.network.proxies or not is_disabled:
            self.middlewares = (separate_failures,)

    def session(self, *, single_use: bool) -> ClientSession:
        """Return the session to send a request with, after `open`; the client may have been closed since."""
        session = self._single_use if single_use else self._pooled
        if session is None:
            raise ClientClosedError(_CLOSED)
        return session

    @property
    def is_injected(self) -> bool:
        return self._injected is not None

    @property
    def limits_connecting(self) -> bool:
        """Whether the connect timeout bounds all that happens before a request is sent.

        With an injected session that is also the wait for one of its connections, so each step has the timeout for
        itself; but a proxy that doesn't answer CONNECT has none.
        """
        return self._injected is None or uses_proxy(self._injected)

    @contextmanager
    def close_with_client(self, response: ClientResponse) -> Generator[None]:
        """Have reading a response fail when the client is closed, or if it has been."""
        if self._is_closed:
            response.close()
        self._responses.add(response)
        try:
            yield
        finally:
            self._responses.discard(response)

    def reject_if_closed(self, response: ClientResponse) -> None:
        """Refuse a response that began while the client was being closed: nothing would end its body."""
        if self._is_closed:
            response.close()
            raise ClientClosedError(_CLOSED)

    async def close(self) -> None:
        """Close the client's own sessions and end everything that is under way. Nothing can be sent afterwards."""
        self._is_closed = True
        self.sleeps.abort(lambda: ClientClosedError(_CLOSED))
        # Closing an aiohttp session leaves the readers of its responses waiting forever.
        self.bodies.close_all()
        if self._injected is None:
            for response in tuple(self._responses):
                response.close()
            for session in (self._pooled, self._single_use):
                if session is not None:
                    await session.close()
        self._pooled = self._single_use = None


@frozen
class LazyModule:
    """A module that is imported when one of its names is looked up.

    As a global name it lets annotations be evaluated at run time, which dependency injectors and documentation tools
    do, although the module isn't imported for them.
    """

    _name: str

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def _import_aiohttp() -> None:
    """Import aiohttp, most of the package's import time: on first use, and in a thread."""
    importlib.import_module("aiohttp")
    models.preload()


def _make_session(network: Network, *, force_close: bool) -> ClientSession:
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector  # noqa: PLC0415 - imported on first use

    # The connector has no limit: calls wait for a permit instead, so that streams never hold them up and the wait
    # counts against no timeout.
    tls = True if network.tls is None else network.tls
    connector = TCPConnector(limit=0, force_close=force_close, socket_factory=_make_socket, ssl=tls)
    start_fewer_timers(connector)
    # The proxies of the environment are found by `Network`: aiohttp would send passwords of a netrc as well.
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), trust_env=False)


def _make_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        with suppress(AttributeError, OSError):  # not every system has each
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
