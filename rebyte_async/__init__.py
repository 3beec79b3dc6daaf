"""The async-first Python SDK, with streaming, for the Rebyte Agent Computer API.

Start with `AsyncRebyte`. The values that the API gives are in `rebyte_async.types`, the errors in
`rebyte_async.errors`.
"""

from rebyte_async import errors
from rebyte_async._settings import RetryPolicy, Timeouts
from rebyte_async._transport import Response
from rebyte_async._version import __version__
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import RebyteError
from rebyte_async.streams import TaskEventStream, merge
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
