"""The OpenAPI document against the running server: it says what is there, and the server does what it says."""

import json
import re

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from longtake.server.app import create_app
from longtake.server.examples import EXAMPLES
from longtake.server.routes import flat
from longtake.server.security import PUBLIC

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def document(idle):
    return idle.client.get("/api/openapi.json").json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def test_every_route_is_in_the_document_and_every_operation_is_a_route(idle, document):
    served = set()
    for route in flat(create_app(idle.runtime).routes):
        path = getattr(route, "path_format", "")
        for method in (getattr(route, "methods", None) or set()) - {"HEAD"}:
            served.add((path, method.lower()))
    described = {(path, method) for path, method, _ in operations(document)}
    plain = {(path, method) for path, method in served if path in PUBLIC - {"/healthz", "/readyz"}}
    assert served - plain == described


def test_operations_are_named_after_their_functions(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_every_operation_says_how_it_fails(document):
    for path, method, operation in operations(document):
        default = operation["responses"]["default"]["content"]
        assert list(default) == ["application/problem+json"], (method, path)
        if "{session_id}" in path:
            assert "404" in operation["responses"], (method, path)
        if method == "post":
            assert any(one["name"] == "Idempotency-Key" for one in operation["parameters"]), path


def test_every_operation_and_parameter_says_what_it_is(document):
    """In sentences, not in the names of functions."""
    tags = {one["name"] for one in document["tags"] if one["description"]}
    for path, method, operation in operations(document):
        assert operation["summary"].endswith("."), (method, path, operation["summary"])
        assert set(operation["tags"]) <= tags, (method, path)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (method, path, parameter["name"])


def test_every_body_of_json_has_an_example(document):
    schemas = document["components"]["schemas"]
    shown = {}
    for path, method, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            schema = body["schema"]
            reference = next(one["$ref"] for one in (schema, *schema.get("anyOf", [])) if "$ref" in one)
            shown[f"{method} {path}"] = schemas[reference.rpartition("/")[2]].get("examples")
    assert len(shown) > 15
    assert not [name for name, examples in shown.items() if not examples]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: type(one).__name__)
def test_an_example_is_read_as_it_is_shown(document, example):
    [shown] = document["components"]["schemas"][type(example).__name__]["examples"]
    assert type(example).model_validate_json(json.dumps(shown)) == example


def test_every_reference_leads_somewhere(document):
    names = set(re.findall(r'"#/components/schemas/(\w+)"', str(document).replace("'", '"')))
    assert names <= set(document["components"]["schemas"])
    assert {"Problem", "SessionAnswer", "ReceiptAnswer"} <= names


def test_a_file_of_any_kind_may_be_json(document):
    answers = document["paths"]["/api/download/{session_id}/{file_type}"]["get"]["responses"]
    assert [answers[status]["content"] for status in ("200", "206")] == [{"*/*": {}}, {"*/*": {}}]


def test_a_body_that_is_bytes_is_described(document):
    for path, method in (
        ("/api/imports", "post"),
        ("/api/sessions/{session_id}/tracks/{track_id}/segments/{index}", "put"),
    ):
        assert "audio/*" in document["paths"][path][method]["requestBody"]["content"]


CHECKED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
STREAMED = ["put_segment", "import_recording"]


def test_the_server_answers_as_the_document_says(idle, document):
    """Made-up requests to every operation of JSON: each answer is one that the document has."""
    url = str(idle.client.base_url)
    session_id = idle.create()
    track_id = idle.track(session_id)
    schema = schemathesis.openapi.from_dict(document).exclude(operation_id=STREAMED)
    known = {"session_id": session_id, "track_id": track_id}
    tried = set()

    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case):
            case.path_parameters = {
                name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
            }
            case.call_and_validate(base_url=url, checks=CHECKED)
            tried.add(case.operation.label)

        ask()

    assert len(tried) == sum(1 for _ in operations(document)) - len(STREAMED)
