"""The way to the API and back: the only room of the client that knows aiohttp."""

from rebyte_async._transport.network import make_network
from rebyte_async._transport.response import BodyStream, Response
from rebyte_async._transport.server_clock import ServerClock
from rebyte_async._transport.sessions import LazyModule, SessionPool
from rebyte_async._transport.throttle import Throttle
from rebyte_async._transport.transport import Transport, UploadTarget
from rebyte_async._transport.urls import is_confidential_url, parse_base_url

__all__ = [
    "BodyStream",
    "LazyModule",
    "Response",
    "ServerClock",
    "SessionPool",
    "Throttle",
    "Transport",
    "UploadTarget",
    "is_confidential_url",
    "make_network",
    "parse_base_url",
]
