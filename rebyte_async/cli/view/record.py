"""One thing: its fields on a terminal or as lines with tabs, or a JSON document."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, cast

import attrs

from rebyte_async.cli.view.clean import clean
from rebyte_async.cli.view.document import as_line, shown_fields
from rebyte_async.cli.view.human import flat, human, style_of_word, when
from rebyte_async.cli.view.screens import is_screen, make_console

if TYPE_CHECKING:
    from rich.console import Console

    from rebyte_async.types.tasks import Prompt, Task
    from rebyte_async.types.webhooks import Webhook

    _Made = Task | Prompt | Webhook

__all__ = ["print_prose", "show_made", "show_record"]

_WIDEST = 100
_LONGEST = 60
"""Characters of a text that stand beside its name; a longer one, or one of several lines, stands below all."""
_PARTS = 3
"""Fields of a model within another one that are shown: the first ones tell which it is and how it is."""
_STATUSES = frozenset({"status", "visibility"})


def show_record(item: attrs.AttrsInstance, *, as_json: bool) -> None:
    """Show a model on stdout, as it fits there; fields without a value are left to JSON."""
    if as_json:
        sys.stdout.write(as_line(item) + "\n")
        return
    fields = [(name, value) for name, value in shown_fields(item) if value is not None and value != ()]
    lines, texts = _parted(fields)
    if is_screen(sys.stdout):
        _draw(make_console(sys.stdout), lines, texts)
        return
    for name, value in lines:
        sys.stdout.write(f"{name}\t{flat(value)}\n")
    for name, text in texts:
        sys.stdout.write(f"\n{name}:\n{clean(text).rstrip()}\n")


def show_made(item: _Made, style: str | None) -> None:
    """Show what was made; its id alone in the style `quiet`."""
    if style == "quiet":
        sys.stdout.write(clean(item.id) + "\n")
    else:
        show_record(item, as_json=style == "json")


def print_prose(console: Console, text: str, style: str = "") -> None:
    """Print a text of an agent, wrapped by words."""
    from rich.console import Group  # noqa: PLC0415 - it takes time, and only a terminal needs it

    from rebyte_async.cli.view.prose import Prose  # noqa: PLC0415 - likewise

    prose, width = Prose(style), max(8, min(console.width, _WIDEST))
    lines = [*prose.feed(clean(text).strip("\n") + "\n", width), *prose.finish()]
    console.print(Group(*lines), overflow="fold")


def _parted(fields: list[tuple[str, object]]) -> tuple[list[tuple[str, object]], list[tuple[str, str]]]:
    """What stands on a line each, models in it one a line, and the texts that stand below."""
    lines: list[tuple[str, object]] = []
    texts: list[tuple[str, str]] = []
    for name, value in fields:
        if isinstance(value, str) and ("\n" in value.strip() or (" " in value and len(value) > _LONGEST)):
            texts.append((name, value))
        elif isinstance(value, Mapping):
            pairs = cast("Mapping[str, object]", value).items()
            lines.append((name, tuple(f"{key}={flat(inner)}" for key, inner in pairs)))
        elif (models := _models(value)) is not None:
            lines += [(name if number == 0 else "", model) for number, model in enumerate(models)]
        else:
            lines.append((name, value))
    return [(name, _summary(value)) for name, value in lines], texts


def _models(value: object) -> tuple[attrs.AttrsInstance, ...] | None:
    """The models that a field holds, if it holds some."""
    if not isinstance(value, tuple) or not attrs.has(type(cast("tuple[object, ...]", value)[0])):
        return None
    return cast("tuple[attrs.AttrsInstance, ...]", value)


def _summary(value: object) -> object:
    """A model within another one, on one line."""
    if not attrs.has(type(value)):
        return value
    inner = [part for _, part in shown_fields(cast("attrs.AttrsInstance", value)) if part is not None]
    return tuple(inner[:_PARTS])


def _draw(console: Console, lines: list[tuple[str, object]], texts: list[tuple[str, str]]) -> None:
    from rich.text import Text  # noqa: PLC0415 - only a terminal needs it

    widest = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        shown = _shown(value)
        style = style_of_word(shown) if name in _STATUSES else ""
        # No line is broken here, so that ids and addresses stay whole when they are copied.
        console.print(Text.assemble((f"{name:<{widest}}  ", "dim"), (shown, style)), soft_wrap=True)
    for name, text in texts:
        console.print(Text(f"\n{name}", style="dim"))
        print_prose(console, text)


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, tuple):
        return "  ".join(human(part) for part in cast("tuple[object, ...]", value))
    return human(value)
