"""The OpenAPI document as tables, made when the site is built: they can be searched, and load nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

_MARK = re.compile(r"^<!-- openapi: (\S+) -->$", re.MULTILINE)
_METHODS = ("get", "post", "put", "patch", "delete")
_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches `{}`",
    "default": "`{}` if not given",
}

_OFTEN = 10  # requests that a response is shared by, to be described once for all

Node = Mapping[str, Any]


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: object) -> str:
    """Put an OpenAPI document in the place of `<!-- openapi: FILE -->`."""

    def render(found: re.Match[str]) -> str:
        source = Path(config.docs_dir, found[1]).read_text(encoding="utf-8")
        return "\n".join(Document(yaml.safe_load(source)).render())

    return _MARK.sub(render, markdown)


class Document:
    """Writes the Markdown of a document."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.schemas: Node = root["components"]["schemas"]
        used = [
            (response["$ref"], status)
            for item in root["paths"].values()
            for method in _METHODS
            for status, response in item.get(method, {}).get("responses", {}).items()
            if "$ref" in response
        ]
        self.common = {
            reference: status
            for reference, status in used
            if used.count((reference, status)) >= _OFTEN
        }

    def render(self) -> Iterator[str]:
        yield self.root["info"]["description"]
        operations = [
            (method, path, item[method], item)
            for path, item in self.root["paths"].items()
            for method in _METHODS
            if method in item
        ]
        hooks = [
            ("post", "your address", item["post"], item)
            for item in self.root.get("webhooks", {}).values()
        ]
        for tag in self.root["tags"]:
            yield f"\n## {_heading(tag['name'])}\n\n{tag['description']}\n"
            for method, path, operation, item in (*operations, *hooks):
                if tag["name"] in operation["tags"]:
                    yield from self._operation(method, path, operation, item)
        yield "\n## Common responses\n"
        yield from self._response_table(
            {status: {"$ref": reference} for reference, status in self.common.items()}
        )
        yield "\n## Objects\n"
        for name, schema in self.schemas.items():
            yield from self._schema(name, schema)

    def _operation(
        self, method: str, path: str, operation: Node, item: Node
    ) -> Iterator[str]:
        yield f"\n### `{method.upper()} {path}` {{ #{operation['operationId']} }}\n"
        yield (
            f"{operation['summary']} {operation.get('description', '')}".strip()
            + f"\n\n*Grade*: {operation['x-grade']}."
        )
        if operation.get("x-never-repeat"):
            yield "**Never repeated** if it may have arrived."
        if servers := operation.get("servers", item.get("servers")):
            yield f"Its address begins with `{servers[0]['url']}`."
        parameters = [
            self._resolve(one)
            for one in (*item.get("parameters", ()), *operation.get("parameters", ()))
        ]
        yield from _table(
            ("parameter", "in", "type", "meaning"),
            [
                (
                    _name(one["name"], required=one.get("required", False)),
                    one["in"],
                    self._kind(one["schema"]),
                    self._meaning(one, one["schema"]),
                )
                for one in parameters
            ],
        )
        yield from self._body(operation.get("requestBody"))
        yield from self._responses(operation["responses"])

    def _responses(self, responses: Node) -> Iterator[str]:
        own = {
            status: one
            for status, one in responses.items()
            if one.get("$ref") not in self.common
        }
        yield from self._response_table(own)
        if len(own) < len(responses):
            shared = ", ".join(f"`{status}`" for status in responses if status not in own)
            yield f"And {shared}, [as for other requests](#common-responses)."

    def _response_table(self, responses: Node) -> Iterator[str]:
        resolved = [
            (status, self._resolve(response)) for status, response in responses.items()
        ]
        rows = [
            (f"`{status}`", self._content(one), self._meaning(one))
            for status, one in resolved
        ]
        yield from _table(("response", "body", "meaning"), rows)

    def _body(self, body: Node | None) -> Iterator[str]:
        if body is None:
            return
        yield f"\n**Body**: {self._content(body)}"
        for content in body["content"].values():
            schema = content.get("schema", {})
            if "$ref" not in schema and "properties" in schema:
                yield from self._properties(schema)

    def _content(self, holder: Node) -> str:
        bodies = holder.get("content", {})
        return "<br>".join(
            f"`{media}`{self._described(content.get('schema'))}"
            if media != "application/json"
            else self._kind(content.get("schema", {}))
            for media, content in bodies.items()
        )

    def _described(self, schema: Node | None) -> str:
        return f": {self._kind(schema)}" if schema else ""

    def _schema(self, name: str, schema: Node) -> Iterator[str]:
        yield f"\n### {name} {{ #{_anchor(name)} }}\n"
        about = [
            self._meaning(schema),
            "" if "properties" in schema else f"Type: {self._kind(schema)}.",
        ]
        yield " ".join(filter(None, about))
        yield from self._properties(schema)
        variants = [
            part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())
        ]
        for variant in variants:
            condition = _condition(variant)
            shape = variant.get("then", variant)
            if condition:
                yield f"\n{condition}:\n"
            yield from self._properties(shape)

    def _properties(self, schema: Node) -> Iterator[str]:
        required = schema.get("required", ())
        rows = [
            (
                _name(name, required=name in required),
                self._kind(inner),
                self._meaning(inner, inner),
            )
            for name, inner in schema.get("properties", {}).items()
        ]
        yield from _table(("field", "type", "meaning"), rows)

    def _kind(self, schema: Node | bool) -> str:
        """The type of a value in a few words, with links to objects."""
        if isinstance(schema, bool) or not schema:
            return "anything"
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            return f"[{name}](#{_anchor(name)})"
        if "const" in schema:
            return f"`{schema['const']}`"
        if "enum" in schema:
            return " or ".join(f"`{value}`" for value in schema["enum"])
        for key in ("anyOf", "oneOf"):
            if key in schema and "type" not in schema:
                kinds = [
                    self._kind(part) for part in schema[key] if part.keys() - {"required"}
                ]
                return " or ".join(dict.fromkeys(kinds)) or "object"
        kinds = (
            [schema["type"]]
            if isinstance(schema.get("type"), str)
            else schema.get("type", ["anything"])
        )
        words = [
            f"array of {self._kind(schema.get('items', {}))}" if kind == "array" else kind
            for kind in kinds
        ]
        return " or ".join(words)

    def _meaning(self, holder: Node, schema: Node | None = None) -> str:
        """What is said of a value: its description, limits, known values, and grade."""
        schema = schema or holder
        parts = [holder.get("description") or ""]
        limits = [
            words.format(schema[key]) for key, words in _LIMITS.items() if key in schema
        ]
        if limits:
            parts.append(
                f"{', '.join(limits).capitalize() if limits[0][0] != '`' else ', '.join(limits)}."
            )
        for key, words in (
            ("x-known-values", "Known values"),
            ("x-also-seen", "Also seen"),
        ):
            if values := schema.get(key):
                parts.append(f"{words}: {', '.join(f'`{value}`' for value in values)}.")
        if examples := schema.get("examples"):
            shown = [
                f"`{example}`" for example in examples if isinstance(example, str | int)
            ]
            parts += [f"For example {', '.join(shown)}."] if shown else []
        if grade := holder.get("x-grade"):
            parts.append(f"*{grade}*")
        return " ".join(part.strip() for part in parts if part)

    def _resolve(self, node: Node) -> Node:
        if "$ref" not in node:
            return node
        found: Any = self.root
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return {**found, **{key: value for key, value in node.items() if key != "$ref"}}


def _condition(variant: Node) -> str:
    """The condition of a variant that holds for some values of a field."""
    tests = variant.get("if", {}).get("properties", {})
    said = [
        f"`{name}` is {' or '.join(f'`{value}`' for value in _values(test))}"
        for name, test in tests.items()
        if _values(test)
    ]
    return f"If {' and '.join(said)}" if said else ""


def _values(test: Node | bool) -> Sequence[object]:
    if isinstance(test, bool):
        return []
    return test.get("enum") or ([test["const"]] if "const" in test else [])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield ""
        yield f"| {' | '.join(heads)} |"
        yield f"|{'---|' * len(heads)}"
        for row in rows:
            yield f"| {' | '.join(_cell(cell) for cell in row)} |"
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _name(name: str, *, required: bool) -> str:
    return f"`{name}` *required*" if required else f"`{name}`"


def _anchor(name: str) -> str:
    return f"object-{name}"


def _heading(tag: str) -> str:
    return tag.replace("-", " ").capitalize()
