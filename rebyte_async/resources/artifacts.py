"""Artifacts: the files that tasks leave in their workspaces, and files given to tasks there."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path

from attrs import field, frozen

from rebyte_async import _validate
from rebyte_async._transport import Transport
from rebyte_async._wire import endpoints, models
from rebyte_async.errors import DecodeError, InvalidRequestError, TransportError
from rebyte_async.resources import transfers
from rebyte_async.resources.downloads import Download, save
from rebyte_async.resources.listing import Listing, list_at_once
from rebyte_async.resources.reading import Resource
from rebyte_async.resources.sources import (
    NamedSource,
    Progress,
    Upload,
    check_progress,
    check_source,
    guess_media_type,
    open_upload,
    reject_shared_files,
)
from rebyte_async.types.artifacts import Artifact, UploadUrl, safe_name

# GUESS(§6): the names in all shapes, the likeliest first.
_LIST_KEYS = ("artifacts", "data", "files")
_URL_KEYS = ("urls", "data", "files")
_ALIASES = {"name": "filename"}
_LARGE = 8 * 1024 * 1024
"""From this size on, in bytes, an artifact is sent to a signed URL, not through the API's servers."""


@frozen(eq=False, repr=False, kw_only=True)
class _SignedUrl:
    """One of the URLs that were asked for."""

    upload_url: str = field(repr=False)
    filename: str | None = None


