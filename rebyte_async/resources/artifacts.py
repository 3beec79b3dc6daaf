"""Workspace artifacts: the files that tasks leave, and those given to them."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from rebyte_async._transport import is_private_url
from rebyte_async._wire import endpoints, models
from rebyte_async.errors import DecodeError, InvalidRequestError, TransportError
from rebyte_async.resources.bounded import AT_ONCE, bounded, tell
from rebyte_async.resources.downloads import Download, save
from rebyte_async.resources.multipart import Multipart
from rebyte_async.resources.pages import Listing
from rebyte_async.resources.signed import put_signed
from rebyte_async.resources.sources import (
    NamedSource,
    Progress,
    Upload,
    check,
    check_distinct,
    check_progress,
    guessed_type,
    opened,
)
from rebyte_async.resources.tally import Tally
from rebyte_async.types.artifacts import Artifact, UploadUrl, safe_name
from rebyte_async.types.pages import Page

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from rebyte_async._transport import Transport

__all__ = ["Artifacts"]

# Every shape is a guess (contract §6): the likeliest first.
_ITEMS = ("artifacts", "data", "files")
_URLS = ("urls", "data", "files")
_NAMES = {"filename": "name"}
_LARGE = 8 * 1024 * 1024
"""From this size on, in bytes, an artifact is uploaded by a signed URL of its own, past the API's servers."""


@frozen(kw_only=True)
class _Target:
    """One of the URLs that were asked for."""

    upload_url: str = field(repr=False)
    name: str | None = None


