"""The README as PyPI shows it: there, a link into the repository needs the whole address. Hatchling runs this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


class WholeAddresses(MetadataHookInterface):
    """Puts the address of the repository in front of each relative link."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README."""
        repository = metadata["urls"]["Repository"]
        text = Path(self.root, "README.md").read_text(encoding="utf-8")

        def complete(found: re.Match[str]) -> str:
            mark, words, path = found.groups()
            return f"{mark}[{words}]({repository}/{'raw' if mark else 'blob'}/main/{path})"

        metadata["readme"] = {"content-type": "text/markdown", "text": _LINK.sub(complete, text)}
