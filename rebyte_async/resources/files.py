"""Files to attach to tasks and prompts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from attrs import frozen

from rebyte_async import _codec, _wire
from rebyte_async._transport import is_private_url
from rebyte_async.errors import APIError, DecodeError, InvalidRequestError, RebyteError
from rebyte_async.resources.bounded import bounded
from rebyte_async.resources.sources import NamedSource, Progress, Source, Upload, check, opened
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from rebyte_async._transport import Transport

__all__ = ["Attachment", "Files", "attached", "attaching"]

Attachment = FileRef | NamedSource
"""What `files=` takes: an uploaded file, a path, or a pair of a name and a source."""


@frozen(kw_only=True)
class _Ticket:
    """The answer to an announced file."""

    id: str
    filename: str
    upload_url: str


@frozen(eq=False)
class Files:
    """`client.files`. What every call can raise is told at `Tasks`."""

    _transport: Transport

    async def upload(
        self,
        source: Source,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
    ) -> FileRef:
        """Upload a file, to be attached to a task or a prompt.

        It is read in blocks of 1 MiB, in a thread, and again from its start when an attempt fails; what has no length
        or can't be read again is first written to a temporary file. A signed URL that is refused is replaced once.

        Args:
            source: A path, bytes, a binary file (read from where it stands, and not closed), or an async iterable of
                bytes.
            filename: Its name, at most 255 characters; None takes the source's own, which bytes and iterables don't
                have.
            content_type: Its media type; None guesses it by the name.
            progress: Called with the bytes sent and the bytes in all.

        Returns:
            The file, under the name that the server made unique: the agent finds it at `/code/<filename>`.

        Raises:
            InvalidRequestError: The source can't be read, isn't bytes, or has no name. Nothing was sent.

        *Source*: contract §5, documented.
        """
        async with opened(source, filename=filename, content_type=content_type, progress=progress) as upload:
            return await self.send(upload)

    async def send(self, upload: Upload) -> FileRef:
        """Upload a source that is open already: see `upload`."""
        try:
            return await self._send_once(upload)
        except APIError as error:
            if error.method != "PUT" or error.status not in _wire.URL_EXPIRED:
                raise
        return await self._send_once(upload)

    async def _send_once(self, upload: Upload) -> FileRef:
        body = {"filename": upload.name, "contentType": upload.content_type}
        answer = await self._transport.call(_wire.CREATE_FILE, json=body)
        ticket = _codec.decode(_Ticket, answer.json())
        if not is_private_url(ticket.upload_url):
            raise DecodeError("the upload URL is neither https nor on this machine", path="$.uploadUrl")
        await self._transport.put(ticket.upload_url, upload, content_type=upload.content_type)
        return FileRef(ticket.id, ticket.filename)


async def attached(files: Files, attachments: object) -> list[FileRef]:
    """The attachments, after uploading those that aren't yet, four at once.

    Raises:
        InvalidRequestError: One of them can't be uploaded.
        RebyteError: An upload failed; the error's `uploaded` has those that succeeded.
    """
    if isinstance(attachments, str | bytes | FileRef) or not isinstance(attachments, Iterable):
        raise InvalidRequestError(f"files must be a list, not {type(attachments).__name__}")
    given = list(cast("Iterable[Attachment]", attachments))
    for item in given:
        if not isinstance(item, FileRef):
            await check(item)  # what can't be uploaded is told before anything is sent

    async def ref_of(item: Attachment) -> FileRef:
        if isinstance(item, FileRef):
            return item
        async with opened(item) as upload:
            return await files.send(upload)

    refs, failure = await bounded([partial(ref_of, item) for item in given])
    if failure is not None:
        if isinstance(failure, RebyteError):
            failure.uploaded = tuple(refs)
        raise failure
    return refs


@contextmanager
def attaching(refs: Sequence[FileRef]) -> Generator[list[dict[str, str]]]:
    """The attachments as the API wants them; when the call that takes them fails, the error has them."""
    try:
        yield [{"id": ref.id, "filename": ref.filename} for ref in refs]
    except RebyteError as error:
        error.uploaded = tuple(refs)
        raise
