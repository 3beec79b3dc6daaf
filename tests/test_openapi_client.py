"""A client that a generator of others makes from the OpenAPI document can use the whole API."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from types import ModuleType
from typing import Any

import attrs
import openapi_python_client
import pytest
from attrs import field, frozen
from openapi_python_client.config import Config, ConfigFile, MetaType

from rebyte_async.emulator import ArtifactFormat, Emulator, WebhookFormat, delegate, question, text
from support.openapi import ASKING, AT_THE_ROOT, BODIES, DOCUMENT_PATH, FILENAME, OPERATIONS, resolve

PACKAGE = "generated_rebyte_client"


def snake(name: str) -> str:
    """Return how the generator spells a name of the document in a module's name."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).replace("-", "_")


def has_content(label: str) -> bool:
    """Return whether a success of an operation has a body."""
    responses = OPERATIONS[label].spec["responses"].items()
    return any("content" in resolve(response) for status, response in responses if status.startswith("2"))


def find_undescribed(value: Any) -> Iterator[str]:
    """Find what a response has and the document doesn't describe: the generated types keep it apart."""
    if isinstance(value, list):
        for item in value:
            yield from find_undescribed(item)
    elif attrs.has(type(value)):
        names = [each.name for each in attrs.fields(type(value))]
        if names != ["additional_properties"]:  # an object of any form
            yield from (f"{type(value).__name__}.{name}" for name in getattr(value, "additional_properties", ()))
        for name in names:
            yield from find_undescribed(getattr(value, name))


@frozen
class GeneratedClient:
    """The generated client of an emulator."""

    emulator: Emulator
    api: Any
    """Sends a key to the base URL."""
    root: Any
    """Sends no key, to the host's root."""
    ids: dict[str, str] = field(factory=dict[str, str])
    """The ids of existing resources, by their names in the paths."""

    def call(self, label: str, **arguments: Any) -> Any:
        """Call an operation, which has to succeed, and return its parsed response."""
        operation = OPERATIONS[label]
        module = load(f"api.{snake(operation.spec['tags'][0])}.{snake(operation.spec['operationId'])}")
        ids = {name: self.ids[name] for name in operation.path_names}
        response = module.sync_detailed(client=self.root if label in AT_THE_ROOT else self.api, **ids, **arguments)
        assert response.status_code.value // 100 == 2, response.content
        return response.parsed

    def post(self, label: str, **fields: Any) -> Any:
        """Call an operation with a JSON body."""
        body = {**BODIES[label], **fields}
        content = OPERATIONS[label].spec["requestBody"]["content"]["application/json"]
        return self.call(label, body=load_model(content["schema"]).from_dict(body))

    def prepare(self, *, asking: bool) -> None:
        """Create one resource of each kind."""
        self.emulator.script(delegate("Look", text("A sub-prompt's text")), text("Done"), times=None)
        self.emulator.script(question("Which?", "A", "B", action_id=7, message_id="m1"), prompt=ASKING, times=None)
        self.ids["computer_id"] = self.post("POST /agent-computers").id
        self.ids["webhook_id"] = self.post("POST /webhooks", url="https://hooks.invalid/x").id
        task = self.post("POST /tasks", prompt=ASKING if asking else "Build")
        self.ids.update(task_id=task.id, workspace_id=task.workspace_id, filename=FILENAME)
        self.emulator.put_artifact(str(task.workspace_id), FILENAME, "a,b", content_type="text/csv")
        events = self._await_events()
        if not asking:
            payloads = [event.payload.additional_properties for event in events]
            self.ids["prompt_id"] = next(each["subPromptId"] for each in payloads if "subPromptId" in each)

    def _await_events(self) -> list[Any]:
        while True:
            (prompt,) = self.call("GET /tasks/{task_id}/content", include="events").prompts
            if prompt.events:
                return list(prompt.events)
            time.sleep(0.01)

    def upload(self) -> Any:
        """Upload artifacts in the generated form of a multipart body."""
        file = load("types").File(payload=BytesIO(b"a,b"), file_name=FILENAME, mime_type="text/csv")
        body = load("models.artifact_upload").ArtifactUpload(files=[file, file])
        return self.call("POST /workspaces/{workspace_id}/artifacts", body=body)


