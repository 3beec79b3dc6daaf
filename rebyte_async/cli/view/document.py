"""Models as JSON: the fields by their own names, without what is secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeGuard, cast

import attrs

__all__ = ["as_document", "as_line", "shown_fields"]


def shown_fields(item: attrs.AttrsInstance) -> list[tuple[str, Any]]:
    """The fields of a model that may be shown: what its repr leaves out is a secret, or bulky."""
    return [(field.name, getattr(item, field.name)) for field in attrs.fields(type(item)) if field.repr]


def as_document(value: object) -> Any:
    """A value as JSON has it; models become objects, times ISO 8601."""
    if _is_model(value):
        return {name: as_document(inner) for name, inner in shown_fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_document(inner) for key, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        return [as_document(inner) for inner in cast("list[object]", value)]
    return value


def as_line(value: object) -> str:
    """A value as one line of JSON, in ASCII alone: what a terminal would obey does no harm when it is escaped."""
    return json.dumps(as_document(value), default=str)


def _is_model(value: object) -> TypeGuard[attrs.AttrsInstance]:
    return attrs.has(type(value))
