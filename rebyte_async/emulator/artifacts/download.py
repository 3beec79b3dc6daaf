"""Downloads: an artifact or a part of it, sent piece by piece, with faults in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from anyio import to_thread
from attrs import frozen

from rebyte_async.emulator.artifacts.names import segment
from rebyte_async.emulator.artifacts.ranges import Unsatisfiable, span_of
from rebyte_async.emulator.errors import ApiError
from rebyte_async.emulator.faults.base import DownloadFault
from rebyte_async.emulator.responses import error_response
from rebyte_async.emulator.stream.sinks import CutOff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from rebyte_async.emulator.artifacts.ranges import Span
    from rebyte_async.emulator.exchange import Exchange
    from rebyte_async.emulator.state.artifacts import StoredArtifact
    from rebyte_async.emulator.stream.sinks import ByteSink, CutManner

__all__ = ["DownloadPlan"]

_PIECE = 256 << 10


@frozen(kw_only=True)
class DownloadPlan:
    """What a download is to look like; faults change it."""

    artifact: StoredArtifact
    """The artifact."""
    etag: str
    """The ETag that is shown."""
    ranges: bool = True
    """Whether a `Range` is heeded."""
    if_range: bool = True
    """Whether an `If-Range` is heeded."""
    more: int | None = 0
    """By how many bytes the `Content-Length` is wrong; None for none at all."""


class Download(web.StreamResponse):
    """An answer whose body is in a file; it is sent only when no fault has put another answer in its place."""

    def __init__(self, plan: DownloadPlan, span: Span | None) -> None:
        size = plan.artifact.size
        super().__init__(status=200 if span is None else 206, headers=_headers(plan, span))
        self._plan = plan
        self._first, self._size = (0, size) if span is None else (span.start, span.size)
        if plan.more is not None:
            self.content_length = max(0, self._size + plan.more)

    async def send(self, exchange: Exchange) -> None:
        """Send it to its end, or to where a fault ends it; the loss of the connection ends it too."""
        exchange.connection.on_lost = exchange.stop
        await self.prepare(exchange.request)
        try:
            await self._send(exchange.troubled(self.write))
        except CutOff as cut:
            await exchange.cut(self._manner(cut))

    async def _send(self, sink: ByteSink) -> None:
        async for piece in _pieces(self._plan.artifact, self._first, self._size):
            await sink(piece)
        if self._plan.more:
            raise CutOff("eof")

    def _manner(self, cut: CutOff) -> CutManner:
        return "eof" if cut.manner == "clean" and self._plan.more is not None else cut.manner


def make_download(exchange: Exchange, artifact: StoredArtifact) -> web.StreamResponse:
    """The answer to a request for an artifact: the whole, the part that it wants, or that there is no such part."""
    plan = _troubled(exchange, DownloadPlan(artifact=artifact, etag=artifact.etag))
    try:
        return Download(plan, _span(exchange, plan))
    except Unsatisfiable:
        refusal = ApiError(416, "range_not_satisfiable", "The artifact has no such bytes.")
        response = error_response(refusal)
        response.headers.update({"Content-Range": f"bytes */{artifact.size}", "ETag": plan.etag})
        return response


def _troubled(exchange: Exchange, plan: DownloadPlan) -> DownloadPlan:
    for fault in reversed(exchange.faults):
        if isinstance(fault, DownloadFault):
            plan = fault.download(plan)
    return plan


def _span(exchange: Exchange, plan: DownloadPlan) -> Span | None:
    headers = exchange.request.headers
    if not plan.ranges or (plan.if_range and headers.get("If-Range", plan.etag) != plan.etag):
        return None
    return span_of(headers.get("Range"), plan.artifact.size)


def _headers(plan: DownloadPlan, span: Span | None) -> dict[str, str]:
    headers = {
        "Content-Type": plan.artifact.content_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{segment(plan.artifact.name)}",
        "ETag": plan.etag,
    }
    if plan.ranges:
        headers["Accept-Ranges"] = "bytes"
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{plan.artifact.size}"
    return headers


async def _pieces(artifact: StoredArtifact, first: int, size: int) -> AsyncIterator[bytes]:
    # No file stays open between two pieces: a request can be stopped at any time, and then nothing is left to close.
    for start in range(first, first + size, _PIECE):
        yield await _piece(artifact, start, min(_PIECE, first + size - start))


async def _piece(artifact: StoredArtifact, start: int, size: int) -> bytes:
    if artifact.path is None:
        return artifact.data[start : start + size]
    try:
        return await to_thread.run_sync(_read, artifact.path, start, size)
    except FileNotFoundError:
        raise CutOff("reset") from None  # it was deleted in the meantime


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as source:
        source.seek(start)
        return source.read(size)
