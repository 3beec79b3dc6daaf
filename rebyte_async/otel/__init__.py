"""Traces and metrics of a client, for OpenTelemetry: the extra `otel`."""

from rebyte_async.otel._instrument import instrument

__all__ = ["instrument"]
