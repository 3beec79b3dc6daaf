"""The OpenAPI document is valid and agrees with the client, the golden responses and the emulator."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import pytest
import schemathesis
from attrs import field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from rebyte_async._wire import endpoints
from rebyte_async._wire import errors as wire_errors
from rebyte_async.emulator import ArtifactFormat, Emulator, WebhookFormat, delegate, question, text
from rebyte_async.emulator.server import API
from support.openapi import (
    ASKING,
    AT_THE_ROOT,
    BODIES,
    DOCUMENT,
    FILENAME,
    HOOK,
    OPERATIONS,
    SOURCE,
    Operation,
    resolve,
    shape,
)

WIRE = Path(__file__).parent / "wire"
GRADES = frozenset({"documented", "observed", "guess", "unknown"})

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
"""The checks of Schemathesis on every response. Left out are `unsupported_method` (the service's response to an unknown
method is unknown; the emulator sends a 404), `positive_data_acceptance` (a schema can't say which files, questions and
webhooks exist) and `ignored_auth` (the tests of keys are stricter)."""
CONFIG = {
    "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
    # Keys aren't generated: tests give them, leave them out or give wrong ones on purpose.
    "generation": {"with-security-parameters": False},
}
# Schemathesis' own types are partly unknown to a strict checker.
LIBRARY: Any = schemathesis
CHECKED = deepcopy(DOCUMENT)
# Schemathesis takes the schema of a stream for that of one frame, as an object; `test_frames` checks the frames.
CHECKED["paths"]["/tasks/{task_id}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"] = {}
SCHEMA: Any = LIBRARY.openapi.from_dict(CHECKED, config=LIBRARY.Config.from_dict(CONFIG))
Case: TypeAlias = Any
NO_HEALTH_CHECKS = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
EXAMPLES = settings(
    max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=NO_HEALTH_CHECKS
)


def validate(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Return where a value violates one of the document's schemas."""
    # The document is the root of the schema, because references are relative to it.
    validator = Draft202012Validator({**DOCUMENT, **schema}, validate_formats=False)
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


ENDPOINTS = [value for value in vars(endpoints).values() if isinstance(value, endpoints.Endpoint)]
GOLDEN = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(WIRE.glob("*.json"))}
GOLDEN_EVENTS = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((WIRE / "events").glob("*.json"))
}
FRAMES: dict[str, Any] = DOCUMENT["components"]["schemas"]["EventStream"]["contentSchema"]["properties"]
"""The schema of the data of a frame, by the name of the frame."""
EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
EVERY_SECURED = pytest.mark.parametrize(
    "operation", [pytest.param(each, id=label) for label, each in OPERATIONS.items() if each.is_secured]
)
EVERY_GOLDEN = pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)


def read_lengths() -> Iterator[tuple[str, str, int]]:
    """Read the request fields with a limited length: the operation's label, the field's name and the limit."""
    for label in BODIES:
        body = OPERATIONS[label].spec["requestBody"]["content"]["application/json"]["schema"]
        for name, schema in resolve(body)["properties"].items():
            if "maxLength" in resolve(schema):
                yield label, name, resolve(schema)["maxLength"]


def find_operation(golden: Mapping[str, Any]) -> Operation:
    """Find the operation of a golden response: of those that fit, the one with the fewest ids in its path."""
    fitting = [
        operation
        for operation in OPERATIONS.values()
        if operation.method == golden["method"]
        and re.fullmatch(re.sub(r"{[^}]*}", "[^/]+", operation.path), golden["path"])
    ]
    return min(fitting, key=lambda operation: operation.path.count("{"))


