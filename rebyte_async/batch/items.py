"""What a batch is made of: a prompt with a key of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeGuard, cast

from attrs import Attribute, fields, frozen

from rebyte_async._wire import json
from rebyte_async.batch.journal.records import NewItem
from rebyte_async.errors import BatchError, InvalidRequestError
from rebyte_async.resources.arguments import prompt_text
from rebyte_async.resources.options import TaskOptions
from rebyte_async.types.files import FileRef

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from typing import IO

    from rebyte_async.resources.sources import Attachment, Source

__all__ = ["BatchItem", "intake_of", "plain_prompt", "prompt_hash", "read_jsonl"]

_LONGEST_KEY = 500
_LINES_AT_ONCE = 256
_PAIR = 2


def _key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise InvalidRequestError(f"key must be a string that isn't empty, not {key!r:.80}")
    if len(key) > _LONGEST_KEY:
        raise InvalidRequestError(f"key must have at most {_LONGEST_KEY} characters, not {len(key):,}")
    return key


def _put_positional_first(_: type, attributes: list[Attribute[Any]]) -> list[Attribute[Any]]:
    return sorted(attributes, key=lambda attribute: attribute.kw_only)


@frozen(field_transformer=_put_positional_first)
class BatchItem(TaskOptions):
    """One task of a batch, under a key that tells it apart from the others.

        BatchItem("row-17", "Summarise the attached report", files=["reports/17.pdf"])

    The same key must always mean the same task: a resumed run takes the stored outcome of a key that it knows, and
    refuses one whose prompt or anything else has changed.

    All that follows the prompt is a keyword, as in `client.tasks.create`: `CreateOptions` lists them. `workspace_id`
    doesn't go together with the runner's `workspaces`. `files` are uploaded when the item is started; one that can be
    read only once, such as an async iterable, is good for one try.

    Raises:
        InvalidRequestError: An argument can't be right.
    """

    key: str
    """Its name within the batch, at most 500 characters."""
    prompt: str
    """What to do, at most 100,000 characters."""

    def __attrs_post_init__(self) -> None:
        _key(self.key)
        prompt_text(self.prompt)

    @classmethod
    def from_json(cls, document: object) -> Self:
        """Make an item from a JSON object with the fields of this class.

        `files` has paths, `{"id": …, "filename": …}` for what was uploaded before, or `{"name": …, "path": …}` for a
        file that shall have another name.

        Args:
            document: The decoded object.

        Raises:
            InvalidRequestError: It is no object, a field is unknown or missing, or a value can't be right.
        """
        if not isinstance(document, Mapping):
            raise InvalidRequestError(f"an item must be a JSON object, not {type(document).__name__}")
        given = dict(cast("Mapping[str, Any]", document))
        if unknown := sorted(str(name) for name in given.keys() - _NAMES.keys()):
            raise InvalidRequestError(f"an item has no {', '.join(unknown)}; it has {', '.join(_NAMES)}")
        if missing := [name for name in ("key", "prompt") if name not in given]:
            raise InvalidRequestError(f"an item needs {' and '.join(missing)}")
        if not isinstance(files := given.get("files") or [], list):
            raise InvalidRequestError(f"files must be a list, not {_kind(files)}")
        given["files"] = [_file_of(value) for value in cast("list[object]", files)]
        given["skills"] = given.get("skills") or []
        return cls(given.pop("key"), given.pop("prompt"), **given)

    def as_json(self) -> dict[str, Any]:
        """The item as `from_json` takes it, without what isn't set.

        A source that is neither a path nor uploaded can't be written down: its name and type stand for it.
        """
        document: dict[str, Any] = {}
        for name in _NAMES:
            value: Any = getattr(self, name)
            if name == "files":
                value = [_shown_file(file) for file in self.files]
            elif name == "skills":
                value = list(self.skills)
            if value is not None and value != []:
                document[name] = value
        return document


_NAMES = {item.name: item for item in fields(BatchItem)}


def _file_of(value: object) -> Attachment:
    if isinstance(value, str):
        return value
    given = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    match given:
        case {"id": str(id_), "filename": str(filename)} if len(given) == _PAIR:
            return FileRef(id_, filename)
        case {"name": str(name), "path": str(path)} if len(given) == _PAIR:
            return (name, path)
        case _:
            raise InvalidRequestError(
                'a file must be a path, {"id": …, "filename": …} or {"name": …, "path": …}, not ' + f"{value!r:.80}"
            )


def _shown_file(file: Attachment) -> object:
    if isinstance(file, FileRef):
        return {"id": file.id, "filename": file.filename}
    if isinstance(file, tuple):
        name, source = file
        return {"name": name, "path": os.fspath(source)} if _is_path(source) else _stand_in(name, source)
    return os.fspath(file) if _is_path(file) else _stand_in(str(getattr(file, "name", "")), file)


def _is_path(source: Source) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(source, str | os.PathLike)


def _kind(value: object) -> str:
    return type(value).__name__


def _stand_in(name: str, source: object) -> object:
    return {"name": name, "source": _kind(source)}


def intake_of(item: BatchItem) -> NewItem:
    """What is written down of an item.

    Raises:
        InvalidRequestError: Its `extra` can't be written as JSON.
    """
    document = item.as_json()
    try:
        request = json.plain_dumps(document)
        asked = {name: value for name, value in document.items() if name != "key"}
        fingerprint = hashlib.sha256(json.plain_dumps(_in_order(asked))).digest()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the item {item.key!r:.80} can't be written as JSON: {error}") from error
    return NewItem(item.key, fingerprint, request.decode(), prompt_hash(item.prompt))


def _in_order(value: Any) -> Any:
    """The same document with the names of its objects in order, so that it always has the same bytes."""
    if isinstance(value, Mapping):
        return {name: _in_order(inner) for name, inner in sorted(cast("Mapping[str, Any]", value).items())}
    return [_in_order(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value  # type: ignore[redundant-cast]


def plain_prompt(prompt: str) -> str:
    """A prompt without what the service may change: it may turn line ends, and trim it."""
    return re.sub(r"\r\n?", "\n", prompt).strip()


def prompt_hash(prompt: str) -> bytes:
    """What a prompt is compared by."""
    return hashlib.sha256(plain_prompt(prompt).encode("utf-8", "surrogatepass")).digest()


async def read_jsonl(path: str | Path) -> AsyncGenerator[BatchItem]:
    """Read items from a file with a JSON object on each line, as they are asked for.

    Args:
        path: The file, in UTF-8. Empty lines, and a mark of the byte order at its beginning, are passed over.

    Yields:
        The items, as `BatchItem.from_json` makes them.

    Raises:
        BatchError: The file can't be read, or a line is no item; the error names the line.
    """
    try:
        file = await asyncio.to_thread(open, path, "rb")
    except OSError as error:
        raise BatchError(f"can't read {path}: {error.strerror or error}") from error
    try:
        number = 0
        while lines := await asyncio.to_thread(_lines, file):
            for line in lines:
                number += 1
                text = line if number > 1 else line.removeprefix(BOM_UTF8)
                if text.strip():
                    yield _item_of(text, f"{path}, line {number}")
    finally:
        file.close()


def _lines(file: IO[bytes]) -> list[bytes]:
    return list(islice(file, _LINES_AT_ONCE))


def _item_of(line: bytes, where: str) -> BatchItem:
    try:
        return BatchItem.from_json(json.loads(line))
    except InvalidRequestError as error:
        raise BatchError(f"{where}: {error.message}") from error
    except ValueError as error:
        raise BatchError(f"{where}: this is no JSON object: {error}") from error
