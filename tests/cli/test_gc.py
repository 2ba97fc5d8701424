"""Deleting, restoring and collecting by command, with a server and without."""

import json
import os
import pty
import subprocess

import pytest

from longtake.client import Client
from tests.cli.program import BIN, longtake, served, write_tone


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


def typing(text, *words, cwd):
    """The exit code of the program on a terminal, where somebody types this."""
    near, far = pty.openpty()
    try:
        with subprocess.Popen([BIN, *words], cwd=cwd, stdin=far, stdout=far, stderr=subprocess.PIPE) as child:
            os.write(near, text.encode())
            _, said = child.communicate(timeout=60)
    finally:
        os.close(near)
        os.close(far)
    assert b"internal_error" not in said
    return child.returncode


def test_a_session_goes_to_the_trash_and_comes_back_and_goes_for_good(folder):
    [session_id] = listed(folder)
    run = longtake("sessions", "delete", session_id[:8], "--data", "data", cwd=folder)
    assert (run.returncode, run.stdout) == (0, f"{session_id} is in the trash for 24 hours\n")
    assert listed(folder) == []
    run = longtake("sessions", "list", "--trash", "--data", "data", cwd=folder)
    assert run.stdout.splitlines()[1].split()[0] == session_id
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


def test_on_a_terminal_it_asks_before_it_deletes_for_good(folder):
    [session_id] = listed(folder)
    words = ("sessions", "delete", session_id, "--purge", "--data", "data")
    for typed in ("n\n", "\n", "\x04"):
        assert typing(typed, *words, cwd=folder) == 1
        assert listed(folder) == [session_id]
    assert longtake("sessions", "delete", session_id, "--data", "data", cwd=folder).returncode == 0
    assert typing("y\n", *words, cwd=folder) == 0
    assert collected(folder, "--older-than", "0s")["deleted"] >= 2


def test_with_yes_nothing_is_asked(folder):
    [session_id] = listed(folder)
    assert typing("", "sessions", "delete", session_id, "--purge", "--yes", "--data", "data", cwd=folder) == 0
    assert listed(folder) == []


def test_what_lies_idle_is_ended_by_command(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAKE_IDLE_HOURS", "0.0000003")
    with served(tmp_path / "data", "--engine", "none") as url, Client(url) as client:
        empty, talked, later = [client.create_session().id for _ in range(3)]
        client.mark(talked, "here", at_ms=0)
        client.delete(later)
        run = longtake("sessions", "list", "--trash", "--data", "data", "--json", cwd=tmp_path)
        assert [session["id"] for session in json.loads(run.stdout)["items"]] == [later]
        run = longtake("cleanup", "--data", "data", "--json", cwd=tmp_path)
        assert json.loads(run.stdout) | {"forgotten_answers": 0} == {
            "ended": [talked],
            "removed": [empty],
            "forgotten_answers": 0,
        }
        client.restore(later)
    run = longtake("cleanup", "--data", "data", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "0 sessions ended, 1 empty ones put into the trash\n")


@pytest.mark.parametrize("wrong", ["soon", "-1h", "1y", ""])
def test_what_is_no_time_is_misuse(tmp_path, wrong):
    run = longtake("gc", f"--older-than={wrong}", "--data", "data", cwd=tmp_path)
    assert run.returncode == 2
    assert "--older-than" in run.stderr
