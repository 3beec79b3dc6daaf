"""Downloads of an artifact, or of a range of its bytes, sent piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from anyio import to_thread
from attrs import frozen

from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.frames import ByteSink, CutOff
from rebyte_async.emulator.responses import ApiError, error_response
from rebyte_async.emulator.state.files import StoredArtifact

_PIECE = 256 << 10
# aiohttp's `http_range` takes `bytes=-0` for the whole and `bytes=5-4` for a malformed header; RFC 9110, section 14,
# has both as ranges without a byte.
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@frozen(kw_only=True)
class DownloadPlan:
    """What a download looks like; faults change it."""

    artifact: StoredArtifact
    """The artifact."""
    etag: str
    """The ETag to show."""
    ranges: bool = True
    """Whether to heed a `Range`."""
    if_range: bool = True
    """Whether to heed an `If-Range`."""
    more: int | None = 0
    """How many bytes too large the `Content-Length` is; None for no `Content-Length`."""


class Download(web.StreamResponse):
    """A response whose body is a file. The gateway sends it, unless a fault has replaced it by another response."""

    def __init__(self, plan: DownloadPlan, span: range | None) -> None:
        super().__init__(status=200 if span is None else 206, headers=_make_headers(plan, span))
        self._plan = plan
        self._span = range(plan.artifact.size) if span is None else span
        if plan.more is not None:
            self.content_length = max(0, len(self._span) + plan.more)

    async def send(self, exchange: Exchange, sink: ByteSink) -> None:
        """Send the body to its end, to where a fault ends it, or until the connection is lost."""
        exchange.connection.on_lost = exchange.stop
        await self.prepare(exchange.request)
        try:
            async for piece in _read_pieces(self._plan.artifact, self._span):
                await sink(piece)
        except CutOff as cut:
            # A body that is shorter than its promised length can't end cleanly.
            has_length = self._plan.more is not None
            await exchange.connection.cut("eof" if cut.manner == "clean" and has_length else cut.manner)
        else:
            if self._plan.more:
                await exchange.connection.cut("eof")


def make_download(headers: Mapping[str, str], plan: DownloadPlan) -> web.StreamResponse:
    """Make the response to a request for an artifact: the whole, the requested range, or a 416."""
    span = _requested_span(headers, plan)
    if span is None or span:
        return Download(plan, span)
    response = error_response(ApiError(416, "range_not_satisfiable", "The artifact has no such bytes."))
    response.headers.update({"Content-Range": f"bytes */{plan.artifact.size}", "ETag": plan.etag})
    return response


def _requested_span(headers: Mapping[str, str], plan: DownloadPlan) -> range | None:
    """Return the offsets of the requested bytes, which may be none; None for the whole artifact.

    A `Range` that isn't understood, or that asks for several ranges, is ignored.
    """
    if not plan.ranges or (plan.if_range and headers.get("If-Range", plan.etag) != plan.etag):
        return None
    match = _RANGE.fullmatch(headers.get("Range", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last, size = match[1], match[2], plan.artifact.size
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)


def _make_headers(plan: DownloadPlan, span: range | None) -> dict[str, str]:
    headers = {
        "Content-Type": plan.artifact.content_type,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(plan.artifact.name, safe='')}",
        "ETag": plan.etag,
    }
    if plan.ranges:
        headers["Accept-Ranges"] = "bytes"
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{plan.artifact.size}"
    return headers


async def _read_pieces(artifact: StoredArtifact, span: range) -> AsyncIterator[bytes]:
    # No file stays open between two pieces: a request can be stopped at any time, and then nothing is left to close.
    for start in range(span.start, span.stop, _PIECE):
        size = min(_PIECE, span.stop - start)
        if artifact.path is None:
            yield artifact.data[start : start + size]
            continue
        try:
            yield await to_thread.run_sync(_read, artifact.path, start, size)
        except FileNotFoundError:
            raise CutOff("reset") from None  # it was deleted in the meantime


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as source:
        source.seek(start)
        return source.read(size)
