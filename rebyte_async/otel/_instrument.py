"""The one call that has a client make spans and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rebyte_async._transport import LazyModule
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry import metrics, trace
else:
    metrics, trace = LazyModule("opentelemetry.metrics"), LazyModule("opentelemetry.trace")


def instrument(
    client: AsyncRebyte,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    content: bool = False,
) -> None:
    """Have a client, with all its views, make OpenTelemetry's spans and metrics.

        client = AsyncRebyte()
        instrument(client)

    A call is a span with its retries as events. A stream is a span, `invoke_agent`, from its first request to the end
    of its turn, with its connects and reconnects as events, and the reads of its task as spans below it. An item of a
    batch is a span with all of these below it. Requests carry the `traceparent` of their span to the API's origin, and
    nowhere else. The counters of `AsyncRebyte.stats` are metrics. Where OpenTelemetry's SDK isn't set up, nothing is
    recorded.

    Args:
        client: The client. What it is doing at the moment isn't traced. Instrumented again, it has the new settings.
        tracer_provider: What makes the spans; None for the global one.
        meter_provider: What the metrics are for; None for the global one.
        content: Whether spans hold prompts, final results, and errors in the server's words. They can be confidential,
            and long. The key is never in a span.

    Raises:
        ConfigurationError: `opentelemetry-api` isn't installed, or `client` is no client.
    """
    if not isinstance(cast("object", client), AsyncRebyte):
        raise ConfigurationError(f"client must be an AsyncRebyte, not {type(client).__name__}")
    try:
        from rebyte_async.otel._metrics import observe_client  # noqa: PLC0415 - it imports the extra
        from rebyte_async.otel._tracer import make_tracer  # noqa: PLC0415 - likewise
    except ImportError as error:
        message = f"{error}; tracing needs an extra: pip install 'rebyte-async[otel]'"
        raise ConfigurationError(message) from error
    transport = client._transport  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - of this package
    transport.tracing.tracer = make_tracer(tracer_provider, transport.base_url, content=content)
    observe_client(transport, meter_provider)