@frozen(eq=False, repr=False)
class Artifacts(Resource):
    """`client.artifacts`. `Tasks` lists what every call can raise.

    Each call is given a workspace: a task's `workspace_id`, or an agent computer's id; most also an artifact's name.

    *Source*: contract §6, guess: only the endpoints are documented. Every shape is read tolerantly.
    """

    _transport: Transport

    def list(self, workspace_id: str) -> Listing[Artifact]:
        """List the artifacts of a workspace.

        Args:
            workspace_id: The workspace: a task's `workspace_id`, or an agent computer's id.

        Returns:
            A listing: `await` it for a page with all artifacts, or `async for` over it.
        """
        ids = {"workspace_id": workspace_id}
        return list_at_once(self._transport, endpoints.LIST_ARTIFACTS, Artifact, _LIST_KEYS, ids=ids, aliases=_ALIASES)

    async def download(
        self,
        workspace_id: str,
        filename: str,
        destination: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Download an artifact to a file, which is complete or doesn't change.

        The artifact is written to a temporary file in the same folder, resumed where it was cut, checked by its length,
        and then renamed. Until then an older file of the same name stays. The new one gets its mode.
        A link is followed.

        Args:
            workspace_id: The workspace.
            filename: The artifact's name, which may hold slashes.
            destination: The file to write, or an existing folder. In a folder, the file gets the artifact's name, with
                everything that could lead out of the folder percent-encoded.
            progress: Called with the bytes received and the bytes in all; 0 in all where the server doesn't say.

        Returns:
            The file.

        Raises:
            OSError: The file can't be written, or the destination is a device or a pipe: use `stream` for these.
        """
        check_progress(progress)
        target = Path(destination)
        if await asyncio.to_thread(target.is_dir):
            target /= safe_name(filename)
        await save(self._start_download(workspace_id, filename), target, progress)
        return target

    async def download_all(
        self,
        workspace_id: str,
        folder: str | os.PathLike[str],
        *,
        concurrency: int = transfers.DEFAULT_CONCURRENCY,
        overwrite: bool = True,
        progress: Progress | None = None,
    ) -> tuple[Path, ...]:
        """Download every artifact of a workspace into a folder, which is created if need be.

        Args:
            workspace_id: The workspace.
            folder: The folder. An artifact whose name has slashes becomes a file in it, with the slashes
                percent-encoded.
            concurrency: How many artifacts are downloaded at once, at least 1.
            overwrite: Whether existing files are replaced. Mind that the server chooses the names.
            progress: Called with the bytes received of all artifacts together, and the bytes in all; 0 in all while
                the server hasn't said the size of one.

        Returns:
            The files, in the order of the listing.

        Raises:
            OSError: A file can't be written.
            FileExistsError: Without `overwrite`, a file exists. Nothing was downloaded.
            RebyteError: A download failed. The error's `downloaded` has the files that are complete; an `OSError` has
                them in a note. A name that can't be a file's here doesn't keep the others from being downloaded.
        """
        _validate.count("concurrency", concurrency)
        check_progress(progress)
        place = Path(folder)
        await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True)
        sizes = {artifact.filename: artifact.size async for artifact in self.list(workspace_id)}
        if not overwrite:
            await asyncio.to_thread(_check_absent, [place / safe_name(name) for name in sizes])
        total = transfers.AggregateProgress(progress, list(sizes.values()))
        calls = [
            partial(self.download, workspace_id, name, place, progress=total.part(index))
            for index, name in enumerate(sizes)
        ]
        return await transfers.gather_limited(calls, concurrency, done_as="downloaded", concerns_one=_concerns_one_name)

    async def read(self, workspace_id: str, filename: str) -> bytes:
        """Read an artifact into memory. The download is resumed where it is cut.

        Returns:
            The artifact's bytes.
        """
        body = bytearray()
        async with aclosing(self._start_download(workspace_id, filename).chunks()) as chunks:
            async for offset, data in chunks:
                del body[offset:]
                body += data
        return bytes(body)

    async def stream(self, workspace_id: str, filename: str) -> AsyncGenerator[bytes, None]:
        """Read an artifact piece by piece. The download is resumed where it is cut.

        Yields:
            The artifact's bytes, in chunks of any size.

        Raises:
            TransportError: The download was cut, and the server can't resume it. It can't start again, because the
                caller has its first part already.
        """
        yielded = 0
        async with aclosing(self._start_download(workspace_id, filename).chunks()) as chunks:
            async for offset, data in chunks:
                if offset < yielded:
                    raise TransportError(f"{filename}: the download was cut and could not be resumed", method="GET")
                yielded = offset + len(data)
                yield data

    async def upload(
        self, workspace_id: str, *sources: NamedSource, progress: Progress | None = None
    ) -> tuple[Artifact, ...]:
        """Upload artifacts: those below 8 MiB together in one form, larger ones to signed URLs, four at once.

        Args:
            workspace_id: The workspace.
            *sources: Paths, binary files, or pairs of a name and a source.
            progress: Called with the bytes sent of all artifacts together, and the bytes in all.

        Returns:
            The artifacts, with name, size and media type.

        Raises:
            InvalidRequestError: There is no source, or one can't be read or has no name. Nothing was sent.
            RebyteError: An upload failed. The error's `uploaded` has the artifacts that were uploaded.
        """
        if not sources:
            raise InvalidRequestError("upload needs at least one source")
        check_progress(progress)
        checked = [await check_source(source) for source in sources]
        reject_shared_files(checked)
        async with AsyncExitStack() as stack:
            uploads = [await stack.enter_async_context(open_upload(source)) for source in checked]
            total = transfers.AggregateProgress(progress, [upload.size for upload in uploads])
            for index, upload in enumerate(uploads):
                upload.progress = total.part(index)
            await self._upload(workspace_id, uploads)
            return _list_artifacts(uploads)

    async def upload_urls(self, workspace_id: str, files: Iterable[str | tuple[str, str]]) -> tuple[UploadUrl, ...]:
        """Ask for signed URLs, to PUT artifacts by other means.

        Args:
            workspace_id: The workspace.
            files: Names, whose media types are guessed, or pairs of a name and a media type.

        Returns:
            A URL for each file, in order. The PUT must have the same Content-Type, and no API key.
        """
        if isinstance(files, str):
            raise InvalidRequestError(f"files must be a list of names, not the string {files!r:.80}")
        names_and_types = await asyncio.to_thread(lambda: [_name_and_type(item) for item in files])
        if not names_and_types:
            raise InvalidRequestError("upload_urls needs at least one name")
        body = {"files": [{"name": name, "contentType": kind} for name, kind in names_and_types]}
        ids = {"workspace_id": workspace_id}
        response = await self._transport.call(endpoints.CREATE_UPLOAD_URLS, ids=ids, json=body)
        aliases = {**_ALIASES, "url": "uploadUrl"}
        urls = models.decode_items(_SignedUrl, response.json(), _URL_KEYS, aliases=aliases)
        if len(urls) != len(names_and_types):
            raise DecodeError(
                f"the server sent {len(urls)} upload URLs for {len(names_and_types)} files", path="$.urls"
            )
        by_name = {url.filename: url for url in urls}
        matched = tuple(
            UploadUrl(filename=name, content_type=kind, upload_url=by_name.get(name, url).upload_url)
            for (name, kind), url in zip(names_and_types, urls, strict=True)
        )
        if not all(self._transport.may_be_handed_out(url.upload_url) for url in matched):
            raise DecodeError("an upload URL is invalid, isn't https, or leads to this machine", path="$.urls")
        return matched

    async def delete(self, workspace_id: str, filename: str) -> None:
        """Delete an artifact."""
        ids = {"workspace_id": workspace_id, "filename": filename}
        await self._transport.call(endpoints.DELETE_ARTIFACT, ids=ids)

    async def delete_all(self, workspace_id: str) -> None:
        """Delete every artifact of a workspace."""
        await self._transport.call(endpoints.DELETE_ARTIFACTS, ids={"workspace_id": workspace_id})

    def _start_download(self, workspace_id: str, filename: str) -> Download:
        ids = {"workspace_id": workspace_id, "filename": filename}
        endpoints.GET_ARTIFACT.path(**ids)  # checks both before anything is sent
        return Download(self._transport, endpoints.GET_ARTIFACT, ids)

    async def _upload(self, workspace_id: str, uploads: Sequence[Upload]) -> None:
        done: set[Upload] = set()

        async def put(upload: Upload, url: UploadUrl) -> None:
            await transfers.put_signed(self._transport, upload, url, partial(self._renew_url, workspace_id, upload))
            done.add(upload)

        try:
            if small := [upload for upload in uploads if upload.size < _LARGE]:
                form = transfers.Multipart("files", small)
                ids = {"workspace_id": workspace_id}
                await self._transport.upload(endpoints.UPLOAD_ARTIFACTS, form, ids=ids, content_type=form.content_type)
                done.update(small)
            if large := [upload for upload in uploads if upload.size >= _LARGE]:
                urls = await self.upload_urls(workspace_id, [(upload.name, upload.content_type) for upload in large])
                await transfers.gather_limited([partial(put, *pair) for pair in zip(large, urls, strict=True)])
        except Exception as failure:
            transfers.attach_partial_results(
                failure, "uploaded", _list_artifacts(item for item in uploads if item in done)
            )
            raise

    async def _renew_url(self, workspace_id: str, upload: Upload) -> UploadUrl:
        (url,) = await self.upload_urls(workspace_id, [(upload.name, upload.content_type)])
        return url


def _name_and_type(item: object) -> tuple[str, str]:
    match item:
        case str(name) | (str(name),) if name.strip():
            return name, guess_media_type(name)
        case (str(name), str(kind)) if name.strip() and kind.strip():
            return name, kind
        case _:
            raise InvalidRequestError(f"a file must be a name, or a pair of a name and a media type, not {item!r:.80}")


def _concerns_one_name(failure: Exception) -> bool:
    """Whether a failure is that of an artifact whose name can't be asked for, or can't be a file's here."""
    one_name = {errno.ENAMETOOLONG, errno.EISDIR, errno.EINVAL, errno.EILSEQ}
    return isinstance(failure, InvalidRequestError) or (isinstance(failure, OSError) and failure.errno in one_name)


def _check_absent(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _list_artifacts(uploads: Iterable[Upload]) -> tuple[Artifact, ...]:
    return tuple(Artifact(filename=item.name, size=item.size, content_type=item.content_type) for item in uploads)
