"""The headers of a delivery, from whatever a server gives them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

from attrs import field, frozen

from rebyte_async.errors import ConfigurationError, SignatureMismatchError

__all__ = ["HeaderBag", "HeaderValue", "Headers"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers as a mapping (aiohttp's, Starlette's, Django's, a dict), or as pairs (those of an ASGI scope)."""


@frozen
class HeaderValue:
    """A value, as the bytes that it can have been on the wire.

    Servers decode headers each in their way: aiohttp as UTF-8, Starlette as Latin-1. Both readings are kept, so that a
    secret outside of ASCII is recognized either way.
    """

    readings: tuple[bytes, ...] = field(repr=False)
    """One of them may be a secret."""

    @property
    def text(self) -> str:
        """The value, where it is ASCII; what isn't is replaced by what no signature has."""
        return self.readings[0].decode("ascii", "replace").strip(" \t")


@frozen
class HeaderBag:
    """Headers by name, whatever their case."""

    _values: Mapping[str, tuple[HeaderValue, ...]] = field(repr=False)

    @classmethod
    def of(cls, headers: object) -> HeaderBag:
        """Read headers.

        Raises:
            ConfigurationError: They aren't headers at all.
        """
        values: dict[str, tuple[HeaderValue, ...]] = {}
        for name, value in _pairs(headers):
            values[name] = (*values.get(name, ()), value)
        return cls(values)

    def one(self, name: str) -> HeaderValue | None:
        """The value of a header; None where there is none.

        Raises:
            SignatureMismatchError: It stands there several times with different values: which one would count?
        """
        found = dict.fromkeys(self._values.get(name.lower(), ()))
        if len(found) > 1:
            raise SignatureMismatchError(f"the header {name} stands there {len(found)} times with different values")
        return next(iter(found), None)

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a header, as text."""
        return tuple(value.text for value in self._values.get(name.lower(), ()))


def _pairs(headers: object) -> Iterable[tuple[str, HeaderValue]]:
    items = getattr(headers, "items", None)
    pairs = items() if callable(items) else headers
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise ConfigurationError(f"headers must be a mapping, or pairs of names and values, not {_kind(headers)}")
    for pair in cast("Iterable[object]", pairs):
        if not isinstance(pair, tuple | list) or len(cast("list[object]", pair)) != 2:  # noqa: PLR2004 - a pair
            raise ConfigurationError("headers must be pairs of names and values, and one of them isn't")
        name, value = cast("tuple[object, object]", pair)
        yield _name(name), _value(value)


def _name(name: object) -> str:
    if isinstance(name, bytes):
        return name.decode("latin-1").lower()
    if isinstance(name, str):
        return name.lower()
    raise ConfigurationError(f"the name of a header must be str or bytes, not {_kind(name)}")


def _value(value: object) -> HeaderValue:
    if isinstance(value, bytes):
        return HeaderValue((value,))
    if isinstance(value, str):
        return HeaderValue(_readings(value))
    raise ConfigurationError(f"the value of a header must be str or bytes, not {_kind(value)}")


def _readings(value: str) -> tuple[bytes, ...]:
    if value.isascii():
        return (value.encode(),)
    readings: list[bytes] = []
    for encoding, errors in (("utf-8", "surrogateescape"), ("latin-1", "strict")):
        try:
            readings.append(value.encode(encoding, errors))
        except UnicodeEncodeError:
            continue
    return tuple(readings) or (b"?",)


def _kind(value: object) -> str:
    return type(value).__name__
