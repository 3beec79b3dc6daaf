"""A page as a browser shows it, for tests, which are skipped if there is no browser."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from attrs import define, field

__all__ = ["QUIET", "Seen", "find_browser", "open_page"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1300,1000",
)
"""The options of a browser without a screen, which leaves the network and the machine alone."""
_AT_ONCE = ("--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom")
_VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "base", "source", "embed"})


def find_browser() -> str:
    """Return the browser's program; the test is skipped if there is none."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip(f"there is no browser to look at the page with: none of {', '.join(_NAMES)}")
    return browser


def open_page(page: Path, *, at: str = "", profile: Path) -> Seen:
    """Open a page, and let its scripts run.

    Args:
        page: The file.
        at: The fragment of the address, after the `#`.
        profile: A folder for the files of the browser.
    """
    address = f"{page.as_uri()}#{at}"
    # Well within the time limit of the test, whatever the size of the page.
    done = subprocess.run(
        [find_browser(), *QUIET, *_AT_ONCE, f"--user-data-dir={profile}", address],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    seen = Seen([line for line in done.stderr.splitlines() if ":CONSOLE" in line])
    seen.feed(done.stdout)
    return seen


@define(eq=False)
class _Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@define(eq=False)
class Seen(HTMLParser):
    """A page after its scripts have run."""

    console: list[str]
    """The browser's complaints, such as that a script failed or was refused."""
    tags: Counter[str] = field(factory=Counter[str], init=False)
    """How many elements there are of each kind."""
    attributes: set[str] = field(factory=set[str], init=False)
    """The names of all attributes."""
    _open: list[_Element] = field(factory=list[_Element], init=False)
    _all: list[_Element] = field(factory=list[_Element], init=False)

    def __attrs_post_init__(self) -> None:
        HTMLParser.__init__(self)

    def texts(self, name: str) -> list[str]:
        """Return the text of each element with this id, class or tag, without that of scripts."""
        return [
            " ".join(element.text.split())
            for element in self._all
            if name in {element.tag, element.attributes.get("id"), *(element.attributes.get("class") or "").split()}
        ]

    def text(self, name: str) -> str:
        """Return the text of the only element with this id, class or tag."""
        (text,) = self.texts(name)
        return text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = _Element(tag, dict(attrs))
        self.tags[tag] += 1
        self.attributes |= element.attributes.keys()
        self._all.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].tag not in {"script", "style"}:
            for element in self._open:
                element.text += data
