"""Metrics: the counters of `AsyncRebyte.stats`, summed up over the clients of each server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial
from weakref import WeakKeyDictionary, ref

from attrs import define, field, frozen
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from yarl import URL

from rebyte_async._transport import SessionPool, Transport
from rebyte_async._transport.throttle import Counters
from rebyte_async._version import __version__
from rebyte_async.otel._attributes import SCHEMA, server_attributes

_COUNTERS = {
    "requests": ("rebyte.client.requests", "{request}", "Requests sent; each attempt and each redirect counts."),
    "retries": ("rebyte.client.retries", "{retry}", "Attempts after the first one of each call."),
    "reconnects": ("rebyte.client.reconnects", "{reconnect}", "Connects after the first one of each stream."),
    "bytes_sent": ("rebyte.client.sent", "By", "Bytes sent as bodies."),
    "bytes_received": ("rebyte.client.received", "By", "Bytes received as bodies, after decompression."),
}
_GAUGES = {
    "in_flight": ("rebyte.client.calls", "{call}", "Calls that are in flight now."),
    "open_streams": ("rebyte.client.streams", "{stream}", "Streaming connections that are open now."),
}


@frozen(eq=False)
class _Client:
    """The counters of a client. They outlive it: what they have counted isn't taken back."""

    counters: Counters
    sessions: ref[SessionPool]
    url: URL

    def count(self, names: Iterable[str]) -> Counter[tuple[URL, str]]:
        sessions = self.sessions()
        stats = self.counters.snapshot(0 if sessions is None else sessions.bodies.received)
        return Counter({(self.url, name): getattr(stats, name) for name in names})


@define(eq=False)
class _Clients:
    """The clients whose counters are the metrics of one provider, which reads them in threads of its own."""

    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _clients: list[_Client] = field(factory=list[_Client], init=False)
    _past: Counter[tuple[URL, str]] = field(factory=Counter[tuple[URL, str]], init=False)
    """What clients that are gone have counted."""

    def add(self, transport: Transport) -> None:
        with self._lock:
            self._forget_gone()
            if all(client.counters is not transport.counters for client in self._clients):
                url = transport.base_url.origin()
                self._clients.append(_Client(transport.counters, ref(transport.sessions), url))

    def _forget_gone(self) -> None:
        for client in [client for client in self._clients if client.sessions() is None]:
            self._past.update(client.count(_COUNTERS))
            self._clients.remove(client)

    def observe(self, name: str, _: CallbackOptions) -> list[Observation]:
        with self._lock:
            self._forget_gone()
            total = Counter({key: count for key, count in self._past.items() if key[1] == name})
            for client in self._clients:
                total.update(client.count([name]))
        return [Observation(count, server_attributes(url)) for (url, _), count in total.items()]

    def create_instruments(self, provider: MeterProvider | None) -> None:
        meter = get_meter("rebyte_async", __version__, provider, SCHEMA)
        for create, instruments in (
            (meter.create_observable_counter, _COUNTERS),
            (meter.create_observable_up_down_counter, _GAUGES),
        ):
            for name, (shown, unit, description) in instruments.items():
                create(shown, [partial(self.observe, name)], unit, description)


_BY_PROVIDER: WeakKeyDictionary[MeterProvider, _Clients] = WeakKeyDictionary()
_GLOBAL: list[_Clients] = []
"""One set of instruments a provider: it keeps the first of a name, and drops the callbacks of any other."""


def observe_client(transport: Transport, provider: MeterProvider | None) -> None:
    """Have a client's counters be metrics of a provider, or of the global one."""
    clients = next(iter(_GLOBAL), None) if provider is None else _BY_PROVIDER.get(provider)
    if clients is None:
        clients = _Clients()
        clients.create_instruments(provider)
        if provider is None:
            _GLOBAL.append(clients)
        else:
            _BY_PROVIDER[provider] = clients
    clients.add(transport)
