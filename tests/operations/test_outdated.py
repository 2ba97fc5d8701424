"""A database that is lost, or of an earlier time, is not taken for the folder's own: what it does not know is kept."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

from longtake.model.errors import DatabaseOutdated, StorageFull
from longtake.model.session import TrackKind
from longtake.sessions.manager import NewSession, NewTrack
from longtake.storage import watermark
from longtake.storage.catalog.library import Filter
from tests.cli.program import BIN
from tests.enrichment.older import make_old, recorded
from tests.enrichment.recording import Recording, read_original, running, tone, wav

LARGE_S = 4
"""A body of so many seconds becomes a file of its own."""


def record(data, title, count=2):
    """A session of small bodies and a large one; returns what was acknowledged: (track, index) → bytes."""
    with running(data, with_engine=False) as runtime:
        recording = Recording(runtime, runtime.sessions.create(NewSession(title=title)).id)
        recording.tracks.append(runtime.sessions.declare_track(recording.id, NewTrack(kind=TrackKind.MICROPHONE)).id)
        sent = {index: wav(tone(0.2, hz=300 + index)) for index in range(count)} | {count: wav(tone(LARGE_S))}
        for index, body in sent.items():
            recording.send(index, body)
        return {(recording.tracks[0], index): body for index, body in sent.items()}


def acknowledged(data):
    with running(data, with_engine=False) as runtime:
        sessions, _ = runtime.sessions.page(Filter(), limit=100)
        found = [segment for s in sessions for segment in runtime.sessions.segments(s.id, limit=100)[0]]
        return {(one.track_id, one.index): read_original(runtime, one) for one in found}


def originals(data):
    return {path.name: path.read_bytes() for folder in ("packs", "files") for path in (data / folder).iterdir()}


def lose(data):
    for path in data.glob("longtake.db*"):
        path.unlink()


def back_up(data, to):
    """Of the database alone, as many do it."""
    with closing(sqlite3.connect(data / "longtake.db")) as ours, closing(sqlite3.connect(to)) as copy:
        ours.backup(copy)


def put_back(data, backup):
    lose(data)
    shutil.copy(backup, data / "longtake.db")


def longtake(*words):
    return subprocess.run([BIN, *words], capture_output=True, text=True, timeout=60, check=False)


def doctor_says(data):
    said = json.loads(longtake("doctor", "--data", data, "--json").stdout)
    return next(one for one in said["findings"] if one["check"] == "database")


def assert_refused_and_rebuilt(data, sent):
    """Nothing is started and nothing is touched, and the command that is named brings all of it back."""
    before = originals(data)
    with pytest.raises(DatabaseOutdated), running(data):
        pass
    served = longtake("serve", "--data", data, "--port", "0")
    assert served.returncode == 1
    assert served.stderr.splitlines()[-1].startswith("longtake: database_outdated: ")
    assert "longtake rebuild" in served.stderr
    assert originals(data) == before
    finding = doctor_says(data)
    assert finding["level"] == "wrong"
    assert finding["remedy"].startswith("longtake rebuild")
    rebuilt = longtake("rebuild", "--data", data)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert acknowledged(data) == sent
    with running(data, with_engine=False) as runtime:
        assert runtime.collector.collect(0).deleted == 0
    assert acknowledged(data) == sent
    assert doctor_says(data)["level"] == "ok"


@pytest.mark.parametrize("knows_marks", [True, False], ids=["", "of a folder without a mark"])
def test_a_lost_database(tmp_path, knows_marks):
    data = tmp_path / "data"
    sent = record(data, "Interview")
    lose(data)
    if not knows_marks:
        (data / watermark.NAME).unlink()
    assert_refused_and_rebuilt(data, sent)
    assert (data / "longtake.db").stat().st_size


def test_an_emptied_database(tmp_path):
    data = tmp_path / "data"
    sent = record(data, "Interview")
    lose(data)
    (data / "longtake.db").touch()
    assert_refused_and_rebuilt(data, sent)


def test_a_backup_put_back_beside_newer_recordings(tmp_path):
    data = tmp_path / "data"
    sent = record(data, "Monday")
    back_up(data, tmp_path / "backup.db")
    sent |= record(data, "Tuesday")
    put_back(data, tmp_path / "backup.db")
    assert_refused_and_rebuilt(data, sent)


def test_a_backup_of_an_older_schema_put_back(tmp_path):
    recorded(tmp_path / "new")
    make_old(tmp_path / "new", tmp_path / "data")
    data = tmp_path / "data"
    shutil.copy(data / "longtake.db", tmp_path / "backup.db")
    record(data, "Since the upgrade")
    sent = acknowledged(data)
    put_back(data, tmp_path / "backup.db")
    assert_refused_and_rebuilt(data, sent)


def test_an_older_folder_opens_and_is_watched_from_then_on(tmp_path):
    recorded(tmp_path / "new")
    make_old(tmp_path / "new", tmp_path / "data")
    assert watermark.told(tmp_path / "data") == 0
    acknowledged(tmp_path / "data")
    record(tmp_path / "data", "Since the upgrade")
    assert watermark.told(tmp_path / "data") > 0


def test_a_new_folder_opens(tmp_path):
    assert acknowledged(tmp_path / "data") == {}
    assert acknowledged(tmp_path / "data") == {}


def test_a_mark_that_lags_or_that_a_power_cut_has_emptied_is_no_reason(tmp_path):
    data = tmp_path / "data"
    sent = record(data, "Interview")
    for left in (b"%020d\n" % 1, b"", b"\0" * 21):
        (data / watermark.NAME).write_bytes(left)
        assert acknowledged(data) == sent


def test_what_was_not_committed_is_not_told(tmp_path):
    """The packs are ahead of the database by a batch whenever a commit fails: that is no older database."""
    data = tmp_path / "data"
    record(data, "Interview")
    with running(data, with_engine=False) as runtime:
        db = runtime.store.db
        usual = db.before_commit

        def refuse(c):
            usual(c)
            raise StorageFull("no room for the commit")

        for _ in range(3):
            told = watermark.told(data)
            db.before_commit = refuse
            with pytest.raises(StorageFull):
                runtime.sessions.create(NewSession(title="never"))
            assert watermark.told(data) == told
            db.before_commit = usual
            runtime.sessions.create(NewSession(title="there"))
            assert watermark.told(data) == told + 1
    assert not watermark.is_outdated(data)
    with running(data, with_engine=False) as runtime:
        assert len(runtime.sessions.page(Filter(), limit=100)[0]) == 4


def test_a_mark_that_cannot_be_written_stops_nobody(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        (data / watermark.NAME).mkdir()
        runtime.sessions.create(NewSession(title="there"))
        (data / watermark.NAME).rmdir()
        runtime.sessions.create(NewSession(title="there, too"))
    assert watermark.told(data) == 2


@pytest.mark.parametrize("store", ["packs", "derived"])
def test_the_number_of_a_lost_pack_is_never_given_again(tmp_path, store):
    """Rows that name it would read what another segment is."""
    data = tmp_path / "data"
    with running(data) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(12)))
        recording.end()
        recording.finish()
    last = max((data / store).iterdir())
    last.unlink()
    with running(data) as runtime:
        other = Recording.begin(runtime)
        other.send(0, wav(tone(12, hz=900)))
        other.end()
        other.finish()
    assert not last.exists()
    assert min((data / store).iterdir()) > last