@frozen
class Api:
    """The emulator, called through the document: every response is validated against the document."""

    emulator: Emulator
    ids: dict[str, str] = field(factory=dict[str, str])
    """The ids of existing resources, by their names in the paths."""

    def strategy(self, operation: Operation, mode: schemathesis.GenerationMode, **fixed: Any) -> SearchStrategy[Case]:
        """Return generated requests of Schemathesis."""
        strategy: SearchStrategy[Case] = SCHEMA.find_operation_by_label(operation.label).as_strategy(mode, **fixed)
        return strategy

    def case(self, operation: Operation, **parts: Any) -> Case:
        """Make a request with the ids of existing resources."""
        ids = {name: quote(self.ids[name], safe="") for name in operation.path_names}
        media_type = "application/json" if "body" in parts else None
        known = SCHEMA.find_operation_by_label(operation.label)
        return known.Case(path_parameters=ids, media_type=media_type, **parts)

    def send(self, case: Case, *, key: str | None = "", **kwargs: Any) -> schemathesis.Response:
        """Send a request and validate the response. Unless another key or None is given, the key has all scopes."""
        label = f"{case.method.upper()} {case.path}"
        base_url = self.emulator.url.removesuffix("/v1") if label in AT_THE_ROOT else self.emulator.url
        headers = {} if key is None else {"API_KEY": key or self.emulator.api_key}
        response: schemathesis.Response = case.call(base_url=base_url, headers=headers, **kwargs)
        case.validate_response(response)
        return response

    def get(self, label: str, **parts: Any) -> Any:
        """Send a request that has to succeed, and return the JSON of its response."""
        response = self.send(self.case(OPERATIONS[label], **parts))
        assert response.status_code // 100 == 2, response.text
        return response.json()

    def frames(self) -> list[tuple[str, Any]]:
        """Read the frames of the task's stream, which has to end by itself."""
        response = self.send(self.case(OPERATIONS["GET /tasks/{task_id}/events"]))
        assert response.status_code == 200
        blocks = response.content.decode().strip().split("\n\n")
        fields = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
        return [(frame["event"], json.loads(frame["data"])) for frame in fields]

    def prepare(self, operation: Operation) -> None:
        """Create one resource of each kind, so that the operation finds those that it needs."""
        ask = question("Which?", "A", "B", action_id=7, message_id="m1")
        self.emulator.script(delegate("Look", text("A sub-prompt's text")), text("Done"), times=None)
        self.emulator.script(ask, prompt=ASKING, times=None)
        self.ids["computer_id"] = self.get("POST /agent-computers", body={})["id"]
        self.ids["webhook_id"] = self.get("POST /webhooks", body=HOOK)["id"]
        self._prepare_task(asking=operation.path.endswith("/answer"))
        self.emulator.put_artifact(self.ids["workspace_id"], FILENAME, "a,b", content_type="text/csv")
        self.ids["filename"] = FILENAME

    def _prepare_task(self, *, asking: bool) -> None:
        task = self.get("POST /tasks", body={"prompt": ASKING if asking else "Build"})
        self.ids.update(task_id=task["id"], workspace_id=task["workspaceId"])
        if asking:
            self._await_question()
        else:
            payloads = [data["payload"] for name, data in self.frames() if name == "event"]
            self.ids["prompt_id"] = next(each["subPromptId"] for each in payloads if "subPromptId" in each)

    def _await_question(self) -> None:
        while True:
            (prompt,) = self.get("GET /tasks/{task_id}/content", query={"include": "events"})["prompts"]
            if prompt["events"]:
                return
            time.sleep(0.01)


@pytest.fixture
def api() -> Iterator[Api]:
    """An emulator in its own thread, whose agents don't wait between events."""
    with Emulator(deterministic=True, pace=0.0) as emulator:
        yield Api(emulator)
        emulator.check()


def test_the_document_is_valid() -> None:
    """The document is OpenAPI 3.1."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_everything_has_a_grade() -> None:
    """Every operation and every component has one of the contract's four grades."""
    components = DOCUMENT["components"]
    graded = {
        **{operation.label: operation.spec for operation in OPERATIONS.values()},
        **{f"webhook {name}": item["post"] for name, item in DOCUMENT["webhooks"].items()},
        **{
            f"{kind}/{name}": part
            for kind in components.keys() - {"examples"}
            for name, part in components[kind].items()
        },
    }
    assert [name for name, part in graded.items() if part.get("x-grade") not in GRADES] == []
    assert set(re.findall(r"x-grade: (.*)", SOURCE)) == GRADES


def test_every_component_is_used() -> None:
    """No component is unused."""
    kinds = DOCUMENT["components"].items()
    names = [f"#/components/{kind}/{name}" for kind, parts in kinds for name in parts if kind != "securitySchemes"]
    assert [name for name in names if f'"{name}"' not in SOURCE] == []


def test_the_client_agrees() -> None:
    """The document has exactly the client's endpoints."""
    client = {shape(endpoint.method, endpoint.template) for endpoint in ENDPOINTS}
    assert client | {f"GET {endpoints.HEALTH_PATH}"} == {operation.shape for operation in OPERATIONS.values()}
    assert len(client) == len(ENDPOINTS)
    assert not client & AT_THE_ROOT.keys()


def test_the_emulator_agrees() -> None:
    """The document has exactly the emulator's endpoints, below /v1 but for the named exceptions."""
    expected = {
        operation.shape if label in AT_THE_ROOT else shape(operation.method, f"/v1{operation.path}")
        for label, operation in OPERATIONS.items()
    }
    assert {shape(route.method, route.path) for route in API} == expected


def test_the_same_operations_need_a_key() -> None:
    """The emulator needs a key exactly for the operations that need one in the document."""
    secured = {operation.shape for operation in OPERATIONS.values() if operation.is_secured}
    assert {shape(each.method, each.path.removeprefix("/v1")) for each in API if each.scope} == secured


