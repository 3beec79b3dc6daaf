"""Mermaid draws the diagrams from a copy in the site, not from a server of others."""

from importlib.util import find_spec
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

_SCRIPT = "assets/mermaid.min.js"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add mermaid to the site; the package sphinx-immaterial ships it, and nothing else of that package is used."""
    spec = find_spec("sphinx_immaterial")
    if spec is None or spec.origin is None:
        message = "the package sphinx-immaterial is not installed: install the dependency group docs"
        raise RuntimeError(message)
    source = Path(spec.origin).with_name("bundles") / "mermaid" / "mermaid.min.js"
    files.append(File.generated(config, _SCRIPT, abs_src_path=str(source)))
    return files


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Load mermaid in the pages that have a diagram: where it isn't loaded, the theme fetches it from a CDN."""
    if 'class="mermaid"' not in html:
        return html
    return f'{html}\n<script src="{get_relative_url(_SCRIPT, page.url)}"></script>\n'
