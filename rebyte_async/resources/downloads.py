"""Downloads that are whole or absent: resumed where they were cut, checked, and put in place at once."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from anyio import CancelScope
from attrs import define, field

from rebyte_async._retry import backoff
from rebyte_async.errors import APIError, RateLimitedError, ServerError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from io import FileIO
    from pathlib import Path

    from rebyte_async._transport import ByteStream, Transport
    from rebyte_async._wire.endpoints import Endpoint
    from rebyte_async.resources.sources import Progress

__all__ = ["Download", "save"]

_BLOCK = 1024 * 1024
_WHOLE, _PART, _BEYOND = 200, 206, 416
_ACCEPT = frozenset({_WHOLE, _PART, _BEYOND})


@define(eq=False)
class Download:
    """Reads a body to its end over as many connections as it takes."""

    _transport: Transport
    _endpoint: Endpoint
    _ids: Mapping[str, str]
    received: int = field(default=0, init=False)
    """How many bytes have come."""
    total: int | None = field(default=None, init=False)
    """How many there are; None while or where the server doesn't say."""
    _etag: str | None = field(default=None, init=False)
    _resumable: bool = field(default=True, init=False)

    async def blocks(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """The body's blocks, each with its place.

        After a cut it goes on behind what has come, where the server can do that for the same content; else it starts
        again, at place 0.

        Raises:
            TransportError: It was cut again and again, without anything new.
            APIError: The server refuses.
        """
        failures = attempts = furthest = 0
        while True:
            attempts += 1
            try:
                async with aclosing(self._one()) as blocks:
                    async for block in blocks:
                        yield block
            except (TransportError, ServerError, RateLimitedError) as error:
                failures = failures + 1 if self.received <= furthest else 1
                furthest = max(furthest, self.received)
                error.attempts = attempts
                await self._pause(error, failures)
            else:
                self._transport.gate.give_back()
                return

    async def _pause(self, error: TransportError | APIError, failures: int) -> None:
        policy = self._transport.retry
        asked = (isinstance(error, APIError) and error.retry_after) or 0.0
        if failures >= policy.max_attempts or asked > policy.max_retry_after or not self._transport.gate.take(policy):
            raise error
        self._transport.counters.retries += 1
        await self._transport.gate.sleep(max(asked, backoff(policy, failures, self._transport.gate.rng)))

    async def _one(self) -> AsyncGenerator[tuple[int, bytes], None]:
        headers: dict[str, str] = {}
        if self.received and self._etag is not None:
            headers = {"Range": f"bytes={self.received}-", "If-Range": self._etag}
        stream = await self._transport.download(self._endpoint, ids=self._ids, headers=headers, accept=_ACCEPT)
        try:
            self._begin(stream)
            while data := await stream.read():
                place, self.received = self.received, self.received + len(data)
                yield place, data
        finally:
            stream.close()
        if self.total is not None and self.received != self.total:
            raise TransportError(f"{self.received:,} bytes came of {self.total:,}", method="GET")

    def _begin(self, stream: ByteStream) -> None:
        """See what the answer holds: the rest, or everything again."""
        if stream.status == _PART and self._goes_on(stream):
            return
        self.received = 0
        if stream.status != _WHOLE:
            self._resumable = False
            raise TransportError(f"the server's range doesn't fit ({stream.status}): starting again", method="GET")
        length, etag = stream.headers.get("Content-Length", ""), stream.headers.get("ETag", "W/")
        plain = stream.headers.get("Content-Encoding", "identity") == "identity"  # else it's the encoded body's length
        self.total = int(length) if plain and length.isdigit() else None
        weak = etag.startswith("W/")  # it may be the same for other bytes
        self._etag = etag if plain and self._resumable and not weak else None

    def _goes_on(self, stream: ByteStream) -> bool:
        """Whether a part begins behind what has come, and is of the same content."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", stream.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self.received or stream.headers.get("ETag") not in {None, self._etag}:
            return False
        return found[2] == "*" or self.total is None or int(found[2]) == self.total


async def save(download: Download, target: Path, progress: Progress | None) -> None:
    """Write a download to a file, which is there whole or as it was before.

    Raises:
        OSError: The file can't be written.
        Exception: As `Download.blocks`.
    """
    part = _Part(target)
    try:
        await asyncio.to_thread(part.begin)
        await _fill(download, part, progress)
        await asyncio.to_thread(part.put_in_place)
    except BaseException:
        with CancelScope(shield=True):
            await asyncio.to_thread(part.discard)
        raise


async def _fill(download: Download, part: _Part, progress: Progress | None) -> None:
    waiting: list[bytes] = []
    written = 0
    async with aclosing(download.blocks()) as blocks:
        async for place, data in blocks:
            if place == 0:
                waiting, written = [], 0
                await asyncio.to_thread(part.rewind)
            waiting.append(data)
            if place + len(data) - written >= _BLOCK:
                await asyncio.to_thread(part.write, waiting)
                waiting, written = [], place + len(data)
            if progress is not None:
                progress(place + len(data), download.total or 0)
    await asyncio.to_thread(part.write, waiting)


class _Part:
    """A file on its way to its place; its methods block, and may run in any thread.

    The lock is for a step whose caller was cancelled: it may still run, or be yet to run, while the file is discarded.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
        self._opened: FileIO | None = None
        self._is_discarded = False
        self._lock = threading.Lock()

    @property
    def _file(self) -> FileIO:
        if self._opened is None:
            raise ValueError("the file isn't open")
        return self._opened

    def begin(self) -> None:
        """Make the file."""
        with self._lock:
            if self._is_discarded:
                return
            try:
                self._opened = self._path.open("xb", buffering=0)
            except OSError as error:
                raise type(error)(error.errno, error.strerror, str(self._target)) from error

    def rewind(self) -> None:
        """Start again."""
        with self._lock:
            self._file.seek(0)
            self._file.truncate()

    def write(self, pieces: list[bytes]) -> None:
        """Write it all."""
        with self._lock:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[self._file.write(view) or 0 :]

    def put_in_place(self) -> None:
        """Let the file take its name, for good."""
        with self._lock:
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self._target)
            with suppress(OSError):  # not every system lets a folder be synced
                folder = os.open(self._target.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)

    def discard(self) -> None:
        """Leave nothing behind."""
        with self._lock:
            self._is_discarded = True
            if self._opened is not None:
                self._opened.close()
                self._path.unlink(missing_ok=True)