def test_the_same_operations_are_never_repeated() -> None:
    """The client's requests that aren't idempotent are exactly those that the document marks as never repeated."""
    never = {operation.shape for operation in OPERATIONS.values() if operation.spec.get("x-never-repeat")}
    assert {shape(each.method, each.template) for each in ENDPOINTS if not each.idempotent} == never


def test_the_codes_of_errors_agree() -> None:
    """The client has a class for every code in the document, and each example has a code with its status."""
    schema = DOCUMENT["components"]["schemas"]["ErrorCode"]
    assert wire_errors.ERRORS_BY_CODE.keys() == {*schema["x-known-values"], *schema["x-also-seen"]}
    shown: dict[str, int] = {}
    for operation in OPERATIONS.values():
        for status, response in operation.spec["responses"].items():
            examples = resolve(response).get("content", {}).get("application/json", {}).get("examples", {})
            shown |= {resolve(example)["value"]["error"]["code"]: int(status) for example in examples.values()}
    assert shown == schema["x-known-values"]


def test_every_operation_has_a_golden_response() -> None:
    """Each operation of the document has a golden response, and each golden response names its source."""
    have = {find_operation(golden).label for golden in GOLDEN.values()}
    assert OPERATIONS.keys() - have == {"GET /tasks/{task_id}/events"}  # each of its frames is golden
    for golden in (*GOLDEN.values(), *GOLDEN_EVENTS.values()):
        assert set(re.findall(r"\w+", golden["source"])) & GRADES


@EVERY_GOLDEN
def test_golden_responses(golden: dict[str, Any]) -> None:
    """Each golden response is in the document, with its status and its headers."""
    response = find_operation(golden).response(golden["status"])
    content = response.get("content")
    assert golden.get("headers", {}).keys() == response.get("headers", {}).keys()
    if golden["response"] is None:
        assert content is None
    else:
        assert content is not None
        kind = "*/*" if "responseType" in golden else "application/json"
        assert validate(content[kind]["schema"], golden["response"]) == []


@EVERY_GOLDEN
def test_golden_requests(golden: dict[str, Any]) -> None:
    """Each golden request is allowed by the document."""
    operation = find_operation(golden)
    body = operation.spec.get("requestBody")
    assert (body is not None and body["required"]) == ("request" in golden)
    if body is not None:
        kind = golden.get("requestType", "application/json")
        sent = golden["request"]
        if "requestType" in golden:  # in the document a part is its content
            sent = {name: [part["content"] for part in parts] for name, parts in sent.items()}
        assert validate(body["content"][kind]["schema"], sent) == []
    for name, value in golden.get("query", {}).items():
        schema = operation.parameter(name)
        assert validate(schema, int(value) if schema["type"] == "integer" else value) == []


@pytest.mark.parametrize("golden", GOLDEN_EVENTS.values(), ids=GOLDEN_EVENTS)
def test_golden_events(golden: dict[str, Any]) -> None:
    """Each golden frame of a stream fits the schema of its data."""
    assert validate(FRAMES["event" if "event" in golden else "done"], golden["data"]) == []


@EVERY_OPERATION
def test_generated_requests(api: Api, operation: Operation) -> None:
    """Whatever is sent, the emulator doesn't fail, and its response is in the document."""
    positive, negative = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    api.prepare(operation)
    ids = dict(api.case(operation).path_parameters)
    strategies = [api.strategy(operation, positive, path_parameters=ids), api.strategy(operation, positive)]
    if operation.accepts_input:
        strategies.append(api.strategy(operation, negative, path_parameters=ids))

    @EXAMPLES
    @given(case=st.one_of(strategies))
    def send(case: Case) -> None:
        api.send(case)

    send()


@EVERY_OPERATION
def test_successes(api: Api, operation: Operation) -> None:
    """Each operation can succeed, with a response that is in the document."""
    api.prepare(operation)
    parts = {"body": BODIES[operation.label]} if operation.label in BODIES else {}
    case = api.case(operation, **parts)
    kwargs = dict[str, Any]()
    if "multipart/form-data" in operation.spec.get("requestBody", {}).get("content", ()):
        kwargs["files"] = [("files", (FILENAME, b"a,b", "text/csv")), ("files", ("b", b""))]
    response = api.send(case, **kwargs)
    assert response.status_code // 100 == 2, response.text


@pytest.mark.parametrize(("label", "name", "limit"), list(read_lengths()))
def test_longest_texts(api: Api, label: str, name: str, limit: int) -> None:
    """A text may have exactly the documented length, and no more."""
    api.prepare(OPERATIONS[label])
    for size, family in ((limit + 1, 4), (limit, 2)):
        case = api.case(OPERATIONS[label], body={**BODIES[label], name: "ü" * size})
        assert api.send(case).status_code // 100 == family


