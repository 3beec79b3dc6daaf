"""The questions that an agent asks, their options, and the answers to them.

*Source*: contract §4, observed; answers: contract §3, observed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from attrs import field, frozen

from rebyte_async.types.values import Value


@frozen(repr=False)
class QuestionOption(Value):
    """One of the answers that a question offers."""

    label: str
    """The answer."""
    description: str | None = None
    """What choosing this answer means. None when absent."""
    _index: int | None = field(default=None, kw_only=True, eq=False, repr=False)
    # Its place in the server's list, which answers name: entries before it may have been left out. None where the
    # application made it: then it is the place in `options`.


OptionChoice: TypeAlias = int | str | QuestionOption
"""How an answer names an option: by its place in `options`, from 0; by its label; or by the option itself."""


@frozen(repr=False)
class Question(Value):
    """One question of an agent, which may ask several at once."""

    question: str
    """The question. Empty where the server's entry has none that can be read."""
    options: tuple[QuestionOption, ...] = ()
    """The answers to choose from, in order. Entries of the server that can't be read are left out."""
    multi_select: bool = False
    """True when several may be chosen."""

    def index_of(self, option: OptionChoice) -> int | None:
        """Return the index by which an answer names an option to the server.

        Args:
            option: Its place in `options`, from 0; its label; or the option itself.

        Returns:
            The index in the server's list. It is the place in `options`, unless an entry before it couldn't be read.
            None if the question has no such option.
        """
        if isinstance(option, str):
            position = next((place for place, each in enumerate(self.options) if each.label == option), -1)
        elif isinstance(option, QuestionOption):
            position = self.options.index(option) if option in self.options else -1
        else:
            position = -1 if type(option) is not int else option
        if not 0 <= position < len(self.options):
            return None
        index = self.options[position]._index  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of this module
        return position if index is None else index


def _to_choices(options: OptionChoice | Iterable[OptionChoice]) -> tuple[OptionChoice, ...]:
    return (options,) if isinstance(options, int | str | QuestionOption) else tuple(options)


@frozen(repr=False)
class QuestionAnswer(Value):
    """The user's answer to one question: options, text, or both."""

    options: tuple[OptionChoice, ...] = field(default=(), converter=_to_choices)
    """The chosen options, each by its place in the question's `options`, by its label, or as it is."""
    text: str | None = None
    """An answer in the user's own words. None when there is none."""
