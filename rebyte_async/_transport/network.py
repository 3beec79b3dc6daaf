"""The way through a company's network: the proxy for each address, and the certificate authorities to trust."""

from __future__ import annotations

import os
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import field, frozen
from yarl import URL

from rebyte_async._validate import is_loopback
from rebyte_async.errors import ConfigurationError

_SCHEMES = ("http", "https")


@frozen(eq=False, repr=False)
class Proxy:
    """A proxy. Its user and password are only in the header that it is sent: aiohttp shows URLs."""

    url: URL
    source: str
    """The argument or the variable of the environment that it is from."""
    headers: Mapping[str, str]
    """What the proxy alone is sent: the user and the password, if it has any."""


@frozen(eq=False, repr=False)
class Network:
    """The proxies and the TLS of a client's own connections."""

    proxies: Mapping[str, Proxy] = field(factory=dict[str, Proxy])
    """By the scheme of the addresses that they are for."""
    _no_proxy: str = ""  # the hosts that are connected to directly, as NO_PROXY has them
    tls: ssl.SSLContext | None = None  # None for aiohttp's own, which trusts the system's authorities
    ca: str | None = None
    """The path of the CA bundle, if there is one."""

    def proxy_for(self, url: URL) -> Proxy | None:
        """Return the proxy for an address; None to connect directly, as always to this machine."""
        proxy = self.proxies.get(url.scheme)
        if proxy is None or is_loopback(url.host):
            return None
        if self._no_proxy:
            from urllib import request  # noqa: PLC0415 - slow, and aiohttp imports it anyway

            # typeshed lacks it
            bypasses: Callable[[str, Mapping[str, str]], bool] = getattr(request, "proxy_bypass_environment")  # noqa: B009
            if bypasses(f"{url.host}:{url.port}", {"no": self._no_proxy}):
                return None
        return proxy


def make_network(
    *, proxy: object = None, tls: object = None, trust_env: object = False, has_session: bool = False
) -> Network:
    """Check the settings of the network, and read those of the environment that it has no other for.

    No error repeats the URL of a proxy, which can hold a password.
    """
    given = {"proxy": proxy is not None, "ssl": tls is not None, "trust_env": trust_env is not False}
    if has_session and (names := [name for name, is_given in given.items() if is_given]):
        raise ConfigurationError(f"{' and '.join(names)} can't be given with session: set them on the session itself")
    if not isinstance(trust_env, bool):
        raise ConfigurationError(f"trust_env must be True or False, not {trust_env!r:.80}")
    proxies: dict[str, Proxy] = {}
    no_proxy = ""
    if proxy is not None:
        proxies = dict.fromkeys(_SCHEMES, _parse_proxy(proxy, "proxy"))
    elif trust_env:
        proxies = {scheme: found for scheme in _SCHEMES if (found := _find_proxy(scheme)) is not None}
        no_proxy = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    name = "ssl"
    if tls is None and trust_env and (bundle := os.environ.get("SSL_CERT_FILE")):
        tls, name = bundle, "SSL_CERT_FILE"
    ca = str(tls) if isinstance(tls, str | Path) else None
    return Network(proxies, no_proxy, _make_tls(tls, name), ca)


def _find_proxy(scheme: str) -> Proxy | None:
    """Return the proxy that the environment has for a scheme; an empty variable means none, as for curl."""
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        value = os.environ.get(name)
        # In a CGI script HTTP_PROXY is a header of the request that it handles.
        if value is None or (name == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ):
            continue
        if not value.strip():
            return None
        return _parse_proxy(value if "://" in value else f"http://{value.strip()}", name)
    return None


def _parse_proxy(given: object, source: str) -> Proxy:
    url = URL()
    headers: dict[str, str] = {}
    try:
        url = URL(given.strip() if isinstance(given, str) else "")
        is_usable = url.scheme in _SCHEMES and bool(url.host)
        user, password = url.user, url.password
        if user is not None or password is not None:
            secret = b64encode(f"{user or ''}:{password or ''}".encode())
            headers = {"Proxy-Authorization": f"Basic {secret.decode()}"}
    except ValueError:
        is_usable = False
    if not is_usable:  # raised here, so that it isn't chained to an error that shows the URL
        raise ConfigurationError(f"{source} must be an http or https URL, such as http://proxy.example.com:3128")
    return Proxy(url.origin(), source, headers)


def _make_tls(given: object, name: str) -> ssl.SSLContext | None:
    if given is None:
        return None
    if isinstance(given, ssl.SSLContext):
        if given.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ConfigurationError(f"{name} must be a context for clients, such as ssl.create_default_context()")
        return given
    if not isinstance(given, str | Path) or not str(given):  # OpenSSL takes an empty path for no path
        raise ConfigurationError(f"{name} must be an ssl.SSLContext or the path of a CA bundle, not {given!r:.80}")
    try:
        return ssl.create_default_context(cafile=given)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{name}: the CA bundle {str(given)!r:.200} can't be read: {error}") from error
