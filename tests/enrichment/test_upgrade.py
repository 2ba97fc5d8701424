"""An upgrade with jobs in flight: a data folder of the first schema, and an engine's store of another version.

The folder is made as the first version left it: migrated to 0001 and no further, filled with the rows that it knew,
with a workflow of that version's engine cut off in the middle of a job.
"""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic.script import ScriptDirectory

from longtake.enrichment.engine import APPLICATION_VERSION
from longtake.model.lifecycle import JobState
from longtake.model.session import SegmentStatus
from longtake.storage.database import alembic_config
from tests.enrichment.older import FIRST, make_old, recorded
from tests.enrichment.recording import reference_counts_are_exact, running, wait_for

OLD_ENGINE = """
import sys, time
from pathlib import Path
from longtake.enrichment import engine
engine.APPLICATION_VERSION = sys.argv[2]
def run_stage(job_id, claim, name):
    if name == "audio":
        print("begun", flush=True)
        time.sleep(60)
    return True
made = engine.Engine(Path(sys.argv[1]), ("validating", "audio", "completed"), run_stage, lambda *_: None)
made.launch()
for job_id in sys.argv[3:]:
    made.start(job_id, 1)
time.sleep(60)
"""


def completed(recording):
    """The job of a session, once it has ended well."""
    wait_for(lambda: recording.session().job is not None, recording.session)
    wait_for(lambda: recording.job().finished_at_ms is not None, recording.job)
    assert recording.job().status is JobState.COMPLETED
    return recording.job()


def leave_engine(old, version, *job_ids):
    """The store of an engine of some version, with fewer stages, that was killed in the middle of these jobs."""
    program = [sys.executable, "-c", OLD_ENGINE, str(old / "engine.db"), version, *job_ids]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in job_ids:
            assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
    with closing(sqlite3.connect(old / "engine.db")) as connection:
        found = connection.execute("SELECT status, application_version FROM workflow_status").fetchall()
    assert found == [("PENDING", version)] * len(job_ids)


@pytest.fixture(params=["0", APPLICATION_VERSION], ids=["another version", "the same version with other stages"])
def old(tmp_path, request):
    """The folder, and its sessions."""
    sessions = recorded(tmp_path / "new")
    make_old(tmp_path / "new", tmp_path / "old")
    with running(tmp_path / "new", with_engine=False) as runtime:
        sessions["cut off"].runtime = runtime
        job_id = sessions["cut off"].job().id
    leave_engine(tmp_path / "old", request.param, job_id)
    return tmp_path / "old", sessions


def test_jobs_in_flight_are_finished_by_the_new_version(old):
    data, sessions = old
    with running(data) as runtime:
        for recording in sessions.values():
            recording.runtime = runtime
        for name, attempts, claims in (("finished", 1, 1), ("waiting", 1, 1), ("cut off", 2, 2)):
            job = completed(sessions[name])
            assert (job.status, job.attempts, job.claims) == (JobState.COMPLETED, attempts, claims), name
            assert all(one.status is SegmentStatus.COMPLETED for one in sessions[name].segments())
            assert len(sessions[name].pcm()) == 96_000
        sessions["active"].end()
        completed(sessions["active"])
        assert reference_counts_are_exact(runtime)
        with runtime.store.db.read() as c:
            head = ScriptDirectory.from_config(alembic_config(c)).get_current_head()
            assert c.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == head != FIRST
    with running(data):  # what was taken up once more and found its claim to be over is forgotten now
        pass
    with closing(sqlite3.connect(data / "engine.db")) as connection:
        assert connection.execute("SELECT count(*) FROM workflow_status").fetchone() == (0,)
