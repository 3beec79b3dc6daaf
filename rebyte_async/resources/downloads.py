"""Downloads that are whole or absent: resumed where they were cut, checked, and renamed to their final name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

import anyio
from attrs import define, field

from rebyte_async._atomic import PartFile
from rebyte_async._retry import backoff, is_transient
from rebyte_async._tracing import NO_CALL, CallTrace
from rebyte_async._transport import BodyStream, Transport
from rebyte_async._wire.endpoints import Endpoint
from rebyte_async.errors import APIError, TransportError
from rebyte_async.types.files import Progress

_WRITE_SIZE = 1024 * 1024  # how many bytes are gathered before a thread writes them
_OK, _PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = _ACCEPT = (200, 206, 416)


@define(eq=False, repr=False)
class Download:
    """Reads a body to its end over as many connections as that takes."""

    _transport: Transport
    _endpoint: Endpoint
    _ids: Mapping[str, str]
    received: int = field(default=0, init=False)  # how many bytes of the body have arrived
    total: int | None = field(default=None, init=False)
    """How many bytes the body has; None until the server says so, or if it doesn't."""
    _etag: str | None = field(default=None, init=False)  # a strong entity tag of the body, which allows to resume it
    _is_resumable: bool = field(default=True, init=False)  # whether the server's ranges have fitted so far
    _trace: CallTrace = field(default=NO_CALL, init=False)

    async def chunks(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the body's chunks, each with its offset in the body.

        After a cut, the download is resumed where the server can do that for the same content. Otherwise it starts
        again, at offset 0. It fails when it was cut again and again without a new byte, or when the server refuses it.
        """
        with self._transport.trace_call(self._endpoint, ids=self._ids) as self._trace:
            async with aclosing(self._attempts()) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _attempts(self) -> AsyncGenerator[tuple[int, bytes], None]:
        failures = attempts = furthest = 0
        while True:
            attempts += 1
            try:
                async with aclosing(self._attempt()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except (TransportError, APIError) as error:
                # Bytes beyond what any attempt has brought count as progress: the failures are counted anew.
                has_advanced = self.received > furthest
                failures = 1 if has_advanced else failures + 1
                furthest = max(furthest, self.received)
                error.attempts = attempts
                await self._back_off(error, failures, is_free=has_advanced)
            else:
                self._transport.retry_budget.refund()
                return

    async def _back_off(self, error: TransportError | APIError, failures: int, *, is_free: bool) -> None:
        """Wait before the next attempt, or raise the error if there is to be none.

        An attempt that brought new bytes costs nothing of the retry budget: it repeats no work of the server's.
        """
        transport = self._transport
        policy = transport.retry
        retry_after = (isinstance(error, APIError) and error.retry_after) or 0.0
        may_pass = not isinstance(error, APIError) or is_transient(policy, error)
        may_retry = may_pass and failures < policy.max_attempts
        if not may_retry or not (is_free or transport.retry_budget.spend(policy)):
            raise error
        transport.counters.retries += 1
        delay = max(retry_after, backoff(policy, failures, transport.time.rng))
        self._trace.on_retry(error, error.attempts, delay)
        await transport.time.sleep(delay)

    async def _attempt(self) -> AsyncGenerator[tuple[int, bytes], None]:
        headers: dict[str, str] = {}
        if self.received and self._etag is not None:
            headers = {"Range": f"bytes={self.received}-", "If-Range": self._etag}
        stream = await self._transport.download(
            self._endpoint, ids=self._ids, headers=headers, origin_headers=self._trace.headers, accept=_ACCEPT
        )
        self._trace.on_response(stream.status)
        try:
            self._accept(stream)
            while data := await stream.read():
                offset = self.received
                self.received += len(data)
                yield offset, data
        finally:
            stream.close()
        if self.total is not None and self.received != self.total:
            raise TransportError(f"the download ended after {self.received:,} bytes of {self.total:,}", method="GET")

    def _accept(self, stream: BodyStream) -> None:
        """Take in what a response holds: the rest of the body, or all of it again."""
        if stream.status == _PARTIAL_CONTENT and self._is_rest(stream):
            return
        self.received = 0
        if stream.status != _OK:
            self._is_resumable = False
            raise TransportError(
                f"the server's range ({stream.status}) doesn't fit what has arrived: the download starts again",
                method="GET",
            )
        length, etag = stream.headers.get("Content-Length", ""), stream.headers.get("ETag", "W/")
        # With a content encoding, the length is that of the encoded body, and a range would be a part of it.
        is_plain = not stream.is_unpacked
        is_weak = etag.startswith("W/")  # a weak tag may stay the same for other bytes
        self.total = int(length) if is_plain and length.isdigit() else None
        self._etag = etag if is_plain and self._is_resumable and not is_weak else None

    def _is_rest(self, stream: BodyStream) -> bool:
        """Whether a partial response begins where the received bytes end, and is of the same content."""
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", stream.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self.received or stream.headers.get("ETag") not in {None, self._etag}:
            return False
        return found[2] == "*" or self.total is None or int(found[2]) == self.total


async def save(download: Download, target: Path, progress: Progress | None) -> None:
    """Write a download to a file. Until it is complete, the file stays as it was."""
    part = PartFile(target)
    try:
        await asyncio.to_thread(part.open)
        waiting = list[bytes]()
        written = 0
        async with aclosing(download.chunks()) as chunks:
            async for offset, data in chunks:
                if offset == 0:
                    waiting = []
                    written = 0
                    await asyncio.to_thread(part.rewind)
                waiting.append(data)
                if offset + len(data) - written >= _WRITE_SIZE:
                    await asyncio.to_thread(part.write, waiting)
                    waiting = []
                    written = offset + len(data)
                if progress is not None:
                    progress(offset + len(data), download.total or 0)
        await asyncio.to_thread(part.write, waiting)
        await asyncio.to_thread(part.commit)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await asyncio.to_thread(part.discard)
        raise
