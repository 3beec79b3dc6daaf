"""Files to attach to tasks and prompts."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async._transport import is_private_url
from rebyte_async._wire import endpoints, models
from rebyte_async.errors import DecodeError, RebyteError
from rebyte_async.resources.bounded import bounded, tell
from rebyte_async.resources.signed import put_signed
from rebyte_async.resources.sources import (
    Attachment,
    Progress,
    Source,
    Upload,
    check,
    check_distinct,
    check_progress,
    opened,
)
from rebyte_async.resources.sources import attachments as as_attachments
from rebyte_async.resources.tally import Tally
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from rebyte_async._transport import Transport

__all__ = ["Attachment", "Files", "attaching"]


@frozen(kw_only=True)
class _Ticket:
    """The answer to an announced file."""

    id: str
    filename: str
    upload_url: str = field(repr=False)


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
            return await self._send(upload)

    async def upload_all(
        self, attachments: Iterable[Attachment], *, progress: Progress | None = None
    ) -> tuple[FileRef, ...]:
        """Upload several files, four at once, as `files=` does.

        Args:
            attachments: Paths, binary files, pairs of a name and a source; what is uploaded already stays as it is. One
                and the same binary file may stand there once.
            progress: Called with the bytes sent of all of them together, and the bytes in all, or 0 while the size of
                one isn't known.

        Returns:
            The files, in the given order.

        Raises:
            InvalidRequestError: One of them can't be uploaded. Nothing was sent.
            RebyteError: An upload failed; the error's `uploaded` has those that succeeded.

        *Source*: contract §5, documented.
        """
        given = as_attachments(attachments)
        check_progress(progress)
        # What can't be uploaded is told before anything is sent.
        sizes = [0 if isinstance(item, FileRef) else await check(item) for item in given]
        check_distinct(given)
        tally = Tally(progress, sizes)
        calls = [partial(self._ref_of, item, tally, index) for index, item in enumerate(given)]
        refs, failure = await bounded(calls)
        if failure is not None:
            tell(failure, "uploaded", refs)
            raise failure
        return tuple(refs)

    async def _ref_of(self, item: Attachment, tally: Tally, index: int) -> FileRef:
        if isinstance(item, FileRef):
            return item
        async with opened(item, progress=tally.part(index)) as upload:
            tally.known(index, upload.size)
            return await self._send(upload)

    async def _send(self, upload: Upload) -> FileRef:
        announce = partial(self._announce, upload)
        ticket = await put_signed(self._transport, upload, await announce(), announce)
        return FileRef(ticket.id, ticket.filename)

    async def _announce(self, upload: Upload) -> _Ticket:
        body = {"filename": upload.name, "contentType": upload.content_type}
        answer = await self._transport.call(endpoints.CREATE_FILE, json=body)
        ticket = models.decode(_Ticket, answer.json())
        if not is_private_url(ticket.upload_url):
            raise DecodeError("the upload URL is neither https nor on this machine", path="$.uploadUrl")
        return ticket


@contextmanager
def attaching(refs: Sequence[FileRef]) -> Generator[dict[str, list[dict[str, str]]]]:
    """The attachments as fields of a body; when the call that takes them fails, the error has them."""
    try:
        yield {"files": [{"id": ref.id, "filename": ref.filename} for ref in refs]} if refs else {}
    except RebyteError as error:
        error.uploaded = tuple(refs)
        raise
