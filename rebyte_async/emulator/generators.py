"""Names for what the emulated service makes: random, or counted so that every run has the same ones."""

from __future__ import annotations

import secrets
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator


@define
class IdGenerator:
    """Makes ids and tokens."""

    deterministic: bool = False
    _numbers: Iterator[int] = field(factory=lambda: count(1), init=False)

    def uuid(self) -> str:
        """An id in the shape of a random UUID."""
        if not self.deterministic:
            return str(uuid4())
        number = next(self._numbers)
        return f"{number:08x}-0000-4000-8000-{number:012x}"

    def token(self, prefix: str) -> str:
        """A name that begins with `prefix`: an API key, a tool exchange, a signature."""
        if not self.deterministic:
            return prefix + secrets.token_hex(12)
        return f"{prefix}{next(self._numbers):024x}"
