"""The way to the API and back: the only room of the client that knows aiohttp."""

from rebyte_async._transport.answer import Answer, ByteStream
from rebyte_async._transport.connections import Connections
from rebyte_async._transport.origin import base_url
from rebyte_async._transport.stats import ClientStats
from rebyte_async._transport.transport import Transport

__all__ = ["Answer", "ByteStream", "ClientStats", "Connections", "Transport", "base_url"]
