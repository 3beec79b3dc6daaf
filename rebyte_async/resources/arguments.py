"""What the calls check before anything is sent, and the bodies that they build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from rebyte_async.errors import InvalidRequestError

__all__ = ["optional_text", "prompt_text", "skill_names", "with_extra"]

MAX_PROMPT = 100_000
"""The longest prompt, in characters (contract §3, documented)."""


def prompt_text(prompt: object) -> str:
    """A prompt that may be sent."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidRequestError(f"prompt must be a string that isn't empty, not {prompt!r:.80}")
    if len(prompt) > MAX_PROMPT:
        raise InvalidRequestError(f"prompt must have at most {MAX_PROMPT:,} characters, not {len(prompt):,}")
    return prompt


def optional_text(name: str, value: object, *, longest: int | None = None) -> str | None:
    """A text that may be left out, but not be empty, nor longer than so many characters."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(f"{name} must be a string that isn't empty, or None, not {value!r:.80}")
    if longest is not None and len(value) > longest:
        raise InvalidRequestError(f"{name} must have at most {longest} characters, not {len(value)}")
    return value


def skill_names(skills: object) -> list[str]:
    """The skills as the API wants them."""
    if isinstance(skills, str) or not isinstance(skills, Iterable):
        raise InvalidRequestError(f"skills must be a list of names, such as ['pdf'], not {skills!r:.80}")
    names = list(cast("Iterable[object]", skills))
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequestError(f"skills must be names, such as 'pdf', not {name!r:.80}")
    return [str(name) for name in names]


def with_extra(body: dict[str, Any], extra: object) -> dict[str, Any]:
    """The body without what is None or empty, and with fields that are newer than this package."""
    lean = {name: value for name, value in body.items() if value is not None and value != []}
    if extra is None:
        return lean
    if not isinstance(extra, Mapping):
        raise InvalidRequestError(f"extra must be a mapping of JSON fields, not {type(extra).__name__}")
    if own := sorted({str(name) for name in cast("Mapping[object, Any]", extra)} & body.keys()):
        raise InvalidRequestError(f"extra must not hold what is an argument of its own: {', '.join(own)}")
    return lean | {str(name): value for name, value in cast("Mapping[object, Any]", extra).items()}
