"""Connections of a given session that nothing was sent on before, and nothing will be after."""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["never_kept"]


async def never_kept(request: Any, handler: Any) -> object:
    """A client middleware that has the connection of a request closed behind its answer.

    That the request asks for it isn't enough: aiohttp keeps the connection unless the answer says so too.
    """
    request.response_class = _closing(request.response_class)
    return await handler(request)


@cache
def _closing(response_class: Any) -> Any:
    class Closing(response_class):  # type: ignore[misc]
        """The session's own class of answers, which ends its connection."""

        async def start(self, connection: Any) -> Any:
            connection.protocol.force_close()  # before the answer is read: behind it, the connection is back already
            return await response_class.start(self, connection)

    return Closing
