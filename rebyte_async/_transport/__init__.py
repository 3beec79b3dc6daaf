"""The way to the API and back: the only room of the client that knows aiohttp."""

from rebyte_async._transport.answer import Answer, ByteStream
from rebyte_async._transport.connections import Connections
from rebyte_async._transport.origin import base_url, is_private_url
from rebyte_async._transport.outgoing import Body, Signed
from rebyte_async._transport.throttle import Throttle
from rebyte_async._transport.transport import Transport

__all__ = [
    "Answer",
    "Body",
    "ByteStream",
    "Connections",
    "Signed",
    "Throttle",
    "Transport",
    "base_url",
    "is_private_url",
]
