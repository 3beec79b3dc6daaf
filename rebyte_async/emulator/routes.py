"""All endpoints, of both origins."""

from __future__ import annotations

from rebyte_async.emulator.endpoints import (
    agent_computers,
    answer,
    artifacts,
    content,
    downloads,
    events,
    files,
    health,
    prompts,
    tasks,
    uploads,
    webhooks,
)
from rebyte_async.emulator.router import Router

_ROUTES = (
    *agent_computers.ROUTES,
    *tasks.ROUTES,
    *prompts.ROUTES,
    *events.ROUTES,
    *content.ROUTES,
    *answer.ROUTES,
    *files.ROUTES,
    *artifacts.ROUTES,
    *webhooks.ROUTES,
    *health.ROUTES,
)

API = Router(_ROUTES)

# The API's endpoints are there too, for requests that were redirected to it.
STORAGE = Router((*uploads.ROUTES, *downloads.ROUTES, *_ROUTES))
