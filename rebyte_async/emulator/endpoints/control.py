"""`/__emulator__`: control of the emulator itself, for tests in other languages. The service has nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebyte_async.emulator.document import Document, ScriptError, read_document
from rebyte_async.emulator.exchange import Exchange
from rebyte_async.emulator.gateway import Route
from rebyte_async.emulator.responses import json_response, validation_error
from rebyte_async.emulator.service import State

if TYPE_CHECKING:
    from aiohttp import web


async def add_script(state: State, exchange: Exchange) -> web.Response:
    """`POST /__emulator__/script`: sets what the agent does next, and which faults there are, from a document.

        {"scripts": [{"steps": [{"text": "Hello"}]}], "faults": [{"status": 503}], "release": ["gate"]}

    A mistake in it is a 400 that names its place, and then nothing is set.
    """
    body = await exchange.body.json()
    try:
        document = read_document(body.values)
    except ScriptError as error:
        raise validation_error(str(error)) from None
    apply_document(state, document)
    for name in document.release:
        state.latches[name].opened.set()
    counts = {"scripts": len(document.scripts), "faults": len(document.faults), "release": len(document.release)}
    return json_response(counts, 201)


def apply_document(state: State, document: Document) -> None:
    """Put scripts and faults in force; agents are released by the caller, who knows the event loop."""
    for script in document.scripts:
        state.scripts.add(script.make())
    for planned in document.faults:
        state.faults.add(planned.fault, planned.match, times=planned.times)


ROUTES = (Route("POST", "/__emulator__/script", "emulator:write", add_script),)
