"""The OpenAPI document as data: its operations, and a request of each that succeeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

DOCUMENT_PATH = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"
SOURCE = DOCUMENT_PATH.read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(SOURCE)
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

AT_THE_ROOT = {"GET /health": "at the host's root: the client has only its path, and the emulator has no /v1 before it"}

ASKING = "Ask me"
FILENAME = "reports/a.csv"
HOOK = {"url": "https://hooks.invalid/x", "events": ["task.created", "task.completed"]}
BODIES: dict[str, Any] = {
    "POST /agent-computers": {"name": "Builder", "icon": "🔧"},
    "PATCH /agent-computers/{computer_id}": {"agent_instructions": "Be brief", "views": {}},
    "POST /tasks": {"prompt": "Build", "executor": "codex", "model": "m", "skills": ["pdf"], "githubUrl": "o/r"},
    "POST /tasks/{task_id}/prompts": {"prompt": "And tests", "skills": ["pdf"], "files": []},
    "PATCH /tasks/{task_id}/visibility": {"visibility": "public"},
    "POST /tasks/{task_id}/answer": {"messageId": "m1", "actionId": 7, "answer": {"selectedOptions": [1]}},
    "POST /files": {"filename": "spec.md", "contentType": "text/markdown"},
    "POST /workspaces/{workspace_id}/artifacts/upload-url": {"files": [{"name": "a", "contentType": "text/csv"}]},
    "POST /webhooks": {**HOOK, "url": "https://hooks.invalid/y", "description": "CI", "secret": "s3cret"},
}
"""A request that succeeds, for each operation with JSON in it."""


def resolve(node: Any) -> Any:
    """Follow the references of a part of the document."""
    while "$ref" in node:
        node = follow_pointer(node["$ref"].removeprefix("#"))
    return node


def follow_pointer(pointer: str) -> Any:
    """Return the part of the document that a JSON pointer names."""
    node: Any = DOCUMENT
    for part in pointer.split("/")[1:]:
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


@frozen
class Operation:
    """One operation of the document."""

    method: str
    path: str
    spec: dict[str, Any]
    shared: list[Any]
    """The parameters of its path."""

    @property
    def label(self) -> str:
        """The name of the operation, in this file and in Schemathesis."""
        return f"{self.method} {self.path}"

    @property
    def shape(self) -> str:
        """The method and the path without the names of ids."""
        return shape(self.method, self.path)

    @property
    def path_names(self) -> list[str]:
        """The names of the ids in its path."""
        return re.findall(r"{([^}]*)}", self.path)

    @property
    def is_secured(self) -> bool:
        """Whether the operation needs a key."""
        return self.spec.get("security") != []

    @property
    def accepts_input(self) -> bool:
        """Whether a request can be invalid in more than the ids of its path."""
        return "requestBody" in self.spec or bool(self.spec.get("parameters"))

    def parameter(self, name: str) -> dict[str, Any]:
        """Return the schema of a parameter."""
        every = [resolve(parameter) for parameter in (*self.shared, *self.spec.get("parameters", ()))]
        (schema,) = [parameter["schema"] for parameter in every if parameter["name"] == name]
        return dict(schema)

    def response(self, status: int) -> dict[str, Any]:
        """Return the documented response with a status."""
        responses = self.spec["responses"]
        return dict(resolve(responses.get(str(status)) or responses[f"{status // 100}XX"]))


def shape(method: str, path: str) -> str:
    """Return an endpoint without the names of its ids."""
    return f"{method} {re.sub(r'{[^}]*}', '{}', path)}"


def read_operations() -> Iterator[Operation]:
    """Read the operations of the document."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS & item.keys():
            yield Operation(method.upper(), path, item[method], item.get("parameters", []))


OPERATIONS = {operation.label: operation for operation in sorted(read_operations(), key=lambda each: each.label)}
