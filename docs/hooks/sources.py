"""The pages are also in the site as they were written, for coding agents: `llms.txt` links to them.

Those of the reference are left out: they are made from docstrings.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig


def on_post_build(config: MkDocsConfig, **_: object) -> None:
    """Copy the Markdown of each page that was written beside the pages."""
    docs, site = Path(config.docs_dir), Path(config.site_dir)
    for page in docs.rglob("*.md"):
        if page.parent.name != "reference":
            shutil.copyfile(page, site / page.relative_to(docs))