@frozen(eq=False)
class Artifacts:
    """`client.artifacts`. What every call can raise is told at `Tasks`.

    *Source*: contract §6. Only the endpoints are documented; every shape is a guess, and read tolerantly.
    """

    _transport: Transport

    def list(self, workspace_id: str) -> Listing[Artifact]:
        """List the artifacts of a workspace.

        Args:
            workspace_id: The workspace: a task's `workspace_id`, or an agent computer's id.

        Returns:
            A listing: `await` it for a page that holds them all, or `async for` over it.
        """

        async def fetch(_limit: int, _offset: int) -> Page[Artifact]:
            answer = await self._transport.call(endpoints.LIST_ARTIFACTS, ids={"workspace_id": workspace_id})
            items = models.decode_items(Artifact, answer.json(), _ITEMS, aliases=_NAMES)
            return Page(items, len(items), len(items), 0)

        return Listing(fetch, _artifact_name)

    async def download(
        self,
        workspace_id: str,
        filename: str,
        destination: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Download an artifact to a file, which is there whole or not at all.

        It is written to a temporary file in the same folder, resumed where it was cut, checked by its length, and then
        put in place at once; what was there before stays until then.

        Args:
            workspace_id: The workspace.
            filename: The artifact's name, which may hold slashes.
            destination: The file to write, or a folder that exists; in a folder the file takes the artifact's name,
                with what could lead out of it percent-encoded.
            progress: Called with the bytes received and the bytes in all, or 0 where the server doesn't say.

        Returns:
            The file.

        Raises:
            OSError: The file can't be written.
        """
        check_progress(progress)
        target = await asyncio.to_thread(_target, Path(destination), filename)
        await save(self._download(workspace_id, filename), target, progress)
        return target

    async def download_all(
        self,
        workspace_id: str,
        folder: str | os.PathLike[str],
        *,
        concurrency: int = AT_ONCE,
        overwrite: bool = True,
        progress: Progress | None = None,
    ) -> tuple[Path, ...]:
        """Download every artifact of a workspace into a folder, which is made if it isn't there.

        Args:
            workspace_id: The workspace.
            folder: The folder. A name with slashes becomes a file in it whose name has them percent-encoded.
            concurrency: How many at once, at least 1.
            overwrite: Whether files that are there are replaced. Their names come from the server.
            progress: Called with the bytes received of all of them together, and the bytes in all, or 0 while the
                server hasn't said the size of one.

        Returns:
            The files, in the listing's order.

        Raises:
            OSError: A file can't be written.
            FileExistsError: Without `overwrite`, one is there. Nothing was downloaded.
            RebyteError: A download failed; the error's `downloaded` has the files that were complete. An `OSError` has
                them in a note.
        """
        if type(concurrency) is not int or concurrency < 1:
            raise InvalidRequestError(f"concurrency must be a whole number, at least 1, not {concurrency!r:.40}")
        check_progress(progress)
        place = Path(folder)
        await asyncio.to_thread(place.mkdir, parents=True, exist_ok=True)
        sizes = {artifact.name: artifact.size async for artifact in self.list(workspace_id)}
        if not overwrite:
            await asyncio.to_thread(_check_absent, place, sizes)
        tally = Tally(progress, list(sizes.values()))
        calls = [
            partial(self.download, workspace_id, name, place, progress=tally.part(index))
            for index, name in enumerate(sizes)
        ]
        paths, failure = await bounded(calls, concurrency)
        if failure is not None:
            tell(failure, "downloaded", paths)
            raise failure
        return tuple(paths)

    async def read(self, workspace_id: str, filename: str) -> bytes:
        """Read an artifact into memory, resumed where it is cut.

        Args:
            workspace_id: The workspace.
            filename: The artifact's name.
        """
        body = bytearray()
        async with aclosing(self._download(workspace_id, filename).blocks()) as blocks:
            async for place, data in blocks:
                del body[place:]
                body += data
        return bytes(body)

    async def stream(self, workspace_id: str, filename: str) -> AsyncGenerator[bytes, None]:
        """Read an artifact as it comes, resumed where it is cut.

        Args:
            workspace_id: The workspace.
            filename: The artifact's name.

        Yields:
            Its bytes, in blocks of any size.

        Raises:
            TransportError: It was cut, and the server can't go on from there: what was given can't be taken back.
        """
        given = 0
        async with aclosing(self._download(workspace_id, filename).blocks()) as blocks:
            async for place, data in blocks:
                if place < given:
                    raise TransportError(f"{filename}: the download was cut and could not be resumed", method="GET")
                given = place + len(data)
                yield data

    async def upload(
        self, workspace_id: str, *sources: NamedSource, progress: Progress | None = None
    ) -> tuple[Artifact, ...]:
        """Upload artifacts: those below 8 MiB together in one form, larger ones by signed URLs, four at once.

        Args:
            workspace_id: The workspace.
            *sources: Paths, binary files, or pairs of a name and a source.
            progress: Called with the bytes sent of all of them together, and the bytes in all.

        Returns:
            What was uploaded, with name, size and media type.

        Raises:
            InvalidRequestError: There is no source, or one can't be read or has no name. Nothing was sent.
            RebyteError: An upload failed; the error's `uploaded` has those that had arrived.
        """
        if not sources:
            raise InvalidRequestError("upload needs at least one source")
        check_progress(progress)
        for source in sources:
            await check(source)
        check_distinct(sources)
        async with AsyncExitStack() as stack:
            uploads = [await stack.enter_async_context(opened(source)) for source in sources]
            tally = Tally(progress, [upload.size for upload in uploads])
            for index, upload in enumerate(uploads):
                upload.progress = tally.part(index)
            await self._upload(workspace_id, uploads)
            return tuple(_uploaded(upload) for upload in uploads)

    async def upload_urls(self, workspace_id: str, files: Iterable[str | tuple[str, str]]) -> tuple[UploadUrl, ...]:
        """Ask for signed URLs, to PUT artifacts by other means.

        Args:
            workspace_id: The workspace.
            files: The names, whose media types are guessed, or pairs of a name and a media type.

        Returns:
            A URL for each, in order. The PUT must carry the same Content-Type, and no API key.
        """
        if isinstance(files, str):
            raise InvalidRequestError(f"files must be a list of names, not the string {files!r:.80}")
        wanted = await asyncio.to_thread(lambda: [_wanted(item) for item in files])
        if not wanted:
            raise InvalidRequestError("upload_urls needs at least one name")
        body = {"files": [{"name": name, "contentType": kind} for name, kind in wanted]}
        answer = await self._transport.call(endpoints.CREATE_UPLOAD_URLS, ids={"workspace_id": workspace_id}, json=body)
        targets = models.decode_items(_Target, answer.json(), _URLS, aliases={**_NAMES, "url": "uploadUrl"})
        if len(targets) != len(wanted):
            raise DecodeError(f"{len(targets)} upload URLs came for {len(wanted)} files", path="$.urls")
        by_name = {target.name: target for target in targets if target.name is not None}
        chosen = [by_name.get(name, target) for (name, _), target in zip(wanted, targets, strict=True)]
        if not all(is_private_url(target.upload_url) for target in chosen):
            raise DecodeError("an upload URL is neither https nor on this machine", path="$.urls")
        return tuple(
            UploadUrl(name=name, content_type=kind, upload_url=target.upload_url)
            for (name, kind), target in zip(wanted, chosen, strict=True)
        )

    async def delete(self, workspace_id: str, filename: str) -> None:
        """Delete an artifact.

        Args:
            workspace_id: The workspace.
            filename: The artifact's name.
        """
        ids = {"workspace_id": workspace_id, "filename": filename}
        await self._transport.call(endpoints.DELETE_ARTIFACT, ids=ids)

    async def delete_all(self, workspace_id: str) -> None:
        """Delete every artifact of a workspace.

        Args:
            workspace_id: The workspace.
        """
        await self._transport.call(endpoints.DELETE_ARTIFACTS, ids={"workspace_id": workspace_id})

    def _download(self, workspace_id: str, filename: str) -> Download:
        ids = {"workspace_id": workspace_id, "filename": filename}
        endpoints.GET_ARTIFACT.path(**ids)
        return Download(self._transport, endpoints.GET_ARTIFACT, ids)

    async def _upload(self, workspace_id: str, uploads: Sequence[Upload]) -> None:
        arrived: set[Upload] = set()
        try:
            if small := [upload for upload in uploads if upload.size < _LARGE]:
                await self._upload_small(workspace_id, small)
                arrived.update(small)
            if large := [upload for upload in uploads if upload.size >= _LARGE]:
                await self._upload_large(workspace_id, large, arrived)
        except Exception as failure:
            tell(failure, "uploaded", [_uploaded(upload) for upload in uploads if upload in arrived])
            raise

    async def _upload_small(self, workspace_id: str, uploads: Sequence[Upload]) -> None:
        form = Multipart("files", uploads)
        ids = {"workspace_id": workspace_id}
        await self._transport.upload(endpoints.UPLOAD_ARTIFACTS, form, ids=ids, content_type=form.content_type)

    async def _upload_large(self, workspace_id: str, uploads: Sequence[Upload], arrived: set[Upload]) -> None:
        async def put(upload: Upload, url: UploadUrl) -> None:
            await put_signed(self._transport, upload, url, partial(self._url_for, workspace_id, upload))
            arrived.add(upload)

        urls = await self.upload_urls(workspace_id, [(upload.name, upload.content_type) for upload in uploads])
        _, failure = await bounded([partial(put, *pair) for pair in zip(uploads, urls, strict=True)])
        if failure is not None:
            raise failure

    async def _url_for(self, workspace_id: str, upload: Upload) -> UploadUrl:
        (url,) = await self.upload_urls(workspace_id, [(upload.name, upload.content_type)])
        return url


def _target(destination: Path, filename: str) -> Path:
    return destination / safe_name(filename) if destination.is_dir() else destination


def _wanted(item: object) -> tuple[str, str]:
    match item:
        case str(name) | (str(name),) if name.strip():
            return name, guessed_type(name)
        case (str(name), str(kind)) if name.strip() and kind.strip():
            return name, kind
        case _:
            raise InvalidRequestError(f"a file must be a name, or a pair of a name and a media type, not {item!r:.80}")


def _check_absent(folder: Path, names: Iterable[str]) -> None:
    for path in (folder / safe_name(name) for name in names):
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _uploaded(upload: Upload) -> Artifact:
    return Artifact(name=upload.name, size=upload.size, content_type=upload.content_type)


def _artifact_name(artifact: Artifact) -> str:
    return artifact.name
