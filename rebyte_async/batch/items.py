"""The items of a batch: made by code or read from a file, and written as the journal keeps them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self, cast

from attrs import evolve, field, fields, frozen

from rebyte_async._validate import text
from rebyte_async._wire import json
from rebyte_async.batch.journal.records import NewItem
from rebyte_async.batch.tables import describe_json_error
from rebyte_async.errors import BatchError, InvalidRequestError
from rebyte_async.resources.options import TaskOptions, check_prompt
from rebyte_async.types.files import Attachment, FileRef

_LONGEST_KEY = 500
_LINES_PER_READ = 256
NOT_SENT = ("key", "metadata")
"""The fields of an item that its task doesn't have."""


def _check_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(metadata, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"metadata must be a mapping of JSON values, not {type(metadata).__name__}")
    for name in cast("Mapping[object, Any]", metadata):
        if not isinstance(name, str):
            raise InvalidRequestError(f"metadata must have names that are strings, not {name!r:.80}")
    return dict(metadata)


@frozen(field_transformer=lambda _, attributes: sorted(attributes, key=lambda each: each.kw_only))  # positional first
class BatchItem(TaskOptions):
    """One task of a batch, under a key that identifies it.

        BatchItem("row-17", "Summarise the attached report", files=["reports/17.pdf"])

    The same key must always mean the same task: a resumed run takes the stored outcome of a key that it knows, and
    refuses one whose prompt or anything else has changed.

    All that follows the prompt is a keyword, as in `client.tasks.create`: `CreateOptions` lists them. `workspace_id`
    doesn't go together with the runner's `workspaces`. `files` are uploaded when the item is started; one that can be
    read only once, such as an async iterable, is good for one try.

    `metadata` is the application's own, isn't sent, and comes back with the outcome. It is no part of what the item
    asks for: an item whose metadata alone has changed is the same item, and the journal takes the new metadata.

    Raises:
        InvalidRequestError: An argument can't be right.
    """

    key: str
    """Its name within the batch, at most 500 characters."""
    prompt: str
    """What to do, at most 100,000 characters."""
    metadata: Mapping[str, Any] = field(factory=dict[str, Any], kw_only=True, hash=False, converter=_check_metadata)
    """What is known of the item besides, such as the other columns of its row: JSON values by their names."""
    origin: str | None = field(default=None, kw_only=True, eq=False, repr=False)
    """Where the item was read, such as `rows.csv, line 17`, for errors about it. The journal doesn't have it."""

    def __attrs_post_init__(self) -> None:
        text("key", self.key, longest=_LONGEST_KEY)
        check_prompt(self.prompt)

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Make an item from a JSON object with the fields of this class.

        `files` has paths, `{"id": …, "filename": …}` for an uploaded file, or `{"name": …, "path": …}` for a file that
        gets another name.

        Args:
            document: The decoded object.

        Raises:
            InvalidRequestError: It is no object, a field is unknown or missing, or a value can't be right.
        """
        if not isinstance(document, Mapping):
            raise InvalidRequestError(f"an item must be a JSON object, not {type(document).__name__}")
        given = dict(cast("Mapping[str, Any]", document))
        if unknown := sorted(str(name) for name in given.keys() - set(_NAMES)):
            raise InvalidRequestError(f"an item has no {', '.join(unknown)}; it has {', '.join(_NAMES)}")
        if missing := [name for name in ("key", "prompt") if name not in given]:
            raise InvalidRequestError(f"an item needs {' and '.join(missing)}")
        if not isinstance(files := given.get("files") or [], list):
            raise InvalidRequestError(f"files must be a list, not {type(files).__name__}")
        given["files"] = [_parse_file(value) for value in cast("list[object]", files)]
        given["skills"] = given.get("skills") or []
        given["metadata"] = {} if given.get("metadata") is None else given["metadata"]
        return cls(given.pop("key"), given.pop("prompt"), **given)

    def as_json(self) -> dict[str, Any]:
        """Return the item as `from_json` takes it, without what isn't set.

        An upload source that is neither a path nor an uploaded file can't be written as JSON: its name and type are
        given in its place.
        """
        document: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        document |= {"files": [_describe_file(file) for file in self.files], "skills": list(self.skills)}
        document["metadata"] = dict(self.metadata) or None
        return {name: value for name, value in document.items() if value is not None and value != []}


_NAMES = [item.name for item in fields(BatchItem) if item.name != "origin"]


def _parse_file(value: object) -> Attachment:
    if isinstance(value, str):
        return value
    match cast("dict[str, object]", value) if isinstance(value, dict) else {}:
        case {"id": str(id_), "filename": str(filename), **more} if not more:
            return FileRef(id_, filename)
        case {"name": str(name), "path": str(path), **more} if not more:
            return (name, path)
        case _:
            raise InvalidRequestError(
                'a file must be a path, {"id": …, "filename": …} or {"name": …, "path": …}, not ' + f"{value!r:.80}"
            )


def _describe_file(file: Attachment) -> object:
    if isinstance(file, FileRef):
        return {"id": file.id, "filename": file.filename}
    name, source = file if isinstance(file, tuple) else (str(getattr(file, "name", "")), file)
    if not isinstance(source, str | os.PathLike):
        return {"name": name, "source": type(source).__name__}
    path = os.fspath(source)
    return {"name": name, "path": path} if isinstance(file, tuple) else path


def to_new_item(item: BatchItem) -> NewItem:
    """Return an item as the journal keeps it; raise InvalidRequestError if its `extra` can't be written as JSON."""
    document = item.as_json()
    try:
        request = json.dumps(document)
        fingerprint = hash_document(document, without=NOT_SENT)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the item {item.key!r:.80} can't be written as JSON: {error}") from error
    return NewItem(item.key, fingerprint, request.decode(), prompt_hash(item.prompt))


