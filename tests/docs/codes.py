"""Every error code that the source can raise, read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import longtake

SOURCE = Path(longtake.__file__).parent
ERRORS = ("LongtakeError", "Rejected", "Unavailable", "ProcessingFailed")


def codes() -> set[str]:
    """All codes: of classes, of `NotFound("kind", …)`, of `code="…"`, and the framework's."""
    return {code for path in SOURCE.rglob("*.py") for code in codes_of(ast.parse(path.read_text()))}


def codes_of(tree: ast.AST) -> Iterator[str]:
    """The codes in one module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (text for name, text in constants(node) if name == "code")
        elif isinstance(node, ast.Call):
            if getattr(node.func, "id", "") == "NotFound" and isinstance(node.args[0], ast.Constant):
                yield f"{node.args[0].value!s}_not_found"
            yield from (
                str(word.value.value)
                for word in node.keywords
                if word.arg == "code" and isinstance(word.value, ast.Constant) and isinstance(word.value.value, str)
            )
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "HTTP_CODES":
            yield from ast.literal_eval(node.value).values()


def constants(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The string constants that a class assigns in its body."""
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        value = getattr(line, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield target.id, value.value
