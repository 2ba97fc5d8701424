"""The tracked files: their size, their place, and what they must not mention."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import longtake
from tests.conftest import ROOT

LINES_MAX = 400
PAGE_LINES_MAX = 150
"""Of markup, style and script together, until the web application replaces the page."""

LINE_MAX = 120
FACE = "src/longtake/__init__.py"
"""The package's own face; every other `__init__.py` is empty."""

TARGETS = ("run", "test", "check", "bench", "fmt", "lock")
PLACES = {
    "somebody's folder": r"(?<![\w.~$}\])>])/(?:home|root|Users|work)/\w",
    "a registry": r"\bpypi\.org|pythonhosted\.org|registry\.npmjs",
    "a folder beside the checkout": r"\.\./shared\b",
}


def tracked() -> list[str]:
    """The paths of the tracked files that are there, relative to the checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def text_of(name: str) -> str:
    """A tracked file's text; empty for bytes that are no text."""
    try:
        return (ROOT / name).read_text()
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("what", PLACES)
def test_no_tracked_file_mentions(what):
    assert [name for name in tracked() if re.search(PLACES[what], text_of(name))] == []


def test_no_source_file_is_longer_than_can_be_read_at_once():
    sizes = {name: len(text_of(name).splitlines()) for name in tracked() if name.endswith((".py", ".html", ".js"))}
    assert {name: size for name, size in sizes.items() if size > LINES_MAX} == {}


def test_the_page_stays_plain():
    server = "src/longtake/server"
    page = [text_of(f"{server}/{name}") for name in ("page.html", "static/page.css", "static/page.js")]
    lines = [line for text in page for line in text.splitlines()]
    assert len(lines) < PAGE_LINES_MAX
    assert [line for line in lines if len(line) > LINE_MAX] == []


def test_packages_are_imported_from_where_a_name_is_defined():
    faces = [name for name in tracked() if name.endswith("__init__.py") and name != FACE]
    assert [name for name in faces if text_of(name)] == []


def test_every_module_says_what_it_is():
    modules = [name for name in tracked() if name.endswith(".py") and text_of(name)]
    assert [name for name in modules if ast.get_docstring(ast.parse(text_of(name))) is None] == []


def test_a_folder_of_tests_is_named_for_a_room_or_a_kind():
    kinds = {"acceptance", "contract", "data", "docs", "house", "operations", "quality"}
    rooms = {Path(name).parts[2].removesuffix(".py") for name in tracked() if name.startswith("src/longtake/")}
    folders = {Path(name).parts[1] for name in tracked() if re.match(r"tests/\w+/", name)}
    assert folders - rooms - kinds == set()


def test_the_makefile_has_the_targets_that_the_documents_name():
    assert set(TARGETS) <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_ci_runs_the_tests_by_the_documented_command():
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_newest_release_in_the_changelog_is_this_version():
    newest = re.search(r"^## (?!Unreleased$)(\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == longtake.__version__


def test_the_layers_hold():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout.split("\n\n\n")[-1]  # without the banner
