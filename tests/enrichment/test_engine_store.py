"""How the durable engine is used: its store stands apart, flushes as ours, holds JSON, and asks nobody for anything."""

import logging
import sqlite3
import threading
from contextlib import closing

import psutil
import pytest

from longtake.enrichment import engine
from longtake.model.lifecycle import JobState
from tests.enrichment.recording import Recording, cut, running, tone, wait_for


@pytest.fixture
def held(tmp_path):
    """A runtime with a job that waits for its sound; let go at the end."""
    gate = threading.Event()
    with running(tmp_path) as runtime:
        media = runtime.lanes._runs["media"]
        runtime.lanes._runs["media"] = lambda key: gate.wait(60) and media(key)
        recording = Recording.begin(runtime)
        recording.send_all(cut(tone(1.0), 0.5))
        recording.end()
        wait_for(lambda: recording.job().stage == "audio", recording.job)
        yield recording
        gate.set()
        assert recording.finish().status is JobState.COMPLETED


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def tables(path):
    return {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_its_tables_stand_in_a_store_of_their_own(held, tmp_path):
    ours, its = tables(tmp_path / "longtake.db"), tables(tmp_path / "engine.db")
    assert "workflow_status" in its
    assert "jobs" in ours
    assert ours.isdisjoint(its - {"sqlite_sequence", "sqlite_stat1"})


def test_it_writes_ahead_and_keeps_json(held, tmp_path):
    assert rows(tmp_path / "engine.db", "PRAGMA journal_mode") == [("wal",)]
    job = held.job()
    [(workflow, version, kept)] = rows(
        tmp_path / "engine.db", "SELECT workflow_uuid, application_version, serialization FROM workflow_status"
    )
    assert (workflow, version) == (f"job-{job.id}-{job.claims}", engine.APPLICATION_VERSION)
    assert kept == "portable_json"
    steps = rows(tmp_path / "engine.db", "SELECT function_name, output, serialization FROM operation_outputs")
    assert steps == [("stage", "true", "portable_json")] * 3


def test_it_holds_one_connection_and_is_quiet(held, tmp_path):
    opened = [file.path for file in psutil.Process().open_files()]
    assert opened.count(str(tmp_path / "engine.db")) == 1
    assert logging.getLogger("dbos").level == logging.WARNING
