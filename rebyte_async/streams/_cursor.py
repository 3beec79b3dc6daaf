"""Cursors: which events of a turn were delivered, as a short string from which another stream resumes.

A cursor is safe in URLs, headers, file names and JSON, and doesn't grow with the turn: it has about 100 characters
where the prompt's id is a UUID, as the service's are, and 52 more for each sub-prompt. From left to right, with dots
between: a version, a checksum of the task's id, the prompt or a digest of a long one, what was delivered of the turn
and of each sub-prompt, and a checksum of it all.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from rebyte_async.errors import InvalidRequestError
from rebyte_async.streams._digest import EMPTY, SetDigest

_VERSION = "2"
_MAX_PROMPT_ID = 80  # characters of a prompt id as a cursor writes it; the vendor's are UUIDs
_LONG = "long-"  # before the digest of a longer one
_PLAIN = re.compile(r"[A-Za-z0-9_-]*")
_DIGEST = re.compile(r"([\w-]{11})?~([0-9]{1,19})~([\w-]{31})", re.ASCII)


class CursorPosition(NamedTuple):
    """What a cursor says."""

    prompt_id: str | None
    own: SetDigest = EMPTY  # what was delivered of the turn itself
    of_sub_prompts: Mapping[str, SetDigest] = {}  # and of each sub-prompt, by the hash of its id


def write_cursor(task_id: str, position: CursorPosition) -> str:
    digests = (
        f"{name}~{digest.size}~{_encode(digest.pack())}"
        for name, digest in [("", position.own), *position.of_sub_prompts.items()]
    )
    head = ".".join((_VERSION, _checksum(task_id), _write_prompt_id(position.prompt_id), *digests))
    return f"{head}.{_checksum(head)}"


def read_cursor(task_id: str, cursor: str) -> CursorPosition:
    """Read a cursor, unless it isn't one of this version, is damaged, or is of another task (`InvalidRequestError`)."""
    head, _, check = str(cursor).rpartition(".")
    version, *parts = head.split(".")
    if check != _checksum(head):
        raise _damaged()
    if version != _VERSION:
        message = "after is the cursor of another version of this package: leave it out, and read from the beginning"
        raise InvalidRequestError(message)
    if parts[:1] != [_checksum(task_id)]:
        raise InvalidRequestError(f"after is the cursor of another task's stream, not of {task_id!r:.80}")
    try:
        _, prompt, *digests = parts
        found = dict(map(_read_digest, digests))
        return CursorPosition(_read_prompt_id(prompt), found.pop(""), found)
    except (ValueError, KeyError) as error:
        raise _damaged() from error


def hash_sub_prompt(prompt_id: str) -> str:
    """Return 11 characters by which a cursor knows a sub-prompt, whatever the length of its id."""
    return _encode(blake2b(prompt_id.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def shorten_prompt_id(prompt_id: str) -> str:
    """Return the prompt id, or a digest in its place that takes no more than its share of a cursor."""
    if len(_write_plainly(prompt_id)) <= _MAX_PROMPT_ID:
        return prompt_id
    return _LONG + _encode(blake2b(prompt_id.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _damaged() -> InvalidRequestError:
    return InvalidRequestError("after must be the cursor of a stream of this package, unchanged")


def _read_digest(text: str) -> tuple[str, SetDigest]:
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise ValueError("not a digest")
    name, size, sums = found.groups("")
    return name, SetDigest.unpack(int(size), _decode(sums))


def _write_prompt_id(prompt_id: str | None) -> str:
    return "" if prompt_id is None else _write_plainly(shorten_prompt_id(prompt_id))


def _write_plainly(prompt_id: str) -> str:
    """Write a prompt id as it is where that is safe; the first letter distinguishes an empty one from none."""
    if _PLAIN.fullmatch(prompt_id):
        return f"p{prompt_id}"
    return "b" + _encode(prompt_id.encode("utf-8", "surrogatepass"))


def _read_prompt_id(text: str) -> str | None:
    if not text.startswith("b"):
        return text[1:] if text else None
    return _decode(text[1:]).decode("utf-8", "surrogatepass")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(f"{text}==")  # at least as much padding as is missing; more is ignored


def _checksum(text: str) -> str:
    return f"{crc32(text.encode('utf-8', 'surrogatepass')):08x}"