@pytest.mark.parametrize("label", ["GET /tasks", "GET /agent-computers"])
def test_edges_of_pages(api: Api, label: str) -> None:
    """The limit and the offset of a page have exactly the documented bounds and defaults."""
    limit, offset = OPERATIONS[label].parameter("limit"), OPERATIONS[label].parameter("offset")
    page = api.get(label)
    assert (page["limit"], page["offset"]) == (limit["default"], offset["default"])
    edges = {("limit", limit["minimum"]): -1, ("limit", limit["maximum"]): 1, ("offset", offset["minimum"]): -1}
    for (name, edge), beyond in edges.items():
        assert api.get(label, query={name: edge})[name] == edge
        assert api.send(api.case(OPERATIONS[label], query={name: edge + beyond})).status_code == 400


@EVERY_SECURED
def test_keys(api: Api, operation: Operation) -> None:
    """Without a key, with a wrong key and with a key without scopes, each operation fails as documented."""
    api.prepare(operation)
    keys = {None: (401, "missing_api_key"), "rbk_wrong": (401, "invalid_api_key")}
    keys[api.emulator.add_key(scopes=())] = (403, "insufficient_scopes")
    for key, expected in keys.items():
        response = api.send(api.case(operation), key=key)
        assert (response.status_code, response.json()["error"]["code"]) == expected


def test_frames(api: Api) -> None:
    """Each frame of the emulator's streams fits the schema of its data, and `done` is the last."""
    api.ids["task_id"] = api.get("POST /tasks", body={"prompt": "Build"})["id"]
    frames = api.frames()
    assert [name for name, _ in frames] == ["event"] * (len(frames) - 1) + ["done"]
    assert {data["eventType"] for name, data in frames if name == "event"} >= {"init", "text", "tool_use", "result"}
    assert [validate(FRAMES[name], data) for name, data in frames] == [[]] * len(frames)


@pytest.mark.parametrize(
    "form",
    [
        ArtifactFormat(items="data", name="filename", urls="data", url=True, upload_status=200),
        ArtifactFormat(items="files", urls="files", details=False),
        ArtifactFormat(items=None),
    ],
    ids=str,
)
def test_other_forms_of_artifacts(api: Api, form: ArtifactFormat) -> None:
    """The document has every form in which the emulator can show artifacts."""
    api.prepare(OPERATIONS["GET /tasks"])
    api.emulator.artifact_format = form
    api.get("GET /workspaces/{workspace_id}/artifacts")
    label = "POST /workspaces/{workspace_id}/artifacts/upload-url"
    api.get(label, body=BODIES[label])
    upload = api.case(OPERATIONS["POST /workspaces/{workspace_id}/artifacts"])
    assert api.send(upload, files=[("files", ("b", b""))]).status_code == form.upload_status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_artifacts(api: Api, status: int) -> None:
    """A download may be redirected, with any status of a redirect."""
    api.prepare(OPERATIONS["GET /tasks"])
    api.emulator.artifact_format = ArtifactFormat(redirect=status)
    case = api.case(OPERATIONS["GET /workspaces/{workspace_id}/artifacts/{filename}"])
    assert api.send(case, allow_redirects=False).status_code == status


@pytest.mark.parametrize(
    "form",
    [
        WebhookFormat(items="data", public_key="public_key"),
        WebhookFormat(items=None, public_key="key", public_key_base64=True),
        WebhookFormat(public_key=None),
    ],
    ids=str,
)
def test_other_forms_of_webhooks(api: Api, form: WebhookFormat) -> None:
    """The document has every form in which the emulator can show webhooks and their key."""
    api.emulator.webhook_format = form
    assert api.get("POST /webhooks", body=HOOK) == api.get("POST /webhooks", body=HOOK)
    api.get("GET /webhooks")
    assert api.send(api.case(OPERATIONS["GET /webhooks/public_key"])).status_code == 200


def test_limits(api: Api) -> None:
    """A fourth webhook and a disabled executor are refused with the documented codes."""
    for number in range(3):
        api.get("POST /webhooks", body={**HOOK, "url": f"https://hooks.invalid/{number}"})
    refused = api.send(api.case(OPERATIONS["POST /webhooks"], body=HOOK))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "limit_exceeded")
    api.emulator.disable_executor("gemini")
    disabled = api.send(api.case(OPERATIONS["POST /tasks"], body={"prompt": "Build", "executor": "gemini"}))
    assert (disabled.status_code, disabled.json()["error"]["code"]) == (403, "agent_disabled")


def test_deliveries(api: Api) -> None:
    """The bodies of the emulator's deliveries fit the document."""
    body = DOCUMENT["webhooks"]["task"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    api.prepare(OPERATIONS["GET /tasks"])
    delivered = [delivery.json() for delivery in api.emulator.deliveries]
    assert delivered[0]["event"] == "task.created"
    assert [validate(body, each) for each in delivered] == [[]] * len(delivered)