def load(module: str) -> ModuleType:
    """Import a module of the generated client."""
    return importlib.import_module(f"{PACKAGE}.{module}")


def load_model(schema: dict[str, Any]) -> Any:
    """Return the generated class of a schema of the document."""
    name = schema["$ref"].rpartition("/")[2]
    return getattr(load(f"models.{snake(name).removeprefix('_')}"), name)


@pytest.fixture(scope="session", autouse=True)
def _generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Generate the client, without a warning, and make it importable."""
    folder = tmp_path_factory.mktemp("generated")
    config = Config.from_sources(
        ConfigFile(post_hooks=[]), MetaType.NONE, DOCUMENT_PATH, "utf-8", overwrite=False, output_path=folder / PACKAGE
    )
    warnings = [f"{each.header}: {each.detail}" for each in openapi_python_client.generate(config=config)]
    assert warnings == []
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture
def client() -> Iterator[GeneratedClient]:
    """The generated client of an emulator in its own thread, whose agents don't wait between events."""
    classes = load("client")
    with Emulator(deterministic=True, pace=0.0) as emulator:
        key = {"token": emulator.api_key, "prefix": "", "auth_header_name": "API_KEY"}
        with (
            classes.AuthenticatedClient(base_url=emulator.url, **key) as api,
            classes.Client(base_url=emulator.url.removesuffix("/v1")) as root,
        ):
            yield GeneratedClient(emulator, api, root)
        emulator.check()


@pytest.mark.parametrize("label", OPERATIONS)
def test_a_generated_client_can_call_every_operation(client: GeneratedClient, label: str) -> None:
    """Each operation succeeds, and everything in its response is in the generated type of its schema."""
    client.prepare(asking=label.endswith("/answer"))
    if "multipart/form-data" in OPERATIONS[label].spec.get("requestBody", {}).get("content", ()):
        parsed = client.upload()
    elif label in BODIES:
        parsed = client.post(label)
    else:
        parsed = client.call(label)
    assert (parsed is not None) == has_content(label)
    assert list(find_undescribed(parsed)) == []


@pytest.mark.parametrize(("label", "name"), [("GET /tasks", "TaskPage"), ("GET /agent-computers", "AgentComputerPage")])
def test_generated_pages(client: GeneratedClient, label: str, name: str) -> None:
    """A page is a class of its own, and its items have their class too."""
    client.prepare(asking=False)
    page = client.call(label, limit=1, offset=0)
    assert type(page).__name__ == name
    assert (page.total, page.limit, page.offset) == (1, 1, 0)
    items = resolve({"$ref": f"#/components/schemas/{name}"})["properties"]["data"]["items"]
    assert [type(item) for item in page.data] == [load_model(items)]


@pytest.mark.parametrize(
    ("label", "artifacts", "webhooks"),
    [
        *(("GET /workspaces/{workspace_id}/artifacts", ArtifactFormat(items=name), None) for name in ("data", "files")),
        ("GET /workspaces/{workspace_id}/artifacts", ArtifactFormat(name="filename", details=False, url=True), None),
        ("GET /webhooks", None, WebhookFormat(items="data")),
        ("GET /webhooks/public_key", None, WebhookFormat(public_key="key")),
    ],
)
def test_generated_guesses(
    client: GeneratedClient, label: str, artifacts: ArtifactFormat | None, webhooks: WebhookFormat | None
) -> None:
    """Where the form of a response is a guess, each form has a generated type."""
    client.prepare(asking=False)
    client.emulator.artifact_format = artifacts or ArtifactFormat()
    client.emulator.webhook_format = webhooks or WebhookFormat()
    assert list(find_undescribed(client.call(label))) == []


def test_generated_errors(client: GeneratedClient) -> None:
    """An error has its code and its message in a generated type."""
    task_id = "3f2b6c1e-8a54-4d0e-9d3f-2f1c7b1a0001"
    error = load("api.tasks.get_task").sync(task_id, client=client.api)
    assert (type(error).__name__, error.error.code) == ("ErrorEnvelope", "not_found")


def test_a_generated_client_reads_a_stream(client: GeneratedClient) -> None:
    """A stream is text, with the frames as they were sent."""
    client.prepare(asking=False)
    stream = client.call("GET /tasks/{task_id}/events")
    assert stream.startswith("event: event\ndata: {")
    assert stream.count("event: done\n") == 1
