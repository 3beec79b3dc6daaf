"""`rebyte-async doctor`: whether the command is set up, and whether the service answers."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib import metadata
from statistics import median
from typing import Literal

import click
from attrs import define, field, frozen
from rich.table import Table
from rich.text import Text
from yarl import URL

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts, __version__, errors
from rebyte_async._terminal import one_line
from rebyte_async._transport import make_network
from rebyte_async.cli.exits import Exit, exit_code_for, print_error
from rebyte_async.cli.options import json_option
from rebyte_async.cli.runtime import network_settings, run
from rebyte_async.cli.view import open_screen
from rebyte_async.cli.view.json import to_json_line

_DEFAULT_URL = "https://api.rebyte.ai/v1"
_PREFIX = "rbk_"
_SHOWN = 4
_LONG = 16  # characters that a key must have before some of it is shown
_CALLS = 4
_PLACEHOLDER = "rbk_none"  # for the client that reads the service's health, which needs no key and sends none
_WHICH_URL = "REBYTE_BASE_URL is https://api.rebyte.ai/v1 unless you were given another address"
_WHICH_NETWORK = "--proxy and --ca come before the command; without them HTTPS_PROXY and SSL_CERT_FILE count"
_ADVICE: tuple[tuple[type[errors.RebyteError], str], ...] = (
    (
        errors.ConnectError,
        f"no connection can be made: check the network, its proxy (--proxy) and CA (--ca), the address; {_WHICH_URL}",
    ),
    (errors.RequestTimeoutError, "the response takes too long: try again, then check the network and the address"),
    (
        errors.AuthenticationError,
        "the service doesn't accept this key: it is mistyped, expired, or of another deployment",
    ),
    (
        errors.PermissionDeniedError,
        "the service knows this key, but it may not list tasks: ask for one with that scope",
    ),
    (errors.NotFoundError, f"something else answers there, or the path is wrong; {_WHICH_URL}"),
    (errors.RateLimitedError, "there were too many requests: wait a moment"),
    (errors.ServerError, "the service is in trouble: try again later"),
    (errors.DecodeError, f"the service there isn't the Rebyte API; {_WHICH_URL}"),
    (errors.TransportError, f"something answers there and hangs up: a proxy, or another service; {_WHICH_URL}"),
    (errors.APIError, f"the service refuses to list tasks: its message says why; {_WHICH_URL}"),
)
_GLYPHS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "dim"), "note": ("!", "yellow")}
_EPILOG = """\b
The exit code is that of the first check that failed: 2 settings, 7 network, 8 key,
9 and 13 another address, 10 too many requests, 12 service.
The key is never printed, but for its last four characters.
"""


@click.command(epilog=_EPILOG)
@click.option("--base-url", metavar="URL", help="Check this address instead of the one that is set.")
@click.option("--api-key", metavar="KEY", help="Try this key instead of the one that is set.")
@json_option
def doctor(*, base_url: str | None, api_key: str | None, as_json: bool) -> int:
    """See whether this command is set up, and whether the service answers. It costs nothing."""

    async def call() -> int:
        code, failed = 0, ""
        async with aclosing(Checkup(api_key=api_key, base_url=base_url).run()) as checks:  # it has a client open
            async for check in checks:
                _show(check, as_json=as_json)
                if not code and check.outcome == "failed":
                    code, failed = check.exit_code, check.name
        if code:
            print_error(f"{failed}: see above")
        elif not as_json:
            click.echo("\nEverything works.")
        return code

    return run(call)


@frozen
class Check:
    """The result of one check."""

    name: str
    outcome: Literal["ok", "note", "failed", "skipped"]  # `note` is for a result that works, and may still surprise
    found: str
    advice: str | None = None  # what the result means and what to do
    exit_code: int = 0  # the exit code of the command, if this check is the first that failed


def _show(check: Check, *, as_json: bool) -> None:
    if as_json:
        click.echo(to_json_line(check))
        return
    screen = open_screen(sys.stdout)
    if screen is None:
        click.echo("\t".join((check.outcome, check.name, check.found, *([check.advice] if check.advice else ()))))
        return
    glyph, color = _GLYPHS[check.outcome]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=9)
    grid.add_column(overflow="fold")
    style = "red" if check.outcome == "failed" else ""
    grid.add_row(Text(glyph, color), Text(check.name, "bold"), Text(check.found, style))
    if check.advice:
        grid.add_row("", "", Text(f"→ {check.advice}", "yellow"))
    screen.console.print(grid)


@define
class Checkup:
    """Checks the installation, the settings, the service and the key, in this order."""

    api_key: str | None = None
    base_url: str | None = None
    _key: str | None = field(default=None, init=False)  # the key, if it can be sent
    _is_reachable: bool = field(default=False, init=False)

    async def run(self) -> AsyncGenerator[Check]:
        yield Check("version", "ok", await asyncio.to_thread(_describe_versions))
        yield Check("extras", "ok", await asyncio.to_thread(_describe_extras))
        yield self._check_key()
        for check_setting in (self._check_address, self._check_network):
            yield (check := check_setting())
            if check.outcome == "failed":
                yield Check("health", "skipped", f"not checked: the {check.name} is invalid")
                yield Check("access", "skipped", f"not checked: the {check.name} is invalid")
                return
        yield await self._check_health()
        if self._key is None:
            yield Check("access", "skipped", "not checked: there is no usable key")
        elif not self._is_reachable:
            yield Check("access", "skipped", "not checked: the service can't be reached")
        else:
            async with self._make_client(self._key) as client:
                for check in await _check_access(client):
                    yield check

    def _check_key(self) -> Check:
        given, source = _find_setting(self.api_key, "--api-key", "REBYTE_API_KEY")
        key = given.strip()
        if not key:
            advice = "export REBYTE_API_KEY=rbk_... (rebyte-async demo and rebyte-async emulator need none)"
            return Check("key", "failed", "not set", advice, Exit.USAGE)
        shown = f"…{key[-_SHOWN:]}" if len(key) >= _LONG and key.isascii() and key.isprintable() else "…"
        found = f"{shown} ({len(key)} characters) from {source}"
        try:
            AsyncRebyte(key, base_url=_DEFAULT_URL)
        except errors.ConfigurationError:
            advice = "it has a character that no key has, such as a space or a line end: copy it again"
            return Check("key", "failed", f"unusable, from {source}", advice, Exit.USAGE)
        self._key = key
        if not key.startswith(_PREFIX):
            return Check("key", "note", found, f"keys begin with {_PREFIX}, this one doesn't")
        return Check("key", "ok", found)

    def _check_address(self) -> Check:
        address, source = self._address
        try:
            AsyncRebyte(_PLACEHOLDER, base_url=self._address[0])
        except errors.ConfigurationError as error:
            return Check("address", "failed", one_line(f"{error}, from {source}"), _WHICH_URL, Exit.USAGE)
        # The user and the query of an address may be secret.
        bare = re.sub(r"//[^/@]*@|\?.*", lambda match: "//" if match[0].startswith("//") else "", address)
        return Check("address", "ok", one_line(f"{bare} from {source}"))

    def _check_network(self) -> Check:
        given = network_settings()
        try:
            network = make_network(proxy=given["proxy"], tls=given["ssl"], trust_env=given["trust_env"])
        except errors.ConfigurationError as error:
            return Check("network", "failed", one_line(str(error)), _WHICH_NETWORK, Exit.USAGE)
        proxy = network.proxy_for(URL(self._address[0]))
        source = "--proxy" if given["proxy"] is not None or proxy is None else proxy.source
        way = "no proxy for this address" if proxy is None else f"proxy {proxy.url} from {source}"
        source = "SSL_CERT_FILE" if given["ssl"] is None else "--ca"
        trust = "the system's authorities" if network.ca is None else f"authorities of {network.ca} from {source}"
        return Check("network", "ok", one_line(f"{way}; {trust}"))

    async def _check_health(self) -> Check:
        async with self._make_client(_PLACEHOLDER) as client:
            began = time.perf_counter()
            try:
                health = await client.health()
            except errors.RebyteError as error:
                self._is_reachable = not isinstance(error, errors.ConnectError | errors.RequestTimeoutError)
                return _from_error("health", error)
            took = time.perf_counter() - began
        self._is_reachable = True
        return Check("health", "ok", one_line(f"{health.status}, answered in {_format_ms(took)}"))

    @property
    def _address(self) -> tuple[str, str]:
        address, source = _find_setting(self.base_url, "--base-url", "REBYTE_BASE_URL", "REBYTE_API_URL")
        return (address, source) if address else (_DEFAULT_URL, "the default")

    def _make_client(self, key: str) -> AsyncRebyte:
        timeouts, retry = Timeouts(connect=5, read=10), RetryPolicy(max_attempts=1)
        return AsyncRebyte(key, base_url=self._address[0], timeouts=timeouts, retry=retry, **network_settings())


async def _check_access(client: AsyncRebyte) -> list[Check]:
    """Make a call that needs the key, and some more to measure their latency."""
    try:
        first, total = await _time_listing(client)
    except errors.RebyteError as error:
        return [_from_error("access", error), Check("latency", "skipped", "not measured")]
    access = Check("access", "ok", "the key may list tasks" + ("" if total is None else f"; there are {total}"))
    try:
        times = [(await _time_listing(client))[0] for _ in range(_CALLS)]
    except errors.RebyteError as error:
        return [access, _from_error("latency", error)]
    found = f"{_format_ms(median(times))} a call; the first one, which connects, {_format_ms(first)}"
    return [access, Check("latency", "ok", found)]


async def _time_listing(client: AsyncRebyte) -> tuple[float, int | None]:
    """Return how many seconds a listing of tasks takes, and how many there are."""
    began = time.perf_counter()
    total = (await client.tasks.list(limit=1)).total
    return time.perf_counter() - began, total


def _find_setting(argument: str | None, option: str, *names: str) -> tuple[str, str]:
    """Return the setting that the client would use, and its source: an argument, then the environment."""
    settings = ((argument, option), *((os.environ.get(name), name) for name in names))
    return next(((value, source) for value, source in settings if value), ("", ""))


def _describe_versions() -> str:
    machine = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return f"rebyte-async {__version__}, {machine}, aiohttp {_find_version('aiohttp') or 'missing'}"


def _describe_extras() -> str:
    extras: dict[str, list[str]] = {}
    for requirement in metadata.requires("rebyte-async") or ():
        found = re.match(r"(?P<name>[\w.-]+)(?!\[).*;.*extra == ['\"](?P<extra>\w+)['\"]", requirement)
        if found and found["extra"] != "all":
            version = _find_version(found["name"])
            extras.setdefault(found["extra"], []).append(f"{found['name']} {version or 'not installed'}")
    return "; ".join(f"{extra}: {', '.join(names)}" for extra, names in sorted(extras.items())) or "unknown"


def _find_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _from_error(name: str, error: errors.RebyteError) -> Check:
    advice = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), None)
    return Check(name, "failed", one_line(str(error)), advice, exit_code_for(error))


def _format_ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"  # noqa: PLR2004 - enough digits
