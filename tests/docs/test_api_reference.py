"""The reference of the HTTP API is what the server's own document says."""

import pytest

from tools.api_reference import EVERYWHERE, METHODS, TARGET, document, reference


@pytest.fixture(scope="module")
def api():
    return document()


def test_the_reference_is_what_the_document_says(api):
    """If not: `python tools/api_reference.py` writes it anew."""
    assert TARGET.read_text() == reference(api)


def test_every_route_is_in_the_reference_with_its_parameters_and_problems(api):
    text = TARGET.read_text()
    head = text.partition("\n## ")[0]
    assert all(f"`{name}`" in head for name in EVERYWHERE)
    for path, operations in api["paths"].items():
        for method in METHODS:
            if method in operations:
                _, found, rest = text.partition(f"### `{method.upper()} {path}`\n")
                assert found, f"{method} {path}"
                section = rest.partition("\n### ")[0]
                for parameter in operations[method].get("parameters", []):
                    is_everywhere = parameter["name"] in EVERYWHERE
                    assert is_everywhere or f"`{parameter['name']}`" in section, f"{method} {path} {parameter['name']}"
                for status in set(operations[method]["responses"]) - {"default"}:
                    assert status in section, f"{method} {path} {status}"


def test_every_route_says_what_it_does_and_belongs_to_a_room(api):
    for path, operations in api["paths"].items():
        for method in METHODS:
            operation = operations.get(method)
            if operation is not None:
                assert operation.get("description") or operation.get("summary"), f"{method} {path}"
