"""The checks of `rebyte-async doctor`, one after the other."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import time
from importlib import metadata
from statistics import median
from typing import TYPE_CHECKING, Literal

from attrs import define, field, frozen

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, __version__
from rebyte_async.cli.exits import Exit, exit_code_for
from rebyte_async.cli.view.text import one_line
from rebyte_async.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RebyteError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

_DEFAULT_URL = "https://api.rebyte.ai/v1"
_PREFIX = "rbk_"
_SHOWN = 4
_LONG = 16
"""Characters that a key must have before some of it is shown."""
_CALLS = 4
_PLACEHOLDER = "rbk_none"
"""For the client that reads the service's health, which needs no key and sends none."""
_WHICH_URL = "REBYTE_BASE_URL is https://api.rebyte.ai/v1 unless you were given another address"
_ADVICE: tuple[tuple[type[RebyteError], str], ...] = (
    (ConnectError, f"no connection can be made: check the network, a proxy or VPN, and the address; {_WHICH_URL}"),
    (RequestTimeoutError, "the response takes too long: try again, then check the network and the address"),
    (AuthenticationError, "the service doesn't accept this key: it is mistyped, expired, or of another deployment"),
    (PermissionDeniedError, "the service knows this key, but it may not list tasks: ask for one with that scope"),
    (NotFoundError, f"something else answers there, or the path is wrong; {_WHICH_URL}"),
    (RateLimitedError, "there were too many requests: wait a moment"),
    (ServerError, "the service is in trouble: try again later"),
    (DecodeError, f"the service there isn't the Rebyte API; {_WHICH_URL}"),
    (TransportError, f"something answers there and hangs up: a proxy, or another service; {_WHICH_URL}"),
    (APIError, f"the service refuses to list tasks: its message says why; {_WHICH_URL}"),
)


@frozen(kw_only=True)
class Check:
    """The result of one check."""

    name: str
    outcome: Literal["ok", "note", "failed", "skipped"]
    """`note` is for a result that works, and may still surprise."""
    found: str
    """What the check found."""
    advice: str | None = None
    """What that means and what to do."""
    exit_code: int = 0
    """The exit code of the command, if this check is the first that failed."""

    @property
    def code(self) -> Exit:
        """The exit code."""
        return Exit(self.exit_code)


@frozen
class _Setting:
    """A setting with its source."""

    value: str
    source: str


