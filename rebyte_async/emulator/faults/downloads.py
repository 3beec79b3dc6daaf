"""Faults of downloads: of their length, their ETag, their ranges and their pace."""

from __future__ import annotations

import asyncio
from typing import ClassVar
from uuid import uuid4

from attrs import evolve, field, frozen

from rebyte_async.emulator.artifacts.download import DownloadPlan
from rebyte_async.emulator.faults.registry import DOWNLOADS, Match
from rebyte_async.emulator.frames import ByteSink


@frozen
class WrongLength:
    """The `Content-Length` of a download differs from the length of its body."""

    more: int | None = 1
    """How many bytes more it says; the connection is closed instead of sending them. Negative: the body ends early,
    and looks as if it were whole. None: there is no `Content-Length`."""

    def download(self, plan: DownloadPlan) -> DownloadPlan:
        return evolve(plan, more=self.more)


@frozen
class OtherETag:
    """A download looks as if the artifact had changed: its ETag is a new one each time."""

    heeded: bool = True
    """Whether an `If-Range` with the old ETag gets the whole artifact, as it should; otherwise the range is sent all
    the same, and only its ETag shows the change."""

    def download(self, plan: DownloadPlan) -> DownloadPlan:
        return evolve(plan, etag=f'{plan.etag[:-1]}-{uuid4().hex}"', if_range=self.heeded)


@frozen
class NoRanges:
    """A download is always the whole artifact, whatever `Range` the client asks for."""

    def download(self, plan: DownloadPlan) -> DownloadPlan:
        return evolve(plan, ranges=False)


@frozen
class Slow:
    """A download, or a stream, comes slowly."""

    seconds: float
    """How many seconds pass before each piece."""
    size: int = field(default=64 << 10, kw_only=True)
    """The size of a piece, in bytes."""
    after: int = field(default=0, kw_only=True)
    """How many bytes come without delay at first."""

    where: ClassVar[Match] = DOWNLOADS

    def chunks(self, sink: ByteSink) -> ByteSink:
        quick = self.after

        async def send(data: bytes) -> None:
            nonlocal quick
            rest = data[quick:]
            if quick:
                await sink(data[:quick])
                quick -= len(data) - len(rest)
            for start in range(0, len(rest), self.size):
                await asyncio.sleep(self.seconds)
                await sink(rest[start : start + self.size])

        return send
