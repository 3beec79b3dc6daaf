"""What a browser is sent: server-sent events as bytes. Pure.

A typed event has no name, so that the page's `onmessage` gets all of them, also those of types that are new. The others
are called `done` and `failure`: a browser's own `error` event, for a lost connection, must not be mistaken for one.
"""

from __future__ import annotations

import json

from rebyte_async.errors import RateLimitedError, RebyteError, ServerError, TransportError
from rebyte_async.types.events import Done, TaskEvent

END_MARK = "~end"
"""Ends the id of the last event: a browser that comes back with it is sent away, else it would do so for ever."""
HEARTBEAT = b":\n\n"
"""A comment, which a browser ignores: it keeps proxies from closing an idle connection."""
OPENING = b"retry: 2000\n\n"
"""The first bytes, so that the browser sees the response begin; the milliseconds after which it connects again."""
_RETRY_AFTER_FAILURE = b"retry: 10000\n"


def make_event(event: TaskEvent, cursor: str) -> bytes:
    """Return the server-sent event of a typed event: its id is the cursor after it."""
    return _make_frame(cursor, event.to_json())


def make_done(done: Done, cursor: str) -> bytes:
    """Return the last server-sent event of a turn."""
    return b"event: done\n" + _make_frame(cursor + END_MARK, done.to_json())


def make_failure(error: RebyteError, cursor: str) -> bytes:
    """Return the server-sent event of a stream that failed.

    It names the class of the error alone: what else the error says is about the application, not for its users.
    """
    if is_temporary(error):
        message = "The connection to the task was lost. The browser connects again, and continues there."
        document = {"error": type(error).__name__, "message": message, "retry": True}
        return b"event: failure\n" + _RETRY_AFTER_FAILURE + _make_frame(cursor, json.dumps(document))
    document = {"error": type(error).__name__, "message": "The events of the task can't be read.", "retry": False}
    return b"event: failure\n" + _make_frame(cursor + END_MARK, json.dumps(document))


def is_temporary(error: RebyteError) -> bool:
    """Whether another try may succeed."""
    return isinstance(error, TransportError | ServerError | RateLimitedError)


def _make_frame(id_: str, document: str) -> bytes:
    # Half of a surrogate pair has no bytes in UTF-8; escaped with a backslash, it is JSON again.
    return f"id: {id_}\ndata: {document}\n\n".encode("utf-8", "backslashreplace")
