"""The reference shows the default of a field, not the call of attrs that gives it."""

from __future__ import annotations

from griffe import Attribute, Expr, ExprCall, ExprKeyword, Extension


class PlainFields(Extension):
    """Replaces `field(default=None, converter=…)` with `None`."""

    def on_attribute_instance(self, *, attr: Attribute, **_: object) -> None:
        """Look at one attribute of a class."""
        if isinstance(attr.value, ExprCall) and str(attr.value.function) in {
            "field",
            "attrs.field",
        }:
            attr.value = _default(attr.value)


def _default(call: ExprCall) -> str | Expr | None:
    found = [
        given.value
        for given in call.arguments
        if isinstance(given, ExprKeyword) and given.name == "default"
    ]
    return found[0] if found else None
