"""Deleting, restoring and collecting by command, with a server and without."""

import json

import pytest

from tests.cli.program import longtake, served, write_tone


@pytest.fixture
def folder(tmp_path):
    write_tone(tmp_path / "tone.wav", seconds=2)
    with served(tmp_path / "data", "--engine", "none"):
        run = longtake("upload", "tone.wav", "--data", "data", "--json", cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    return tmp_path


def listed(folder):
    run = longtake("sessions", "list", "--data", "data", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    return [one["id"] for one in json.loads(run.stdout)["items"]]


def collected(folder, *words):
    run = longtake("gc", "--data", "data", "--json", *words, cwd=folder)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_session_goes_to_the_trash_and_comes_back_and_goes_for_good(folder):
    [session_id] = listed(folder)
    run = longtake("sessions", "delete", session_id[:8], "--data", "data", cwd=folder)
    assert (run.returncode, run.stdout) == (0, f"{session_id} is in the trash for 24 hours\n")
    assert listed(folder) == []
    run = longtake("sessions", "restore", session_id, "--data", "data", cwd=folder)
    assert (run.returncode, run.stdout) == (0, f"{session_id[:8]} is back: completed\n")
    assert listed(folder) == [session_id]
    run = longtake("sessions", "delete", session_id, "--purge", "--data", "data", "--json", cwd=folder)
    assert json.loads(run.stdout) == {"session_id": session_id, "purged": True}
    run = longtake("sessions", "restore", session_id, "--data", "data", cwd=folder)
    assert (run.returncode, run.stderr.startswith("longtake: session_not_found")) == (1, True)
    assert collected(folder)["deleted"] == 0
    would = collected(folder, "--older-than", "0s", "--dry-run")
    with served(folder / "data", "--engine", "none"):
        done = collected(folder, "--older-than", "0s")
    assert (done["deleted"], done["bytes"]) == (would["deleted"], would["bytes"])
    assert done["deleted"] >= 2


@pytest.mark.parametrize("wrong", ["soon", "-1h", "1y", ""])
def test_what_is_no_time_is_misuse(tmp_path, wrong):
    run = longtake("gc", f"--older-than={wrong}", "--data", "data", cwd=tmp_path)
    assert run.returncode == 2
    assert "--older-than" in run.stderr
