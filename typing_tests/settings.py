"""Type-checked, never run: settings, and mistakes that a type checker must report.

The line of a mistake names the expected error, and both checkers complain if there is none.
"""

import math
from typing import assert_type

import aiohttp

from rebyte_async import AsyncRebyte, RetryPolicy, Timeouts
from rebyte_async.sse import ServerSentEvent, SSEParser


def settings(session: aiohttp.ClientSession) -> None:
    AsyncRebyte()
    AsyncRebyte("rbk_…", base_url="https://api.rebyte.ai/v1", session=session, headers={"X-A": "b"})
    AsyncRebyte(timeouts=Timeouts(connect=1, read=2.5, create=600, stream_idle=math.inf))
    AsyncRebyte(retry=RetryPolicy(max_attempts=1, base_delay=0, max_delay=0, max_retry_after=0, budget=0))


def mistakes() -> None:
    AsyncRebyte(timeouts=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    AsyncRebyte("rbk_…", "https://api.rebyte.ai/v1")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Timeouts(5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    RetryPolicy(max_attempts=1).budget = 3  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def frames(parser: SSEParser) -> None:
    assert_type(parser.feed(b""), list[ServerSentEvent])
    assert_type(parser.retry, int | None)
    assert_type(parser.last_event_id, str)
    for event, data, event_id in parser.feed(b""):
        assert_type((event, data, event_id), tuple[str, str, str])
