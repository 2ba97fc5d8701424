"""What holds for every command."""

import json
import shutil
import subprocess
import sys

import pytest

import longtake as package
from tests.cli.program import BIN, longtake
from tests.conftest import ROOT

HEAVY = (
    "alembic",
    "av",
    "dbos",
    "fastapi",
    "faster_whisper",
    "httpx",
    "numpy",
    "onnxruntime",
    "pydantic",
    "sqlalchemy",
)


def test_the_version_is_printed(tmp_path):
    assert longtake("--version", cwd=tmp_path).stdout == f"longtake {package.__version__}\n"


def test_without_a_command_the_help_is_printed(tmp_path):
    run = longtake(cwd=tmp_path)
    assert run.returncode == 0
    assert "process" in run.stdout
    assert "..." not in run.stdout.partition("Commands:")[2], "a command's line is cut"


def test_the_help_imports_nothing_heavy():
    code = f"import sys, longtake.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_an_unknown_command_is_misuse(tmp_path):
    run = longtake("dance", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr == "longtake: misuse: No such command 'dance'. `longtake --help` says how.\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("port = 'x'", "port"),
        ("speed = 9", "speed"),
        ("port =", "longtake.toml"),
        ("# \xe4", "longtake.toml"),
        ("log_level = 5", "log_level"),
    ],
)
def test_a_wrong_setting_of_the_file_is_named(text, named, tmp_path):
    (tmp_path / "longtake.toml").write_text(text, encoding="latin-1")
    run = longtake("models", "list", cwd=tmp_path)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert named in run.stderr


@pytest.mark.parametrize(("name", "value"), [("allowed_hosts", "example.org"), ("log_level", "verbose")])
def test_a_wrong_variable_is_misuse_and_named(name, value, tmp_path, monkeypatch):
    monkeypatch.setenv(f"LONGTAKE_{name.upper()}", value)
    run = longtake("serve", "--port", "0", cwd=tmp_path)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert name in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_level_of_logs_may_be_written_in_capitals(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAKE_LOG_LEVEL", "WARNING")
    assert longtake("models", "list", cwd=tmp_path).returncode == 0


def test_output_that_nobody_reads_is_no_error(tmp_path):
    run = subprocess.run(f"{BIN} models list | true", shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert run.stderr == ""


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "data").write_text("a file")
    run = longtake("demo", "--data", "data", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: system_error: data: ")
    assert len(run.stderr.splitlines()) == 1


def test_models_are_installed_listed_and_removed(tmp_path):
    model = tmp_path / "my-model"
    shutil.copytree(ROOT / "tests/data/tiny-whisper", model)
    assert longtake("models", "install", model, cwd=tmp_path).returncode == 0
    assert (tmp_path / "longtake-data").stat().st_mode & 0o777 == 0o700
    listed = json.loads(longtake("models", "list", "--json", cwd=tmp_path).stdout)["items"]
    assert [one["engine"] for one in listed if one["installed"]] == ["whisper:my-model", "pocketsphinx"]
    assert longtake("models", "remove", "whisper:my-model", cwd=tmp_path).returncode == 0
    run = longtake("models", "remove", "my-model", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: speech_model_not_found: ")


def test_a_model_that_is_none_is_refused(tmp_path):
    run = longtake("models", "install", "giant", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("longtake: invalid_request: ")
