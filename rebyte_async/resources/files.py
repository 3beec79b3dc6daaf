"""Files to attach to tasks and prompts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial

from attrs import field, frozen

from rebyte_async._transport import Transport
from rebyte_async._wire import endpoints
from rebyte_async.errors import DecodeError, RebyteError
from rebyte_async.resources import sources
from rebyte_async.resources.reading import Resource, fetch
from rebyte_async.resources.sources import CheckedSource, Upload
from rebyte_async.resources.transfers import AggregateProgress, gather_limited, put_signed
from rebyte_async.types.files import Attachment, FileRef, Progress, Source

__all__ = ["Attachment", "Files"]


@frozen(eq=False, repr=False, kw_only=True)
class _CreatedFile:
    id: str
    filename: str
    upload_url: str = field(repr=False)


@frozen(eq=False, repr=False)
class Files(Resource):
    """`client.files`. `Tasks` lists what every call can raise."""

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

        The file is read in chunks of 1 MiB, in a thread, and again from its start when an attempt fails. A source that
        has no length or can't be read again is first written to a temporary file. A signed URL that is refused is
        replaced once.

        Args:
            source: A path, bytes, a binary file (read from its current position, and not closed), or an async iterable
                of bytes.
            filename: The file's name, at most 255 characters. None takes the source's own, which bytes and iterables
                don't have.
            content_type: The media type; None guesses it by the name.
            progress: Called with the bytes sent and the bytes in all.

        Returns:
            The file, under the name that the server made unique: the agent finds it at `/code/<filename>`.

        Raises:
            InvalidRequestError: The source can't be read, doesn't give bytes, or has no name. Nothing was sent.

        *Source*: contract §5, documented.
        """
        sources.check_progress(progress)
        checked = await sources.check_source(source, filename=filename, content_type=content_type)
        async with sources.open_upload(checked, progress) as upload:
            return await self._send(upload)

    async def upload_all(
        self, attachments: Iterable[Attachment], *, progress: Progress | None = None
    ) -> tuple[FileRef, ...]:
        """Upload several files, four at once, as `files=` does.

        Args:
            attachments: Paths, binary files, pairs of a name and a source. Uploaded files are returned as they are.
                The same binary file may be given once only.
            progress: Called with the bytes sent of all files together, and the bytes in all; 0 in all while the size
                of one isn't known.

        Returns:
            The files, in the given order.

        Raises:
            InvalidRequestError: One of them can't be uploaded. Nothing was sent.
            RebyteError: An upload failed. The error's `uploaded` has the files that were uploaded.

        *Source*: contract §5, documented.
        """
        given = sources.check_attachments(attachments)
        sources.check_progress(progress)
        # All sources are checked before the first one is sent.
        checked = [item if isinstance(item, FileRef) else await sources.check_source(item) for item in given]
        sources.reject_shared_files(item for item in checked if isinstance(item, CheckedSource))
        total = AggregateProgress(progress, [0 if isinstance(item, FileRef) else item.size for item in checked])

        async def upload(index: int, item: FileRef | CheckedSource) -> FileRef:
            if isinstance(item, FileRef):
                return item
            async with sources.open_upload(item, total.part(index)) as opened:
                total.set_size(index, opened.size)
                return await self._send(opened)

        calls = [partial(upload, index, item) for index, item in enumerate(checked)]
        return await gather_limited(calls, done_as="uploaded")

    async def _send(self, upload: Upload) -> FileRef:
        announce = partial(self._announce, upload)
        created = await put_signed(self._transport, upload, await announce(), announce)
        return FileRef(created.id, created.filename)

    async def _announce(self, upload: Upload) -> _CreatedFile:
        body = {"filename": upload.name, "contentType": upload.content_type}
        created = await fetch(self._transport, _CreatedFile, endpoints.CREATE_FILE, json=body)
        if not self._transport.may_be_handed_out(created.upload_url):
            raise DecodeError("the upload URL is invalid, isn't https, or leads to this machine", path="$.uploadUrl")
        return created


@contextmanager
def attachments_body(refs: Sequence[FileRef]) -> Generator[dict[str, list[dict[str, str]]]]:
    """Yield the attachments as fields of a request body; an error in the `with` block has them as its `uploaded`."""
    try:
        yield {"files": [{"id": ref.id, "filename": ref.filename} for ref in refs]} if refs else {}
    except RebyteError as error:
        error.uploaded = tuple(refs)
        raise
