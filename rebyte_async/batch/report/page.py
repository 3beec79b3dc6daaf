"""The page of a report: its parts in one file that loads nothing."""

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
from typing import Any

from rebyte_async._atomic import write_file
from rebyte_async.batch.journal.reader import JournalReader
from rebyte_async.batch.report.document import make_document
from rebyte_async.errors import ConfigurationError

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def write_report(reader: JournalReader, path: str | os.PathLike[str]) -> int:
    """Write the report on a batch: one page of HTML that needs no network, with every final result.

    The page holds the words of items and agents as text: none of them runs in a browser.

    Args:
        reader: The journal; its run may be under way.
        path: The file to write, whole or not at all. A file that exists is replaced.

    Returns:
        The page's size in bytes.

    Raises:
        ConfigurationError: The extra `report` isn't installed.
        JournalError: The journal can't be read.
        OSError: The file can't be written.
    """
    page = _build_page(make_document(reader)).encode(errors="replace")
    write_file(Path(path), [page])
    return len(page)


def _build_page(document: dict[str, Any]) -> str:
    scripts = {"plotly": _read_plotly(), "script": _read_part("page.js")}
    parts = {
        "title": html.escape(f"Batch {document['journal']}"),
        "style": _read_part("page.css"),
        "data": _to_script_data(document),
        "hashes": " ".join(map(_policy_hash, scripts.values())),
        **scripts,
    }
    return _PLACE.sub(lambda place: parts[place[1]], _read_part("page.html"))


def _read_plotly() -> str:
    """Return the source of plotly.js, which is part of the package plotly."""
    try:
        offline = import_module("plotly.offline")
    except ImportError as error:
        raise ConfigurationError(f"{error}; the report needs an extra: pip install 'rebyte-async[report]'") from error
    return str(offline.get_plotlyjs()).replace("\r\n", "\n")  # as a browser reads it, or its hash would be another one


def _read_part(name: str) -> str:
    return files("rebyte_async.batch.report").joinpath(name).read_text("utf-8")


def _to_script_data(document: dict[str, Any]) -> str:
    """Return JSON for a script element: nothing in it can end the element or start another one."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _policy_hash(script: str) -> str:
    """Return the hash by which the page's content security policy allows exactly this script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
