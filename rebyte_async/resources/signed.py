"""Uploads to signed URLs, which may have expired when their turn comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rebyte_async._wire import endpoints
from rebyte_async.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rebyte_async._transport import Signed, Transport
    from rebyte_async.resources.sources import Upload

__all__ = ["put_signed"]


T = TypeVar("T", bound="Signed")


async def put_signed(transport: Transport, upload: Upload, target: T, renew: Callable[[], Awaitable[T]]) -> T:
    """Put a source where a signed URL says; one that is refused is replaced once.

    Args:
        transport: The way to the storage.
        upload: What to put there.
        target: Where.
        renew: Asks for another target.

    Returns:
        The target that took it.
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
