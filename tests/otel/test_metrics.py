"""The counters of clients are metrics."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, cast

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from rebyte_async import RetryPolicy
from rebyte_async.otel import instrument
from support.clients import client_of
from support.raw_server import RawRequest, RawServer, json_response
from support.task_server import SILENCE, TASK_ID, TaskServer, text

NO_RETRY = RetryPolicy(max_attempts=1)


async def handler(_: RawRequest) -> bytes:
    return json_response({"id": TASK_ID})


class Metrics:
    """A provider, and what it has."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def read(self) -> dict[str, dict[int, Any]]:
        """Return the values of each metric by the server's port, as an exporter reads them in its thread."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: {
                cast("Any", point.attributes)["server.port"]: cast("Any", point).value
                for point in metric.data.data_points
            }
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


async def test_the_counters_of_clients_are_summed_up_for_each_server() -> None:
    """Requests, retries, bytes and what is open now are metrics, over all clients of a server and all their views."""
    metrics = Metrics()
    server = TaskServer([[text(1, "a"), SILENCE]])
    async with RawServer(server) as one, RawServer(handler) as other:
        clients = [client_of(url) for url in (one.url, one.url, other.url)]
        for client in (*clients, clients[0].with_options(retry=NO_RETRY)):
            instrument(client, meter_provider=metrics.provider)
            await client.tasks.get(TASK_ID)
        stream = clients[0].tasks.events(TASK_ID)
        await anext(stream)
        found = await asyncio.to_thread(metrics.read)
        assert found["rebyte.client.requests"] == {one.port: 4, other.port: 1}
        assert found["rebyte.client.streams"] == {one.port: 1, other.port: 0}
        assert found["rebyte.client.calls"] == found["rebyte.client.retries"] == {one.port: 0, other.port: 0}
        assert found["rebyte.client.received"][one.port] > 100
        await stream.close()
        assert metrics.read()["rebyte.client.streams"][one.port] == 0
        for client in clients:
            await client.aclose()


async def test_a_counter_keeps_what_clients_have_counted_that_are_gone() -> None:
    """A counter never goes down: a client that no longer exists has still sent what it sent."""
    metrics = Metrics()
    async with RawServer(handler) as server:
        for expected in (1, 2, 3):
            async with client_of(server.url) as client:
                instrument(client, meter_provider=metrics.provider)
                await client.tasks.get(TASK_ID)
            del client
            gc.collect()
            assert metrics.read()["rebyte.client.requests"] == {server.port: expected}
        assert "rebyte.client.calls" not in metrics.read() or metrics.read()["rebyte.client.calls"] == {}


async def test_a_client_is_counted_once() -> None:
    """A client that is instrumented twice, or under two providers, is counted once by each."""
    first, second = Metrics(), Metrics()
    async with RawServer(handler) as server, client_of(server.url) as client:
        for metrics in (first, first, second):
            instrument(client, meter_provider=metrics.provider)
        await client.tasks.get(TASK_ID)
        assert first.read() == second.read()
        assert first.read()["rebyte.client.requests"] == {server.port: 1}


async def test_metrics_need_no_sdk(caplog: pytest.LogCaptureFixture) -> None:
    """Without a provider, clients are instrumented for the global one, which may be none."""
    async with RawServer(handler) as server:
        for _ in range(2):
            async with client_of(server.url) as client:
                instrument(client)
                await client.tasks.get(TASK_ID)
        assert "traceparent" not in server.requests[-1].headers
    assert caplog.records == []
