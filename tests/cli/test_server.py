"""Commands with a server, and the one owner of a data folder."""

import json
import os

import httpx
import pytest

from longtake.client import Client
from longtake.model.session import TrackKind
from longtake.runtime import DataFolder, Runtime
from longtake.sessions.manager import NewSession
from longtake.settings import Settings
from longtake.wire.sessions import SessionRequest
from longtake.wire.tracks import TrackRequest
from tests.cli.program import longtake, served, write_tone


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands run: beside the data folder of the server."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(folder):
    """A server that recognises nothing, on `data` in the folder."""
    with served(folder / "data", "--engine", "none") as address:
        yield address


@pytest.fixture(scope="module")
def uploaded(folder, url):
    """A session that was uploaded to the server that owns the data folder."""
    write_tone(folder / "tone.wav", seconds=2)
    run = longtake("upload", "tone.wav", "--data", "data", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["items"][0]


def test_an_upload_is_followed_to_its_end(uploaded):
    assert uploaded["state"] == "completed"
    assert uploaded["processing"] == "completed"
    assert uploaded["total_duration_ms"] == 2000


def test_an_upload_finds_a_server_by_its_address(folder, url, uploaded):
    run = longtake("upload", "tone.wav", "--server", url, "--no-wait", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["items"][0]["title"] == uploaded["title"]


def test_a_file_can_be_given_a_title_and_several_cannot_be_given_one(folder, url, uploaded):
    name = ("--title", "Über die Bienen", "--server", url, "--no-wait", "--json")
    run = longtake("upload", "tone.wav", *name, cwd=folder)
    assert json.loads(run.stdout)["items"][0]["title"] == "Über die Bienen", run.stderr
    run = longtake("upload", "tone.wav", "tone.wav", *name, cwd=folder)
    assert (run.returncode, run.stdout) == (2, "")
    assert "several files cannot have one title" in run.stderr


def test_a_file_whose_name_is_no_utf8_is_uploaded_under_what_can_be_read(folder, url):
    name = os.fsdecode(b"Ges\xe4ng.wav")
    write_tone(folder / name, seconds=1)
    run = longtake("upload", name, "--server", url, "--no-wait", cwd=folder)
    assert (run.returncode, run.stdout.endswith("Ges\ufffdng.wav\n")) == (0, True), run.stderr


def test_a_file_that_is_refused_is_named_and_does_not_stop_the_others(folder, url, uploaded):
    (folder / "notes.txt").write_text("this is no sound")
    run = longtake("upload", "notes.txt", "tone.wav", "--server", url, "--no-wait", cwd=folder)
    assert (run.returncode, run.stdout.endswith("tone.wav\n")) == (1, True)
    assert "longtake: unsupported_media: notes.txt: the bytes are none of WAV" in run.stderr


def test_sessions_are_listed_through_the_owner(folder, uploaded):
    run = longtake("sessions", "list", "--data", "data", "--json", cwd=folder)
    assert uploaded["id"] in [session["id"] for session in json.loads(run.stdout)["items"]]
    plain = longtake("sessions", "list", "--data", "data", cwd=folder)
    assert uploaded["id"][:8] in plain.stdout


def test_a_session_is_shown_by_the_beginning_of_its_id(folder, uploaded):
    run = longtake("sessions", "show", uploaded["id"][:8], "--data", "data", "--json", cwd=folder)
    shown = json.loads(run.stdout)
    assert shown["id"] == uploaded["id"]
    assert [track["stored_ms"] for track in shown["tracks_coverage"]] == [2000]


def test_what_is_recorded_cannot_steer_the_terminal(folder, url):
    words = "\x1b]0;owned\x07 \x9b2J \u202egnp.exe \n2024-01-01 forged"
    with Client(url) as client:
        session = client.create_session(SessionRequest(title=f"Talk {words}", participant=words))
        client.declare_track(session.id, TrackRequest(kind=TrackKind.MICROPHONE, name=words))
    said = {"speaker": words, "text": words, "start_ms": 0, "end_ms": 1}
    httpx.post(f"{url}/api/sessions/{session.id}/transcript", json=said).raise_for_status()
    listed = longtake("sessions", "list", "--server", url, cwd=folder).stdout
    shown = longtake("sessions", "show", session.id, "--server", url, cwd=folder).stdout
    [row] = [line for line in listed.splitlines() if line.startswith(session.id[:8])]
    assert row.count("\ufffd") == 4
    assert shown.count("\ufffd") == 4 * 4
    for text in (listed, shown):
        assert all(ch.isprintable() or ch == "\n" for ch in text)
        assert not any(line.startswith("2024") for line in text.splitlines())
    raw = longtake("sessions", "show", session.id, "--server", url, "--json", cwd=folder).stdout
    assert "\x9b" not in raw
    assert json.loads(raw)["title"] == session.title


def test_a_session_is_processed_again(folder, uploaded):
    run = longtake("sessions", "retry", uploaded["id"], "--data", "data", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["session_id"] == uploaded["id"]


def test_a_session_that_has_ended_cannot_be_ended(folder, uploaded):
    run = longtake("sessions", "end", uploaded["id"], "--data", "data", cwd=folder)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: illegal_transition: ")


def test_an_unknown_session_is_one_line(folder, url):
    run = longtake("sessions", "show", "0" * 36, "--server", url, cwd=folder)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: session_not_found: ")


def test_the_demo_goes_through_the_server(folder, url):
    run = longtake("demo", "--data", "data", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    session = json.loads(run.stdout)
    assert session["coverage"] == {"expected_ms": 39700, "stored_ms": 39700, "gap_count": 0}


def test_a_second_server_on_the_folder_is_refused(folder, url):
    run = longtake("serve", "--port", "0", "--data", "data", cwd=folder)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("longtake: data_folder_in_use: ")
    assert url in run.stderr


def test_a_server_answers_on_loopback_only(tmp_path):
    run = longtake("serve", "--host", "192.0.2.1", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: forbidden: ")


def test_without_a_server_there_is_a_way_out(tmp_path):
    write_tone(tmp_path / "tone.wav", seconds=1)
    run = longtake("upload", "tone.wav", "--server", "http://127.0.0.1:9", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: server_unreachable: ")
    assert "longtake serve" in run.stderr


def test_without_a_data_folder_there_is_a_way_out(tmp_path):
    run = longtake("sessions", "list", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: data_folder_not_found: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sessions list", "sessions show abcd", "cleanup", "gc", "verify"])
def test_a_folder_that_lost_its_database_is_told_from_none(tmp_path, command):
    with Runtime.open(
        Settings.model_validate({"data": tmp_path / "data", "engine": "none"}), with_engine=False
    ) as runtime:
        runtime.sessions.create(NewSession(title="here"))
    for path in (tmp_path / "data").glob("longtake.db*"):
        path.unlink()
    run = longtake(*command.split(), "--data", "data", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: database_outdated: ")
    assert "longtake rebuild" in run.stderr


def test_a_folder_in_the_hands_of_another_command_is_left_alone(tmp_path):
    folder = DataFolder(tmp_path / "data")
    try:
        (tmp_path / "data/longtake.db").touch()
        run = longtake("sessions", "list", "--data", "data", cwd=tmp_path)
    finally:
        folder.release()
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: data_folder_in_use: ")
