"""`longtake demo` without a server, and what the other commands then find in the data folder."""

import json

import pytest

from tests.cli.program import longtake


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def session(folder):
    """The demo, heard by the draft engine."""
    run = longtake("demo", "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_it_records_two_voices_and_hears_them(session):
    assert session["coverage"] == {"expected_ms": 39700, "stored_ms": 39700, "gap_count": 0}
    assert {entry["speaker"] for entry in session["transcript"]} == {"Ana", "Ben"}
    said = " ".join(entry["text"] for entry in session["transcript"])
    assert "new version" in said
    assert "new office" in said


def test_it_finds_what_has_to_be_done(session):
    assert session["task_ids"]


def test_the_session_is_in_the_data_folder(folder, session):
    run = longtake("sessions", "list", "--json", cwd=folder)
    assert [found["id"] for found in json.loads(run.stdout)["items"]] == [session["id"]]


def test_it_is_shown_with_what_was_said(folder, session):
    run = longtake("sessions", "show", session["id"][:8], cwd=folder)
    assert "Ana: 39.700 s of 39.700 s are there" in run.stdout
    assert session["transcript"][0]["text"] in run.stdout


def test_its_end_cannot_come_twice(folder, session):
    run = longtake("sessions", "end", session["id"][:8], cwd=folder)
    assert run.returncode == 1
    assert run.stderr.startswith("longtake: illegal_transition: ")


def test_processing_again_waits_for_a_server(folder, session):
    run = longtake("sessions", "retry", session["id"][:8], cwd=folder)
    assert run.returncode == 0
    assert "longtake serve" in run.stderr
