"""Every event is documented with its level, and none that is not there."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.conftest import ROOT

PAGE = (ROOT / "docs/ref/events.md").read_text()
SOURCES = [ast.parse(path.read_text()) for path in sorted((ROOT / "src/longtake").rglob("*.py"))]
CHOSEN = "log"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", CHOSEN}


def documented(title: str) -> dict[str, list[str]]:
    """The table of a section: each name in the first cell → the other cells."""
    section = PAGE.split(f"## {title}")[1].split("\n## ")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, *others = (cell.strip() for cell in line.strip("|").split(" | "))
            found |= {name.strip("` "): others for name in names.split(",")}
    return found


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a name or method in the package."""
    for node in (node for tree in SOURCES for node in ast.walk(tree)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def text(argument: ast.expr) -> str | None:
    """An argument that is a text as it stands."""
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def logged() -> dict[str, set[str]]:
    """Name → levels of all that is logged; the level `log` is chosen at run time."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, call in calls():
        of, _, level = name.rpartition(".")
        if of == "log" and level in LEVELS:
            event = text(call.args[level == CHOSEN])
            assert event is not None, f"an event's name is a text: {ast.unparse(call)}"
            found[event].add(level)
    return found


def published() -> set[str]:
    names = {node.value for tree in SOURCES for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    chosen = {name for name in names if isinstance(name, str) and name.startswith("job-") and name.endswith("ed")}
    said = {event for name, call in calls() if name.endswith("bus.publish") and (event := text(call.args[0]))}
    return said | chosen


def test_every_event_of_the_log_is_documented_and_no_other():
    assert set(documented("In the log")) == set(logged())


def test_the_levels_of_the_log_are_documented():
    told = {name: cells[0] for name, cells in documented("In the log").items()}
    assert told.pop("request_refused") == "warning, debug"  # by the status
    assert told == {name: ", ".join(levels) for name, levels in logged().items() if levels != {CHOSEN}}


def test_every_event_of_a_session_is_documented_and_no_other():
    assert set(documented("In sessions")) == published()
