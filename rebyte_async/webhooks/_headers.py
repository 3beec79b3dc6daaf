"""The headers of a delivery, parsed from whatever form a server gives them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias, cast

from attrs import field, frozen

from rebyte_async.errors import ConfigurationError, SignatureMismatchError

RawHeaders: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers as a mapping (aiohttp's, Starlette's, Django's, a dict), or as pairs (as in an ASGI scope)."""


@frozen
class HeaderValue:
    """The value of a header, as the bytes that it may have been on the wire.

    Servers decode headers differently: aiohttp as UTF-8, Starlette as Latin-1. The bytes of both encodings are kept, so
    that a secret outside of ASCII is recognized either way.
    """

    encodings: tuple[bytes, ...] = field(repr=False)
    """The possible bytes. Not in the repr: the value may be a secret."""

    @property
    def text(self) -> str:
        """The value as text; bytes outside of ASCII become U+FFFD, which no signature has."""
        return self.encodings[0].decode("ascii", "replace").strip(" \t")


@frozen(eq=False)
class Headers(Mapping[str, str]):
    """Parsed headers, to look up by name in any case. As a mapping they are text, the values of one name joined."""

    _values: Mapping[str, list[HeaderValue]] = field(repr=False)

    @classmethod
    def parse(cls, headers: object) -> Headers:
        """Parse headers in any of the forms of `RawHeaders`; parsed ones are returned as they are."""
        if isinstance(headers, Headers):
            return headers
        values: dict[str, list[HeaderValue]] = {}
        for name, value in _iterate_pairs(headers):
            values.setdefault(name, []).append(value)
        return cls(values)

    def __getitem__(self, name: str) -> str:
        return ", ".join(value.text for value in self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_single(self, name: str) -> HeaderValue | None:
        """Return the value of a header; None where it is missing. It must not have several values."""
        values = dict.fromkeys(self._values.get(name.lower(), ()))
        if len(values) > 1:
            raise SignatureMismatchError(f"the header {name} occurs {len(values)} times with different values")
        return next(iter(values), None)

    def get_texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a header, as text."""
        return tuple(value.text for value in self._values.get(name.lower(), ()))


def _iterate_pairs(headers: object) -> Iterable[tuple[str, HeaderValue]]:
    items = getattr(headers, "items", None)
    pairs = items() if callable(items) else headers
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        kind = type(headers).__name__
        raise ConfigurationError(f"headers must be a mapping, or pairs of names and values, not {kind}")
    for pair in cast("Iterable[object]", pairs):
        if not isinstance(pair, tuple | list) or len(cast("list[object]", pair)) != 2:  # noqa: PLR2004 - a pair
            raise ConfigurationError("headers must be pairs of names and values, and one of them isn't")
        name, value = cast("tuple[object, object]", pair)
        if not isinstance(name, str | bytes) or not isinstance(value, str | bytes):
            kinds = f"{type(name).__name__} and {type(value).__name__}"
            raise ConfigurationError(f"the name and the value of a header must be str or bytes, not {kinds}")
        text = name if isinstance(name, str) else name.decode("latin-1")
        yield text.lower(), HeaderValue(_encode_value(value))


def _encode_value(value: str | bytes) -> tuple[bytes, ...]:
    """Return the bytes that a value may have been on the wire."""
    if isinstance(value, bytes):
        return (value,)
    encodings: list[bytes] = []
    for encoding, errors in (("utf-8", "surrogateescape"), ("latin-1", "strict")):
        with suppress(UnicodeEncodeError):
            encodings.append(value.encode(encoding, errors))
    return tuple(dict.fromkeys(encodings)) or (b"?",)
