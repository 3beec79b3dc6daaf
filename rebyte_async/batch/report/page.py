"""The page: its parts put together into one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rebyte_async.batch.report.document import make_document
from rebyte_async.errors import ConfigurationError

if TYPE_CHECKING:
    from rebyte_async.batch.journal.reader import JournalReader

__all__ = ["write_report"]

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def write_report(reader: JournalReader, path: str | os.PathLike[str]) -> int:
    """Write the report on a batch: one page of HTML that needs no network, with all that was answered.

    What items and agents said stands in it as text: it can't run in a browser.

    Args:
        reader: The journal; its run may be going on.
        path: The file to write. It is whole or not there; one that is there is replaced.

    Returns:
        The page's size in bytes.

    Raises:
        ConfigurationError: The extra `report` isn't installed.
        JournalError: The journal can't be read.
        OSError: The file can't be written.
    """
    page = _page(make_document(reader)).encode(errors="replace")
    _replace(Path(path), page)
    return len(page)


def _page(document: dict[str, Any]) -> str:
    scripts = {"plotly": _plotly(), "script": _part("page.js")}
    parts = {
        "title": html.escape(f"Batch {document['journal']}"),
        "style": _part("page.css"),
        "data": _as_data(document),
        "hashes": " ".join(map(_hash, scripts.values())),
        **scripts,
    }
    return _PLACE.sub(lambda place: parts[place[1]], _part("page.html"))


def _plotly() -> str:
    """The text of plotly.js, which comes with plotly."""
    try:
        offline = import_module("plotly.offline")
    except ImportError as error:
        raise ConfigurationError(f"{error}; the report needs an extra: pip install 'rebyte-async[report]'") from error
    return str(offline.get_plotlyjs()).replace("\r\n", "\n")  # as a browser reads it, or its hash would be another one


def _part(name: str) -> str:
    return files("rebyte_async.batch.report").joinpath(name).read_text("utf-8")


def _as_data(document: dict[str, Any]) -> str:
    """JSON that can stand in a script element: nothing in it can end the element, or begin another one."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(script: str) -> str:
    """By what the page's policy allows a script, and none but that."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _replace(path: Path, content: bytes) -> None:
    path = path.resolve()
    if path.exists() and not path.is_file():  # a pipe and the like, which nothing can take the place of
        path.write_bytes(content)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
