"""No create flies with a prompt text of which another create is in doubt."""

from __future__ import annotations

import asyncio

from attrs import define, field

__all__ = ["Texts"]


@define
class _Text:
    flying: int = 0
    doubted: int = 0


@define(eq=False)
class Texts:
    """Counts creates by the hash of their prompt's text: those under way, and those in doubt.

    A task that turns up while one of its text is in doubt must be the doubted create's, so no other may be under way.
    """

    _texts: dict[bytes, _Text] = field(factory=dict[bytes, _Text], init=False)
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    def is_clear(self, text: bytes) -> bool:
        """Whether a create of this text may be sent."""
        return text not in self._texts or self._texts[text].doubted == 0

    def has_landed(self, text: bytes, doubts: int) -> bool:
        """Whether no create of this text is under way, and so many are all that are in doubt."""
        entry = self._texts.get(text, _Text())
        return entry.flying == 0 and entry.doubted == doubts

    async def clear(self, text: bytes) -> None:
        """Wait until a create of this text may be sent."""
        while not self.is_clear(text):
            await self.change()

    async def change(self) -> None:
        """Wait until something has changed."""
        self._changed.clear()
        await self._changed.wait()

    def touch(self) -> None:
        """Have whoever waits for a change look."""
        self._changed.set()

    def start(self, text: bytes) -> None:
        """A create is sent."""
        self._texts.setdefault(text, _Text()).flying += 1

    def land(self, text: bytes, *, in_doubt: bool) -> None:
        """A create has come to its end, or its fate is in doubt."""
        self._texts[text].flying -= 1
        self._texts[text].doubted += in_doubt
        self._tidy(text)

    def settle(self, text: bytes) -> None:
        """The fate of a create is known."""
        self._texts[text].doubted -= 1
        self._tidy(text)

    def _tidy(self, text: bytes) -> None:
        entry = self._texts[text]
        if entry.flying == entry.doubted == 0:
            del self._texts[text]
        self._changed.set()
