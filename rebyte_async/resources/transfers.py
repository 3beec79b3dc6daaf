"""Several transfers of one call: at once or as one form, with one progress, and what was done before a failure."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio
from attrs import define, field

from rebyte_async._transport import Transport, UploadTarget
from rebyte_async._wire import endpoints
from rebyte_async.errors import APIError, RebyteError
from rebyte_async.resources.sources import Upload
from rebyte_async.types.files import Progress

T = TypeVar("T")
S = TypeVar("S", bound=UploadTarget)
DEFAULT_CONCURRENCY = 4  # how many transfers of one call run at once
_ESCAPES = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}
"""As browsers escape the names of fields and files (WHATWG, multipart/form-data)."""


async def gather_limited(
    calls: Sequence[Callable[[], Awaitable[T]]],
    limit: int = DEFAULT_CONCURRENCY,
    *,
    done_as: str | None = None,
    concerns_one: Callable[[Exception], bool] = lambda _: False,
) -> tuple[T, ...]:
    """Make the calls, at most `limit` at once, and return their results in order.

    After a first failure no more calls are started, unless it `concerns_one` call alone. It is raised, and shows the
    results that there are as `done_as`.
    """
    limiter = anyio.CapacityLimiter(limit)
    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def make(index: int) -> None:
        async with limiter:
            if not all(map(concerns_one, failures)):
                return
            try:
                results[index] = await calls[index]()
            except Exception as error:  # noqa: BLE001 - raised below as it is: the task group would wrap it
                failures.append(error)

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(make, index)
    done = tuple(results[index] for index in sorted(results))
    if failures:
        if done_as is not None:
            attach_partial_results(failures[0], done_as, done)
        raise failures[0]
    return done


def attach_partial_results(failure: Exception, name: str, done: Sequence[object]) -> None:
    """Have a failure show what was done before it: as an attribute of our own errors, as a note on any other."""
    if isinstance(failure, RebyteError):
        setattr(failure, name, tuple(done))
    elif done:
        failure.add_note(f"{name} before that: {', '.join(map(str, done))}")


@define(eq=False, repr=False)
class AggregateProgress:
    """Adds up the progress of several transfers. The total is reported as 0 while the size of one isn't known."""

    _progress: Progress | None
    _sizes: list[int | None]  # the size of each transfer in bytes; None where it isn't known yet
    _counts: dict[int, int] = field(factory=dict[int, int], init=False)
    """The bytes transferred, by the index of the transfer."""

    def part(self, index: int) -> Progress | None:
        """Return the progress callback for one of the transfers."""
        return None if self._progress is None else partial(self._report, index)

    def set_size(self, index: int, size: int) -> None:
        if self._sizes[index] is None:
            self._sizes[index] = size
            self._show()

    def _report(self, index: int, count: int, size: int) -> None:
        if count == self._counts.get(index, 0) and self._sizes[index] is not None:
            return
        self._counts[index] = count
        if size:
            self._sizes[index] = size
        self._show()

    def _show(self) -> None:
        if self._progress is not None:
            total = 0 if None in self._sizes else sum(size or 0 for size in self._sizes)
            self._progress(sum(self._counts.values()), total)


async def put_signed(transport: Transport, upload: Upload, target: S, renew: Callable[[], Awaitable[S]]) -> S:
    """Send an upload to a signed URL, and return the target that accepted it.

    A URL that is refused, mostly because it has expired, is replaced once by what `renew` returns.
    """
    try:
        await transport.put(target, upload, content_type=upload.content_type)
    except APIError as error:
        if error.status not in endpoints.URL_EXPIRED:
            raise
    else:
        return target
    target = await renew()
    await transport.put(target, upload, content_type=upload.content_type)
    return target


@define(eq=False, repr=False)
class Multipart:
    """Several uploads as one form of known length, with one field that is repeated for each of them.

    aiohttp's MultipartWriter knows no length before it has written, and can't be sent again.
    """

    _field: str
    _parts: Sequence[Upload]
    _boundary: str = field(factory=lambda: secrets.token_hex(16), init=False)

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def size(self) -> int:
        return sum(len(self._head(part)) + part.size + 2 for part in self._parts) + len(self._end)

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield self._head(part)
            async for chunk in part.chunks():
                yield chunk
            yield b"\r\n"
        yield self._end

    def on_sent(self, count: int) -> None:
        """Report to each part how many of its bytes are sent."""
        for part in self._parts:
            count -= len(self._head(part))
            part.on_sent(max(0, min(count, part.size)))
            count -= part.size + 2

    def _head(self, part: Upload) -> bytes:
        name = part.name.translate(_ESCAPES)
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="{self._field}"; filename="{name}"\r\n'
            f"Content-Type: {part.content_type}\r\n\r\n"
        ).encode()

    @property
    def _end(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()
