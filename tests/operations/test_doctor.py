"""Each problem is made for real; the doctor names it, and its remedy mends it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import delete, update

from longtake.cli.checks.store import SHOWN
from longtake.storage.database import Database
from longtake.storage.tables import blobs, blocks, jobs, segments, sessions, tracks
from tests.acceptance.server import LongtakeServer
from tests.cli.program import BIN
from tests.conftest import ROOT
from tests.enrichment.recording import GARBAGE, Recording, running, tone, wav

DAY_MS = 24 * 3_600_000


def now_ms():
    return time.time_ns() // 1_000_000


def doctor(data, **environment):
    """(exit code, check → finding that is not ok)."""
    run = subprocess.run(
        [BIN, "doctor", "--data", data, "--json"], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert run.stdout, run.stderr
    answer = json.loads(run.stdout)
    assert run.returncode == bool(answer["wrong"])
    assert answer["wrong"] == sum(one["level"] == "wrong" for one in answer["findings"])
    found = {}
    for one in answer["findings"]:
        if one["level"] != "ok":
            found[one["check"]] = one
    return run.returncode, found


def mend(finding, **environment):
    """Run a remedy as it stands."""
    words = shlex.split(finding["remedy"])
    assert words[0] == "longtake" or words[0] in ("chmod", "kill", "rm")
    words[0] = str(BIN) if words[0] == "longtake" else words[0]
    run = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment})
    assert run.returncode == 0, run.stderr


def change(data, *statements):
    db = Database(data / "longtake.db")
    with db.write() as c:
        for statement in statements:
            c.execute(statement)
    db.close()


@pytest.fixture
def data(tmp_path):
    """A folder with one session that has ended and is whole."""
    data = tmp_path / "data"
    with running(data) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(0.5)))
        recording.end()
        recording.finish()
        recording.settle()
    return data


def test_a_well_folder_is_well_and_an_empty_one_is_no_problem(data, tmp_path):
    code, found = doctor(data)
    assert code == 0, found
    assert set(found) <= {"engine", "sandbox", "flush", "room"}, found
    assert doctor(tmp_path / "nothing")[0] == 0


def test_people_see_a_line_and_a_command(data):
    data.chmod(0o755)
    run = subprocess.run([BIN, "doctor", "--data", data], capture_output=True, text=True)
    assert f"warning permissions: others on this machine can look into {data}\n        $ chmod 700 {data}" in run.stdout
    assert run.stdout.endswith("Nothing is wrong.\n")


def test_a_folder_that_others_see_is_closed(data):
    data.chmod(0o755)
    code, found = doctor(data)
    assert (code, found["permissions"]["level"]) == (0, "warning")
    mend(found["permissions"])
    assert "permissions" not in doctor(data)[1]


def test_a_damaged_database_is_rebuilt_and_what_was_kept_can_go(data):
    content = bytearray((data / "longtake.db").read_bytes())
    content[4096 : 4096 * 8] = os.urandom(4096 * 7)
    (data / "longtake.db").write_bytes(content)
    code, found = doctor(data)
    assert (code, found["database"]["level"]) == (1, "wrong")
    mend(found["database"])
    code, found = doctor(data)
    assert "database" not in found
    assert found["lanes"]["text"].startswith("1 sessions wait")
    mend(found["leftovers"])
    assert "leftovers" not in doctor(data)[1]


def test_a_database_that_is_gone_is_rebuilt(data):
    for path in data.glob("longtake.db*"):
        path.unlink()
    code, found = doctor(data)
    assert (code, "gone" in found["database"]["text"]) == (1, True)
    mend(found["database"])
    assert "database" not in doctor(data)[1]


def test_a_database_of_a_newer_longtake_is_left_alone(data):
    db = Database(data / "longtake.db")
    with db.write() as c:
        c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    code, found = doctor(data)
    assert (code, "newer" in found["database"]["text"]) == (1, True)


def test_a_damaged_store_of_the_engine_is_told(data):
    (data / "engine.db").write_bytes(b"nonsense" * 2000)
    code, found = doctor(data)
    assert (code, found["engine store"]["level"]) == (0, "warning")


@pytest.mark.parametrize("wanted", [{"LONGTAKE_ENGINE": "whisper:base"}, {"LONGTAKE_LANGUAGE": "de"}])
def test_an_engine_that_is_not_installed_is_wrong(data, wanted):
    code, found = doctor(data, **wanted)
    assert (code, found["engine"]["remedy"]) == (1, f"longtake models install base --data {data}")


def test_a_low_limit_of_open_files_is_told(data):
    command = ["sh", "-c", 'ulimit -n 256; exec "$0" doctor --data "$1" --json', BIN, data]
    findings = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["findings"]
    [finding] = [one for one in findings if one["check"] == "files"]
    assert finding["level"] == "warning"
    assert "256 files" in finding["text"]
    assert finding["remedy"].startswith(f"sudo prlimit --pid {os.getpid()} ")


def test_a_disk_without_room_is_wrong(data):
    code, found = doctor(data, LONGTAKE_MIN_FREE_BYTES=str(1 << 60))
    assert (code, found["room"]["level"]) == (1, "wrong")
    assert "delete what is not needed" in found["room"]["text"]
    mend(found["room"])


def test_room_that_can_be_given_back_is(data):
    change(data, update(blobs).values(ref_count=0, orphaned_at_ms=now_ms()), delete(segments), delete(blocks))
    full = {"LONGTAKE_MIN_FREE_BYTES": str(1 << 60)}
    mend(doctor(data, **full)[1]["room"])
    assert "delete what is not needed" in doctor(data, **full)[1]["room"]["text"]


def test_what_is_wrong_with_many_sessions_has_a_remedy_too(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        for _ in range(SHOWN + 1):
            Recording.begin(runtime)
    change(data, update(sessions).values(last_activity_at_ms=now_ms() - DAY_MS))
    found = doctor(data)[1]["silent"]
    assert found["text"] == "1 more sessions like that"
    mend(found)


def test_what_another_command_is_at_work_on_is_not_taken_for_left_behind(data):
    change(data, update(jobs).values(status="processing"), update(tracks).values(media_settled=False))
    assert {"jobs", "lanes"} <= set(doctor(data)[1])
    with running(data, with_engine=False):
        change(data, update(jobs).values(status="processing"))
        code, found = doctor(data)
    assert (code, found["owner"]["level"]) == (0, "note")
    assert {"jobs", "lanes"}.isdisjoint(found)


def test_a_session_that_fell_silent_is_ended(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(0.1)))
    assert "silent" not in doctor(data)[1]
    change(data, update(sessions).values(last_activity_at_ms=now_ms() - DAY_MS))
    code, found = doctor(data)
    assert (code, recording.id in found["silent"]["text"]) == (1, True)
    mend(found["silent"])
    code, found = doctor(data)
    assert code == 0
    assert found["lanes"]["level"] == "note"  # it waits for a server


def test_failed_segments_and_jobs_are_retried(tmp_path):
    data = tmp_path / "data"
    with running(data) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, GARBAGE)
        recording.end()
        recording.finish()
    code, found = doctor(data)
    assert (code, recording.id in found["segments"]["text"]) == (1, True)
    change(data, update(jobs).values(status="failed"))
    assert recording.id in doctor(data)[1]["jobs"]["text"]
    mend(found["segments"])
    code, found = doctor(data)
    assert "segments" not in found
    assert "jobs" not in found


def test_jobs_without_an_owner_go_on_with_the_next_server(tmp_path):
    """A server is killed while a job runs."""
    server = LongtakeServer(tmp_path / "data", engine="pocketsphinx")
    server.start()
    base = json.loads((server.data / "owner.json").read_text())["url"]
    with (ROOT / "tests/data/jfk.flac").open("rb") as file:
        session = server.http.post(f"{base}/api/imports?name=x", content=file.read()).json()
    until = time.monotonic() + 30
    while not server.get("/api/queue")["processing"] and time.monotonic() < until:
        time.sleep(0.01)
    server.kill()
    code, found = doctor(server.data)
    assert (code, found["jobs"]["remedy"]) == (1, f"longtake serve --data {server.data}")
    server.start()
    try:
        server.finished(session["id"])
        assert "jobs" not in doctor(server.data)[1]
    finally:
        server.stop()


def test_what_should_have_gone_is_told(data):
    old = now_ms() - 3 * DAY_MS
    change(data, update(sessions).values(trashed_at_ms=old))
    finding = doctor(data)[1]["trash"]
    assert finding["level"] == "note"
    mend(finding)
    assert "trash" not in doctor(data)[1]


def test_what_should_have_been_collected_is_told(data):
    change(data, update(blobs).values(ref_count=0, orphaned_at_ms=now_ms() - 3 * DAY_MS))
    assert "orphans" in doctor(data)[1]


def test_a_clock_behind_what_is_stored_is_wrong(data):
    change(data, update(sessions).values(last_activity_at_ms=now_ms() + DAY_MS))
    code, found = doctor(data)
    assert (code, found["clock"]["level"]) == (1, "wrong")


def test_a_server_is_asked_and_one_that_does_not_answer_is_wrong(data):
    server = LongtakeServer(data, engine="none")
    server.start()
    try:
        assert doctor(data)[0] == 0
        pid = json.loads((data / "owner.json").read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            code, found = doctor(data)
            assert (code, found["owner"]["remedy"]) == (1, f"kill -9 {pid}")
            mend(found["owner"])
        finally:
            os.kill(pid, signal.SIGCONT)
    finally:
        server.kill()
        server.stop()
    assert doctor(data)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to become somebody else")
def test_a_folder_of_somebody_else_is_wrong(data):
    code = f"""
import os, sys
os.setgid(65534); os.setuid(65534)
from pathlib import Path
from longtake.cli.checks.environment import _permissions
print(_permissions(Path({str(data)!r})).level)
"""
    data.parent.chmod(0o755)
    for parent in data.parents:
        if not parent.stat().st_mode & 0o001:
            pytest.skip("the folder of this test is hidden from others")
    data.chmod(0o755)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "wrong", run.stderr