@define
class Checkup:
    """Checks the installation, the settings, the service and the key, in this order."""

    api_key: str | None = None
    base_url: str | None = None
    _key: str | None = field(default=None, init=False)
    """The key, if it can be sent."""
    _reachable: bool = field(default=False, init=False)

    async def run(self) -> AsyncGenerator[Check]:
        """Yield each check when it is done."""
        yield Check(name="version", outcome="ok", found=await asyncio.to_thread(_versions))
        yield Check(name="extras", outcome="ok", found=await asyncio.to_thread(_extras))
        yield self._check_key()
        address = self._check_address()
        yield address
        if address.outcome == "failed":
            yield Check(name="health", outcome="skipped", found="not checked: the address is invalid")
            yield Check(name="access", outcome="skipped", found="not checked: the address is invalid")
            return
        yield await self._check_health()
        if self._key is None:
            yield Check(name="access", outcome="skipped", found="not checked: there is no usable key")
            return
        if not self._reachable:
            yield Check(name="access", outcome="skipped", found="not checked: the service can't be reached")
            return
        async with self._client(self._key) as client:
            for check in await self._check_access(client):
                yield check

    def _check_key(self) -> Check:
        setting = _given(self.api_key, "--api-key", "REBYTE_API_KEY")
        if setting is None or not setting.value.strip():
            advice = "export REBYTE_API_KEY=rbk_... (rebyte-async demo and rebyte-async emulator need none)"
            return _failed("key", "not set", advice, Exit.USAGE)
        key = setting.value.strip()
        shown = f"…{key[-_SHOWN:]}" if len(key) >= _LONG and key.isascii() and key.isprintable() else "…"
        found = f"{shown} ({len(key)} characters) from {setting.source}"
        try:
            AsyncRebyte(key, base_url=_DEFAULT_URL)
        except ConfigurationError:
            advice = "it has a character that no key has, such as a space or a line end: copy it again"
            return _failed("key", f"unusable, from {setting.source}", advice, Exit.USAGE)
        self._key = key
        if not key.startswith(_PREFIX):
            return Check(name="key", outcome="note", found=found, advice=f"keys begin with {_PREFIX}, this one doesn't")
        return Check(name="key", outcome="ok", found=found)

    def _check_address(self) -> Check:
        try:
            self._client(_PLACEHOLDER)
        except ConfigurationError as error:
            return _failed("address", one_line(f"{error}, from {self._address.source}"), _WHICH_URL, Exit.USAGE)
        return Check(
            name="address", outcome="ok", found=one_line(f"{_bare(self._address.value)} from {self._address.source}")
        )

    async def _check_health(self) -> Check:
        async with self._client(_PLACEHOLDER) as client:
            began = time.perf_counter()
            try:
                health = await client.health()
            except RebyteError as error:
                self._reachable = not isinstance(error, ConnectError | RequestTimeoutError)
                return _from_error("health", error)
            took = time.perf_counter() - began
        self._reachable = True
        return Check(name="health", outcome="ok", found=one_line(f"{health.status}, answered in {_ms(took)}"))

    async def _check_access(self, client: AsyncRebyte) -> list[Check]:
        """Make a call that needs the key, and some more to measure their latency."""
        try:
            first, total = await _timed(lambda: _count_tasks(client))
        except RebyteError as error:
            return [_from_error("access", error), Check(name="latency", outcome="skipped", found="not measured")]
        tasks = "the key may list tasks" + ("" if total is None else f"; there are {total}")
        access = Check(name="access", outcome="ok", found=tasks)
        try:
            times = [(await _timed(lambda: _count_tasks(client)))[0] for _ in range(_CALLS)]
        except RebyteError as error:
            return [access, _from_error("latency", error)]
        found = f"{_ms(median(times))} a call; the first one, which connects, {_ms(first)}"
        return [access, Check(name="latency", outcome="ok", found=found)]

    @property
    def _address(self) -> _Setting:
        given = _given(self.base_url, "--base-url", "REBYTE_BASE_URL", "REBYTE_API_URL")
        return given or _Setting(_DEFAULT_URL, "the default")

    def _client(self, key: str) -> AsyncRebyte:
        timeouts, retry = Timeouts(connect=5, read=10), RetryPolicy(max_attempts=1)
        return AsyncRebyte(key, base_url=self._address.value, timeouts=timeouts, retry=retry)


async def _count_tasks(client: AsyncRebyte) -> int | None:
    return (await client.tasks.list(limit=1)).total


async def _timed(call: Callable[[], Awaitable[int | None]]) -> tuple[float, int | None]:
    began = time.perf_counter()
    result = await call()
    return time.perf_counter() - began, result


def _given(argument: str | None, option: str, *names: str) -> _Setting | None:
    """Return the setting that the client would use: an argument, then the environment."""
    if argument:
        return _Setting(argument, option)
    return next((_Setting(os.environ[name], name) for name in names if os.environ.get(name)), None)


def _versions() -> str:
    machine = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return f"rebyte-async {__version__}, {machine}, aiohttp {_version('aiohttp') or 'missing'}"


def _extras() -> str:
    """Return the extras with the versions of their packages."""
    extras: dict[str, list[str]] = {}
    for requirement in metadata.requires("rebyte-async") or ():
        found = re.match(r"(?P<name>[\w.-]+)(?!\[).*;.*extra == ['\"](?P<extra>\w+)['\"]", requirement)
        if found and found["extra"] != "all":
            version = _version(found["name"])
            extras.setdefault(found["extra"], []).append(f"{found['name']} {version or 'not installed'}")
    return "; ".join(f"{extra}: {', '.join(names)}" for extra, names in sorted(extras.items())) or "unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _bare(address: str) -> str:
    """Return an address without its user and its query, which may be secret."""
    return re.sub(r"//[^/@]*@|\?.*", lambda match: "//" if match[0].startswith("//") else "", address)


def _from_error(name: str, error: RebyteError) -> Check:
    advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), None)
    return _failed(name, one_line(str(error)), advice, exit_code_for(error))


def _failed(name: str, found: str, advice: str | None, code: Exit) -> Check:
    return Check(name=name, outcome="failed", found=found, advice=advice, exit_code=int(code))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"  # noqa: PLR2004 - enough digits
