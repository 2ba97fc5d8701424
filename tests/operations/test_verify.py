"""Every kind of damage is made for real, is found, is told of the right session, and is repaired where that can be."""

import json
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from longtake.runtime import new_id, now_ms
from longtake.storage import watermark
from longtake.storage.blobs import LocalBlobs
from longtake.storage.database import Database
from longtake.storage.disk import Disk
from longtake.storage.packs import PackWriter, Record, survey
from longtake.storage.tables import blobs, segments, tracks
from longtake.storage.verify.ledger import packs_of
from longtake.storage.verify.repair import repair
from longtake.storage.verify.result import What
from longtake.storage.verify.run import verify
from tests.cli.program import BIN
from tests.enrichment.recording import Recording, reference_counts_are_exact, running, tone, wav


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of two sessions: small segments, a large one, blocks, an MP3."""
    data = tmp_path_factory.mktemp("whole") / "data"
    with running(data) as runtime:
        recordings = []
        for n in range(2):
            recording = Recording.begin(runtime)
            for index in range(3):
                recording.send(index, wav(tone(0.5, hz=300 + 10 * n + index)), start_ms=500 * index, duration_ms=500)
            recording.send(3, wav(tone(4, hz=500 + n)), start_ms=1500, duration_ms=4000)
            recording.end()
            recording.finish()
            recording.settle()
            runtime.files.open(recording.id, "mp3", wait_s=60)
            recordings.append(recording)
    return data, recordings


@pytest.fixture
def folder(whole, tmp_path):
    subprocess.run(["cp", "-a", whole[0], tmp_path / "data"], check=True)
    return tmp_path / "data"


def look(data, *, mend=False, **more):
    db = Database(data / "longtake.db")
    stored = LocalBlobs(data, Disk(), new_id)
    try:
        found = verify(data, db, now_ms=now_ms, **more)
        if mend:
            watermark.attach(db, stored)
            repair(db, stored, found, now_ms=now_ms, new_id=new_id)
        return found
    finally:
        stored.close()
        db.close()


def change(data, statement):
    db = Database(data / "longtake.db")
    with db.write() as c:
        c.execute(statement)
    db.close()


def spoil(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def record(data, kind, n, store="packs"):
    """The n-th record of a kind, with its pack."""
    found = [
        (pack, one)
        for pack in sorted((data / store).glob("*.pack"))
        for one in survey(pack)
        if getattr(one, "head", {}).get("kind") == kind
    ]
    return found[n]


def test_a_whole_folder_is_whole(folder):
    found = look(folder)
    assert (found.damaged, found.unreferenced_files, found.rowless) == ([], [], [])
    assert found.blobs > 8
    assert found.records > 20


def test_a_spoiled_small_segment_is_told_with_all_that_it_is(folder, whole):
    pack, one = record(folder, "segment", 1)
    spoil(pack, one.offset + 99)
    (damage,) = look(folder).damaged
    recording = whole[1][0]
    assert (damage.what, damage.session_id, damage.track_id) == (What.SEGMENT, recording.id, recording.tracks[0])
    assert (damage.index, damage.start_ms, damage.duration_ms) == (1, 500, 500)
    assert damage.place == f"packs/{pack.name} at {one.offset}"
    assert not damage.is_repairable


@pytest.mark.parametrize("how", ["spoiled", "short", "gone"])
def test_a_file_that_is_spoiled_short_or_gone_is_damage_of_its_session_alone(folder, whole, how):
    _, one = record(folder, "segment", 7)
    path = folder / "files" / str(one.head["sha256"])
    if how == "spoiled":
        spoil(path, 1000)
    elif how == "short":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        path.unlink()
    (damage,) = look(folder).damaged
    assert (damage.session_id, damage.index) == (whole[1][1].id, 3)
    assert {"spoiled": "not those", "short": "5 bytes too early", "gone": "gone"}[how] in damage.why
    assert look(folder, session_id=whole[1][0].id).damaged == []
    assert look(folder, session_id=whole[1][1].id).damaged == [damage]
    assert look(folder, mend=True).left == 1  # nothing to repair it from


def test_a_pack_that_is_gone_is_damage_of_all_that_was_in_it(folder):
    pack, _ = record(folder, "segment", 0)
    pack.unlink()
    found = look(folder)
    assert sum(one.what is What.SEGMENT for one in found.damaged) == 6
    assert sum(one.what is What.RECORD for one in found.damaged) == 8 + 2 + 2


def test_spoiled_derived_bytes_are_dropped_and_made_anew(folder, whole):
    for n in (0, -1):
        pack, one = record(folder, "block", n, store="derived")
        spoil(pack, one.offset + 9)
    before = look(folder)
    assert {one.what for one in before.damaged} == {What.BLOCK}
    assert look(folder, mend=True).left == 0
    with running(folder) as runtime:
        for recording in whole[1]:
            back = Recording(runtime, recording.id, recording.tracks)
            back.settle()
            assert len(back.blocks()) == 1
            assert len(back.blocks(recording.tracks[0])) == 1
        assert reference_counts_are_exact(runtime)
    assert look(folder).damaged == []


def test_a_spoiled_artifact_is_dropped(folder, whole):
    db = Database(folder / "longtake.db")
    with db.read() as c:
        row = c.exec_driver_sql(
            "SELECT b.store, b.key, b.offset FROM artifacts a JOIN blobs b USING (sha256) LIMIT 1"
        ).one()
    db.close()
    spoil(folder / row.store / row.key, row.offset + 5)
    (damage,) = look(folder).damaged
    assert damage.what is What.ARTIFACT
    assert look(folder, mend=True).left == 0
    assert look(folder).damaged == []


def test_wrong_counters_are_counted_anew(folder):
    change(folder, update(blobs).where(blobs.c.store == "files").values(ref_count=blobs.c.ref_count + 1))
    change(folder, update(tracks).values(n_completed=99, size_bytes=5))
    found = look(folder)
    assert {one.what for one in found.damaged} == {What.COUNTER}
    assert sum(one.track_id is not None for one in found.damaged) == 2
    assert look(folder, mend=True).left == 0
    assert look(folder).damaged == []


def test_what_no_row_refers_to_after_a_repair_is_collected(folder, whole):
    change(folder, delete(segments).where(segments.c.number == 1))
    assert look(folder, mend=True).left == 0
    with running(folder, with_engine=False) as runtime:
        assert runtime.collector.collect(0).deleted == len(whole[1])


def test_a_damaged_record_is_told_again_so_that_a_rebuild_finds_it(folder, whole):
    pack, one = record(folder, "segment", 2)
    spoil(pack, one.offset - 20)  # its head
    (damage,) = look(folder).damaged
    assert (damage.what, damage.session_id, damage.index) == (What.RECORD, whole[1][0].id, 2)
    assert look(folder, mend=True).left == 0
    assert look(folder).damaged == []


def test_what_was_stored_before_the_journal_is_told_by_a_repair(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        runtime.store.db.before_commit = lambda c: None
        recording = Recording.begin(runtime)
    assert {one.what for one in look(data).damaged} == {What.RECORD}
    assert look(data, mend=True).left == 0
    assert record(data, "track", 0)[1].head["key"] == recording.tracks
    assert look(data).damaged == []


def test_another_copy_of_the_same_bytes_is_used(folder, whole):
    pack, one = record(folder, "segment", 0)
    body = pack.read_bytes()[one.offset : one.offset + one.size_bytes]
    (folder / "files" / str(one.head["sha256"])).write_bytes(body)
    assert look(folder).unreferenced_files == [one.head["sha256"]]
    spoil(pack, one.offset + 9)
    (damage,) = look(folder).damaged
    assert damage.is_repairable
    assert look(folder, mend=True).left == 0
    assert look(folder).damaged == []


def test_what_is_collected_meanwhile_is_passed_over_and_found_where_it_was_moved_to(folder):
    for name in ("packs/99999999.pack", "derived/99999999.pack", "files/" + "0" * 64):
        (folder / name).symlink_to(folder / "gone")  # listed, and not there when it is opened
    assert look(folder).damaged == []


def test_packs_that_are_begun_meanwhile_are_read_too(tmp_path):
    for n in (1, 2):
        (tmp_path / f"0000000{n}.pack").touch()
    found = packs_of(tmp_path)
    assert next(found).name == "00000001.pack"
    (tmp_path / "00000002.pack").rename(tmp_path / "00000003.pack")
    assert [path.name for path in found] == ["00000002.pack", "00000003.pack"]


def test_bytes_that_were_moved_meanwhile_are_read_where_they_are_now(folder, whole):
    pack, one = record(folder, "segment", 1)
    body = pack.read_bytes()[one.offset : one.offset + one.size_bytes]
    moved: list[Path] = []

    def move(done, total):  # after the first piece, as a collection does
        if not moved:
            writer = PackWriter(folder / "packs", Disk())
            name, (offset,) = writer.append([Record(head=one.head, body=[body])])
            writer.close()
            moved.append(folder / "packs" / name)
            spoil(pack, one.offset + 9)
            mine = blobs.c.sha256 == one.head["sha256"]
            change(folder, update(blobs).where(mine).values(key=name, offset=offset))

    assert look(folder, progress=move).damaged == []
    spoil(moved[0], moved[0].stat().st_size - 9)
    assert [damage.index for damage in look(folder).damaged] == [1]


def test_a_row_that_was_lost_is_told_and_comes_back_by_a_rebuild(folder, whole):
    recording = whole[1][0]
    gone = (segments.c.track_id == recording.tracks[0]) & (segments.c.number == 1)
    change(folder, delete(segments).where(gone))
    look(folder, mend=True)  # counters: nothing but this tells of it then
    assert look(folder).rowless == [f"session {recording.id} track {recording.tracks[0]} segment 1"]
    run = subprocess.run([BIN, "verify", "--data", folder], capture_output=True, text=True)
    assert (run.returncode, "longtake rebuild --force" in run.stderr) == (0, True)
    subprocess.run([BIN, "rebuild", "--force", "--data", folder], check=True, capture_output=True)
    assert look(folder).rowless == []


def test_what_was_deleted_is_not_missed(folder, whole):
    with running(folder, with_engine=False) as runtime:
        runtime.deletion.purge(whole[1][0].id)
        runtime.deletion.delete_audio(whole[1][1].id)
    assert look(folder).rowless == []


def test_every_file_that_nothing_refers_to_is_listed(folder):
    names = {f"{n:064d}" for n in range(1100)}
    for name in names:
        (folder / "files" / name).touch()
    assert set(look(folder).unreferenced_files) == names


def test_a_damaged_file_that_was_made_and_is_a_segment_of_another_stays_the_segments(folder):
    db = Database(folder / "longtake.db")
    with db.read() as c:
        row = c.exec_driver_sql("SELECT b.* FROM artifacts a JOIN blobs b USING (sha256) LIMIT 1").one()
    db.close()
    path = folder / row.store / row.key
    with running(folder, with_engine=False) as runtime:
        imported = Recording.begin(runtime)
        imported.send(0, path.read_bytes()[row.offset :][: row.size_bytes])
    spoil(path, row.offset + 5)
    change(folder, update(tracks).values(n_failed=99))
    found = look(folder, mend=True)
    assert [one.session_id for one in found.damaged if not one.is_repairable] == [imported.id]
    assert found.left == 1
    (damage,) = look(folder).damaged
    assert (damage.what, damage.session_id) == (What.SEGMENT, imported.id)


def test_a_torn_tail_is_no_damage(folder):
    pack = max((folder / "packs").glob("*.pack"))
    with pack.open("ab") as file:
        file.write(b"LTR1 and the power went")
    found = look(folder)
    assert (found.damaged, found.torn_tails) == ([], [f"packs/{pack.name}"])


def test_beside_a_runtime_that_stores_and_works_nothing_is_taken_for_damage(tmp_path):
    data = tmp_path / "data"
    with running(data) as runtime:
        recording = Recording.begin(runtime)
        over = threading.Event()

        def record_on():
            n = 0
            while not over.is_set():
                recording.send(n, wav(tone(0.1, hz=300 + n)))
                n += 1

        thread = threading.Thread(target=record_on)
        thread.start()
        try:
            until = time.monotonic() + 4
            while time.monotonic() < until:
                db = Database(data / "longtake.db")
                assert verify(data, db, now_ms=now_ms).damaged == []
                db.close()
        finally:
            over.set()
            thread.join()


def test_the_command_says_what_is_lost_and_exits_1(folder, whole):
    run = subprocess.run([BIN, "verify", "--data", folder], capture_output=True, text=True)
    assert (run.returncode, "Nothing is damaged" in run.stdout) == (0, True), run.stderr
    pack, one = record(folder, "segment", 1)
    spoil(pack, one.offset + 99)
    run = subprocess.run([BIN, "verify", "--data", folder], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"session {whole[1][0].id}:" in run.stdout
    assert "segment 1 from 0:00:00 to 0:00:01: its bytes are not those that were stored" in run.stdout
    assert run.stdout.endswith(
        "(lost)\nWhat is lost comes back when its recorder, or `longtake upload` of the same file, sends it again.\n"
    )
    with running(folder, with_engine=False):
        beside = subprocess.run([BIN, "verify", "--data", folder, "--json"], capture_output=True, text=True)
        refused = subprocess.run([BIN, "verify", "--data", folder, "--repair"], capture_output=True, text=True)
    assert (beside.returncode, len(json.loads(beside.stdout)["damaged"])) == (1, 1), beside.stderr
    assert (refused.returncode, "data_folder_in_use" in refused.stderr) == (1, True)


def test_the_command_says_what_it_has_repaired(folder):
    pack, one = record(folder, "block", 0, store="derived")
    spoil(pack, one.offset + 99)
    said = [
        subprocess.run([BIN, "verify", "--data", folder, *flags], capture_output=True, text=True).stdout
        for flags in ([], ["--repair"], [])
    ]
    assert "(can be repaired)" in said[0]
    assert "(repaired)" in said[1]
    assert re.search(r"^(\d+) of \1 damages are repaired", said[1], re.MULTILINE)
    assert "Nothing is damaged." in said[2]


def test_memory_does_not_grow_with_what_is_stored(tmp_path):
    script = (
        "import re, sys; from pathlib import Path; from longtake.runtime import now_ms;"
        "from longtake.storage.database import Database; from longtake.storage.verify.run import verify;"
        "d = Path(sys.argv[1]); db = Database(d / 'longtake.db'); f = verify(d, db, now_ms=now_ms); db.close();"
        "print(f.read_bytes, re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for seconds in (1, 600):
        data = tmp_path / str(seconds)
        with running(data, with_engine=False) as runtime:
            Recording.begin(runtime).send(0, wav(tone(seconds)))
        run = subprocess.run([BIN.with_name("python"), "-c", script, data], capture_output=True, text=True, check=True)
        peaks.append([int(word) for word in run.stdout.split()])
    assert peaks[1][0] > 50 << 20
    assert peaks[1][1] - peaks[0][1] < 8 << 10  # KiB
