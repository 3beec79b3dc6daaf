"""The async-first Python SDK, with streaming, for the Rebyte Agent Computer API.

Start with `AsyncRebyte`. The values that the API gives are in `rebyte_async.types`, the errors in
`rebyte_async.errors`.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from rebyte_async._version import __version__

if TYPE_CHECKING:
    from rebyte_async import errors
    from rebyte_async._settings import RetryPolicy, Timeouts
    from rebyte_async._transport import Response
    from rebyte_async.client import AsyncRebyte
    from rebyte_async.errors import RebyteError
    from rebyte_async.streams import TaskEventStream
    from rebyte_async.streams.merge import merge
    from rebyte_async.streams.text import TextAssembler

__all__ = [
    "AsyncRebyte",
    "RebyteError",
    "Response",
    "RetryPolicy",
    "TaskEventStream",
    "TextAssembler",
    "Timeouts",
    "__version__",
    "errors",
    "merge",
]

_HOMES = {
    "AsyncRebyte": "client",
    "RebyteError": "errors",
    "Response": "_transport",
    "RetryPolicy": "_settings",
    "TaskEventStream": "streams",
    "TextAssembler": "streams.text",
    "Timeouts": "_settings",
    "merge": "streams.merge",
}
"""The modules of the names, which are imported on first use: each start of pytest imports this package."""
_MODULES = frozenset({"client", "errors", "resources", "sse", "streams", "types"})


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return _import_module(f"rebyte_async.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(_import_module(f"rebyte_async.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
