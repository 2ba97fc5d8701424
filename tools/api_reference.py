"""Write docs/ref/api.md from the OpenAPI document: `python tools/api_reference.py`. A test compares the two."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longtake.runtime import Runtime
from longtake.server.app import create_app
from longtake.settings import Settings

TARGET = Path(__file__).parent.parent / "docs/ref/api.md"
METHODS = ("get", "put", "post", "patch", "delete")
EVERYWHERE = ("Idempotency-Key", "X-Longtake-Device")
"""What the head of the page says of all of them."""

HEAD = """# The HTTP API

Every route, generated from the OpenAPI document (`GET /api/openapi.json`) by `tools/api_reference.py`.

- JSON in `snake_case`; times are ISO 8601 in UTC, durations end in `_ms`, sizes in `_bytes`; ids are UUIDs.
- Errors are `application/problem+json` with a stable `code`: see [errors](errors.md). Each route lists the statuses
  that it answers with besides; any may answer 400, 403, 421, 422 or, when something unforeseen happens, 500.
- Lists take `limit` (at most 500) and `cursor`; they answer with `items` and `next_cursor`, null at the end.
- Every write can be sent again: PUT by its address, POST with an `Idempotency-Key` header.
- `X-Longtake-Device` names the sending device: histories tell of it, and a new session or track is its own unless it
  names another.
- What can be typed into `q` is in [search](search.md).
"""


def document() -> dict[str, Any]:
    """The OpenAPI document of this version."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"data": Path(folder) / "data", "engine": "none"})
        with Runtime.open(settings, with_engine=False) as runtime:
            return create_app(runtime).openapi()


def reference(api: Mapping[str, Any]) -> str:
    """The whole page."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in api["paths"].items():
        for method in METHODS:
            if method in operations:
                tag = next(iter(operations[method].get("tags", [])), "operation")
                by_tag.setdefault(tag, []).append("\n".join(_route(api, method, path, operations[method])))
    parts = [HEAD]
    for tag in api["tags"]:
        parts += [f"## {tag['description']}\n", *by_tag.pop(tag["name"])]
    assert not by_tag, f"not in the document's tags: {', '.join(by_tag)}"
    return "\n".join(parts).rstrip() + "\n"


def _route(api: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    said = f"{operation['summary']}\n\n{operation.get('description', '')}".strip()
    yield "\n\n".join(" ".join(paragraph.split()) for paragraph in said.split("\n\n")) + "\n"
    rows = [_parameter(one) for one in operation.get("parameters", []) if one["name"] not in EVERYWHERE]
    body = operation.get("requestBody")
    if body is not None:
        rows += _body(api, body)
    if rows:
        yield "| takes | where | type | meaning |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"
    yield "Answers " + "; ".join(_answers(operation["responses"])) + ".\n"


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    said = parameter.get("description", "")
    if "default" in schema and schema["default"] not in (None, []):
        said = f"{said} Default `{schema['default']}`.".strip()
    name = f"`{parameter['name']}`" + ("" if parameter["in"] == "path" or not parameter.get("required") else " (must)")
    return f"| {name} | {parameter['in']} | {_type(schema)} | {_cell(said)} |"


def _body(api: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    for kind, content in body["content"].items():
        schema = content.get("schema", {})
        name = next((one for one in _names(schema)), None)
        if kind != "application/json" or name is None:
            yield f"| the body | body | `{kind}` | {_cell(body.get('description', ''))} |"
            continue
        found = api["components"]["schemas"][name]
        required = found.get("required", [])
        for field, inner in found.get("properties", {}).items():
            must = " (must)" if field in required else ""
            said = inner.get("description", "")
            if inner.get("default") not in (None, [], {}):
                default = inner["default"]
                said = f"{said} Default `{default}`.".strip() if not isinstance(default, dict) else said
            yield f"| `{field}`{must} | body | {_type(inner)} | {_cell(said)} |"


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    problems = []
    for status, response in responses.items():
        if status == "default":
            continue
        if not status.startswith("2") and status != "304":
            problems.append(status)
            continue
        kinds = response.get("content", {})
        names = [name for content in kinds.values() for name in _names(content.get("schema", {}))]
        shown = names or [kind for kind in kinds if kind != "application/json"]
        yield f"{status}" + (f" with `{'`, `'.join(dict.fromkeys(shown))}`" if shown else "")
    if problems:
        yield f"problems {', '.join(problems)}"


def _names(schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of the shapes in a schema."""
    if "$ref" in schema:
        yield schema["$ref"].rsplit("/", 1)[1]
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _names(inner)


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if "enum" in schema:
        return "one of " + " ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts:
        return " or ".join(_type(one) for one in parts)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(reference(document()))
    sys.stdout.write(f"{TARGET}\n")
