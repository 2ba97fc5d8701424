"""The reference says all there is, and nothing that is not."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import typer.main

import longtake.client
import longtake.server.problems
from longtake.cli.main import app
from longtake.cli.problems import WAYS_OUT
from longtake.model.errors import LongtakeError
from longtake.settings import Settings
from tests.cli.program import BIN
from tests.conftest import ROOT
from tests.docs.codes import codes

REF = ROOT / "docs/ref"


def rows(text: str) -> dict[str, list[str]]:
    """The rows of all tables whose first cell is code: name → the other cells."""
    lines = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def commands(command, path="longtake") -> Iterator[tuple[str, set[str]]]:
    """Every command that does something, with its flags."""
    flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts) if flag.startswith("--")}
    if not getattr(command, "commands", None) or flags - {"--help"}:
        yield path, flags - {"--help"}
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def classes(kind: type[LongtakeError] = LongtakeError) -> Iterator[type[LongtakeError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from classes(inner)


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_every_command_is_documented_and_no_other():
    assert set(re.findall(r"^## (.*)$", (REF / "cli.md").read_text(), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_flags_of_a_command_are_documented_and_no_others(path):
    section = re.search(rf"^## {path}$(.*?)(?=^## |\Z)", (REF / "cli.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    assert set(rows(section[1])) == COMMANDS[path]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_with_an_example(path):
    run = subprocess.run([BIN, *path.split()[1:], "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert re.search(r"Example: longtake \w", run.stdout)


def test_every_setting_is_documented_with_its_default_and_no_other():
    documented = rows((REF / "settings.md").read_text())
    fields = Settings.model_fields
    assert set(documented) == set(fields)
    assert {name: text for name, (_, text) in documented.items()} == {n: f.description for n, f in fields.items()}
    assert {name: default.strip("`") for name, (default, _) in documented.items()} == {
        name: shown(field.default) for name, field in fields.items()
    }


def shown(default: object) -> str:
    """A default as it is written in the table."""
    if default is None:
        return "none"
    return json.dumps(default) if isinstance(default, tuple) else str(default)


def test_every_error_code_is_documented_and_no_other():
    assert set(rows((REF / "errors.md").read_text())) == codes()


def test_the_documented_status_of_an_error_is_the_one_that_is_sent():
    documented = rows((REF / "errors.md").read_text())
    assert longtake.client.ServerError in classes()
    assert longtake.server.problems.CrossSite in classes()
    assert {kind.code: documented[kind.code][0] for kind in classes()} == {
        kind.code: str(kind.http_status) for kind in classes()
    }


def test_what_the_command_line_advises_is_what_the_reference_says():
    documented = rows((REF / "errors.md").read_text())
    assert {code: documented[code][2] for code in WAYS_OUT} == WAYS_OUT
