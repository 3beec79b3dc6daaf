"""The aiohttp sessions behind a client: made lazily in its event loop, or given by the application."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from rebyte_async._sync import FairSemaphore, InterruptibleSleep
from rebyte_async._transport.silence import OpenBodies
from rebyte_async._transport.translate import single_attempt
from rebyte_async._wire import models
from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiohttp import ClientResponse, ClientSession


__all__ = ["Connections"]

CALLS_AT_ONCE = 100
"""How many attempts at ordinary calls one client makes at once; more wait for a permit. Streams don't count."""
_CLOSED = "the client is closed: make a new one, or keep this one open for longer"
_KEEPALIVE_AFTER = 60
"""Seconds of silence before TCP asks whether the peer is there: address translators drop what is silent for long."""


def _load() -> None:
    importlib.import_module("aiohttp")  # most of the package's import time, so on first use and in a thread
    models.preload()


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_AFTER)
    return made


def _never_repeats(session: Any) -> bool:
    """Keep aiohttp from silently repeating a request whose connection was lost, as its own test client does.

    There is no public setting for it, so that what isn't found under this name is left to a middleware, which costs a
    tenth of a call.
    """
    if getattr(session, "_retry_connection", None) is not True:
        return False
    session._retry_connection = False  # noqa: SLF001 - see above
    return True


@define(eq=False)
class Connections:
    """Two pools where they are the client's own: one that keeps connections, and one that never reuses any.

    The second is for streams, behind which the server closes the connection, and for requests that must not be
    repeated: a kept connection that the server has just closed would leave a doubt whether the request had arrived.
    """

    _given: ClientSession | None = None
    _kept: ClientSession | None = field(default=None, init=False)
    _fresh: ClientSession | None = field(default=None, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    permits: FairSemaphore = field(
        default=Factory(lambda self: FairSemaphore(sys.maxsize if self.is_given else CALLS_AT_ONCE), takes_self=True),
        init=False,
    )
    """For the attempts of ordinary calls; without a limit with a given session, whose own limit holds."""
    middlewares: tuple[Any, ...] | None = field(default=None, init=False)
    """What a request goes through, if anything, so that aiohttp doesn't repeat it by itself."""
    _answers: set[ClientResponse] = field(factory=set["ClientResponse"], init=False)
    """The answers of ordinary calls that are being read."""
    streams: OpenBodies = field(factory=OpenBodies, init=False)
    """The bodies that are being read as they come: event streams and downloads."""
    sleeps: InterruptibleSleep = field(factory=InterruptibleSleep, init=False)
    """The waits between attempts."""

    async def ready(self) -> None:
        """Make the sessions if there are none yet.

        Raises:
            ConfigurationError: The client is closed, or belongs to another event loop.
        """
        self._check()
        if self._kept is None:
            await asyncio.to_thread(_load)
            self._check()
            if self._kept is None:
                self._open()

    def _check(self) -> None:
        if self._closed:
            raise ConfigurationError(_CLOSED)
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "the client belongs to another event loop: its connections can't be used from this one. Make one "
                "client in each loop"
            )

    def _open(self) -> None:
        if self._given is not None:
            self._kept = self._fresh = self._given
            # Its own middlewares stay, which those of a request replace.
            self.middlewares = (*(getattr(self._given, "_middlewares", None) or ()), single_attempt)
            return
        self._kept, self._fresh = self._own(force_close=False), self._own(force_close=True)
        if not all([_never_repeats(self._kept), _never_repeats(self._fresh)]):
            self.middlewares = (single_attempt,)

    @staticmethod
    def _own(*, force_close: bool) -> ClientSession:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector  # noqa: PLC0415 - imported on first use

        # No limit here: calls take turns of their own, so that streams never hold them up and the wait for a turn
        # counts against no timeout.
        connector = TCPConnector(limit=0, force_close=force_close, socket_factory=_socket)
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), trust_env=False)

    def session(self, *, fresh: bool) -> ClientSession:
        """The session to send a request with; `ready` was awaited before."""
        session = self._fresh if fresh else self._kept
        if session is None:
            raise ConfigurationError(_CLOSED)
        return session

    @property
    def is_given(self) -> bool:
        """Whether the session is the application's own, and so never closed here."""
        return self._given is not None

    @contextmanager
    def reading(self, response: ClientResponse) -> Generator[None]:
        """Have whoever reads an answer fail when the client is closed, or has been."""
        if self._closed:
            response.close()
        self._answers.add(response)
        try:
            yield
        finally:
            self._answers.discard(response)

    def check_open(self, response: ClientResponse) -> None:
        """Let go of an answer whose head came as the client was closed: its body never will.

        Raises:
            ConfigurationError: It was.
        """
        if self._closed:
            response.close()
            raise ConfigurationError(_CLOSED)

    async def close(self) -> None:
        """Close what is the client's own. Nothing can be sent afterwards."""
        self._closed = True
        self.sleeps.abort(lambda: ConfigurationError(_CLOSED))
        # aiohttp's own close would leave whoever reads from them waiting for ever.
        for stream in self.streams:
            stream.close()
        if self._given is None:
            for answer in tuple(self._answers):
                answer.close()
            for session in (self._kept, self._fresh):
                if session is not None:
                    await session.close()
        self._kept = self._fresh = None