def hash_document(document: Mapping[str, Any], *, without: Collection[str]) -> bytes:
    """Hash what an item asks for, or the part of it without some names; the order of names doesn't count."""
    part = {name: value for name, value in document.items() if name not in without}
    return hashlib.sha256(json.dumps(_sort_names(part))).digest()


def _sort_names(value: Any) -> Any:
    """Sort the names of all objects in a document, so that equal documents have the same bytes."""
    if isinstance(value, Mapping):
        return {name: _sort_names(inner) for name, inner in sorted(cast("Mapping[str, Any]", value).items())}
    return [_sort_names(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value  # type: ignore[redundant-cast]


def plain_prompt(prompt: str) -> str:
    """Return a prompt without what the service may change: it may convert line ends, and trim white space."""
    return re.sub(r"\r\n?", "\n", prompt).strip()


def prompt_hash(prompt: str) -> bytes:
    return hashlib.sha256(plain_prompt(prompt).encode("utf-8", "surrogatepass")).digest()


async def read_jsonl(path: str | Path) -> AsyncGenerator[BatchItem]:
    """Read items lazily from a file with one JSON object on each line.

    Args:
        path: The file, in UTF-8. Empty lines, and a byte order mark at the start, are skipped.

    Yields:
        The items, as `BatchItem.from_json` makes them.

    Raises:
        BatchError: The file can't be read, or a line is not an item; the error names the line.
    """
    try:
        file = await asyncio.to_thread(open, path, "rb")
    except OSError as error:
        raise BatchError(f"can't read {path}: {error.strerror or error}") from error
    try:
        first = 1
        while lines := await asyncio.to_thread(lambda: list(islice(file, _LINES_PER_READ))):
            for item in _parse_lines(lines, f"{path}", first):
                yield item
            first += len(lines)
    finally:
        file.close()


def parse_jsonl(lines: Iterable[bytes], *, name: str = "the items") -> Iterator[BatchItem]:
    """Make items of lines of JSON as they come, such as those of `sys.stdin.buffer`.

    Args:
        lines: The lines, in UTF-8. Empty lines, and a byte order mark at the start, are skipped.
        name: What errors call the source of the lines.

    Yields:
        The items, as `BatchItem.from_json` makes them.

    Raises:
        BatchError: A line is not an item; the error names the line.
    """
    return _parse_lines(lines, name, 1)


def _parse_lines(lines: Iterable[bytes], name: str, first: int) -> Iterator[BatchItem]:
    for number, line in enumerate(lines, first):
        content = line if number > 1 else line.removeprefix(BOM_UTF8)
        if content.strip():
            yield _parse_line(content, f"{name}, line {number}")


def _parse_line(line: bytes, where: str) -> BatchItem:
    try:
        return evolve(BatchItem.from_json(json.loads(line.decode())), origin=where)
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{line[error.start]:02x}"
        raise BatchError(f"{where}: this isn't UTF-8 ({wrong}): convert the file, or its text would be lost") from error
    except InvalidRequestError as error:
        raise BatchError(f"{where}: {error.message}") from error
    except ValueError as error:
        raise BatchError(f"{where}: this is no JSON object: {describe_json_error(error)}") from error
