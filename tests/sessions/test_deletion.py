"""Deleting sessions and recordings for good, while others record and while lanes and jobs are at work."""

import contextlib
import threading
import time

import pytest
import structlog

from longtake.model.errors import AudioDeleted, IllegalTransition, JobActive, NotFound, StorageFailed
from longtake.model.session import TrackKind
from longtake.model.transcript import Entry
from longtake.storage.catalog import transcript
from longtake.storage.catalog.library import Filter
from longtake.storage.disk import Disk
from longtake.storage.packs import scan
from longtake.storage.rebuild.run import rebuild
from longtake.storage.tables import segments as segment_table
from tests.enrichment.recording import (
    Clock,
    Recording,
    cut,
    read_original,
    reference_counts_are_exact,
    running,
    tone,
    wait_for,
    wav,
)
from tests.sessions.depot import HOUR_MS, Depot, Time, audit, leftovers, new_id
from tests.storage.disks import FailingDisk

RATE_HZ = 16_000


def parts(seconds=8.0, hz=440.0):
    return cut(tone(seconds, hz=hz, rate_hz=RATE_HZ), 2.0, rate_hz=RATE_HZ)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def runtime(tmp_path, clock):
    with running(tmp_path / "data", clock=clock) as runtime:
        yield runtime


def recorded(runtime, *, hz=440.0):
    """A session of two tracks, ended and whole, with something said and an MP3."""
    recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
    recording.send_all(parts(hz=hz))
    recording.send_all([wav(tone(8.0, hz=hz + 100))], track=1)
    entry = Entry(
        id=runtime.store.new_id(),
        session_id=recording.id,
        track_id=recording.tracks[0],
        speaker="Ana",
        text="Nobody may know this.",
        start_ms=0,
        end_ms=900,
        at_ms=1,
    )
    with runtime.store.db.write() as c:
        transcript.insert_entries(c, [entry])
    recording.end()
    recording.finish()
    runtime.files.open(recording.id, "mp3", wait_s=60)
    return recording


def tombstones(runtime):
    packs = sorted((runtime.settings.data / "packs").glob("*.pack"))
    heads = [found.head for pack in packs for found in scan(pack)]
    return [(head["kind"], head["session"]) for head in heads if "at_ms" in head]


def test_a_purge_leaves_nothing_of_a_session_and_all_of_the_others(runtime):
    ours, other = recorded(runtime), recorded(runtime, hz=700)
    before = other.content()
    runtime.deletion.purge(ours.id)
    assert not leftovers(runtime.store.db, ours.id)
    assert reference_counts_are_exact(runtime)
    assert other.content() == before
    assert tombstones(runtime) == [("purged", ours.id)]
    with pytest.raises(NotFound):
        runtime.sessions.get(ours.id)
    with pytest.raises(NotFound):
        ours.send(9, wav(tone(1.0)))
    with pytest.raises(NotFound):
        runtime.deletion.purge(ours.id)


def test_after_a_purge_its_bytes_are_collected_when_their_grace_is_over(runtime, clock):
    ours = recorded(runtime)
    kept = {path.name for path in (runtime.settings.data / "files").iterdir()}
    runtime.deletion.purge(ours.id)
    assert runtime.collector.collect(24 * HOUR_MS).deleted == 0
    clock.ahead_ms += 25 * HOUR_MS
    would = runtime.collector.collect(24 * HOUR_MS, dry_run=True)
    done = runtime.collector.collect(24 * HOUR_MS)
    assert (would.deleted, would.size_bytes) == (done.deleted, done.size_bytes)
    assert len(kept) == 2
    assert list((runtime.settings.data / "files").iterdir()) == []
    with runtime.store.db.read() as c:
        assert c.exec_driver_sql("SELECT count(*) FROM blobs").scalar_one() == 0


def test_a_session_that_is_recorded_and_worked_on_is_purged_without_a_word_in_the_log(runtime):
    for delay_s in (0.0, 0.03, 0.1, 0.3):
        with structlog.testing.capture_logs() as logs:
            recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
            recording.send_all(parts(20.0, hz=300 + 1000 * delay_s))
            recording.send_all([wav(tone(20.0, hz=500 + 1000 * delay_s))], track=1)
            recording.end()
            time.sleep(delay_s)
            runtime.deletion.purge(recording.id)
            other = Recording.begin(runtime)
            other.send(0, wav(tone(1.0, hz=800 + 1000 * delay_s)))
            other.end()
            assert other.finish().status.value == "completed"
            wait_for(lambda: not runtime.lanes._running, lambda: runtime.lanes._running)
        assert [line for line in logs if line["log_level"] in ("error", "warning")] == []
        assert not leftovers(runtime.store.db, recording.id)
        assert reference_counts_are_exact(runtime)


def test_without_its_recordings_a_session_has_its_text_and_says_what_is_gone(runtime):
    ours = recorded(runtime)
    length_ns = ours.session().length_ns
    notes = runtime.files.open(ours.id, "transcript").content
    runtime.deletion.delete_audio(ours.id)
    session = ours.session()
    assert session.audio_deleted_at_ms is not None
    assert (session.counts.total, session.length_ns) == (0, length_ns)
    assert [e.text for e in runtime.transcripts.page(ours.id)[0]] == ["Nobody may know this."]
    assert notes.size_bytes > 0
    assert runtime.files.open(ours.id, "transcript").content.size_bytes > 0
    assert {one.file_type for one in runtime.files.listing(ours.id)}.isdisjoint({"recording", "audio", "mp3"})
    covered = [one.coverage for one in runtime.sessions.coverage(ours.id)]
    assert [(one.stored_ms, [gap.cause.value for gap in one.gaps]) for one in covered] == [(0, ["deleted"])] * 2
    assert [one.gap_count for one in runtime.sessions.figures(session)] == [1, 1]
    assert runtime.sessions.segments(ours.id) == ([], None)
    for refused in (
        lambda: runtime.playback.playlist(ours.id, "audio"),
        lambda: runtime.playback.original(ours.id, ours.tracks[0], 0),
        lambda: runtime.files.open(ours.id, "mp3"),
        lambda: ours.send(0, parts()[0]),
        lambda: runtime.sessions.set_balance(ours.id, 0.1),
        lambda: runtime.work.enqueue(ours.id, options={"engine": "none"}),
    ):
        with pytest.raises(AudioDeleted):
            refused()
    assert reference_counts_are_exact(runtime)
    assert ("audio-deleted", ours.id) in tombstones(runtime)
    runtime.deletion.delete_audio(ours.id)
    runtime.work.enqueue(ours.id)
    assert ours.finish().status.value == "completed"
    assert [e.text for e in runtime.transcripts.page(ours.id)[0]] == ["Nobody may know this."]


def test_what_was_heard_is_in_the_packs_before_nothing_can_hear_it_again(runtime):
    ours = recorded(runtime)
    runtime.deletion.delete_audio(ours.id)
    packs = sorted((runtime.settings.data / "packs").glob("*.pack"))
    heads = [found.head for pack in packs for found in scan(pack)]
    kinds = [head["kind"] for head in heads if head.get("session") == ours.id]
    assert kinds.index("entry") < kinds.index("audio-deleted")


def test_recordings_are_deleted_only_when_nothing_needs_them(runtime):
    recording = Recording.begin(runtime)
    with pytest.raises(IllegalTransition):
        runtime.deletion.delete_audio(recording.id)
    recording.send_all(parts(20.0, hz=333))
    recording.end()
    with pytest.raises(JobActive):
        runtime.deletion.delete_audio(recording.id)
    recording.finish()
    assert len(recording.segments()) == 10


def test_the_trash_empties_itself_after_its_time_and_not_before(runtime, clock):
    ours, other = recorded(runtime), recorded(runtime, hz=700)
    runtime.sessions.trash(ours.id)
    runtime.sessions.trash(other.id)
    clock.ahead_ms += 23 * HOUR_MS
    assert runtime.deletion.purge_expired() == []
    runtime.sessions.restore(other.id)
    clock.ahead_ms += 2 * HOUR_MS
    runtime.upkeep.clean_up()
    assert not leftovers(runtime.store.db, ours.id)
    assert [s.id for s in runtime.sessions.page(Filter())[0]] == [other.id]


def test_what_two_sessions_share_stays_for_the_other_through_purge_and_compaction(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    first, second = depot.create(), depot.create()
    bodies = [b"SND" + bytes([n]) * 500 for n in range(20)]
    shared = bodies[3]
    for index, body in enumerate(bodies):
        depot.put(depot.add_track(first), index, body)
    track = depot.add_track(second)
    depot.put(track, 0, shared)
    depot.deletion.purge(first)
    depot.close()
    depot = Depot(tmp_path / "data", clock)
    assert depot.collector.collect(0).packs == 1
    (sha256,) = depot.segments().values()
    assert depot.read(sha256) == shared
    audit(depot)
    told = [head for head, _, _ in depot.records() if head.get("kind") == "segment"]
    assert [head["session"] for head in told if head.get("body") != "elsewhere"] == [second]
    depot.close()


def test_a_rebuild_brings_nothing_back_that_was_deleted_and_misses_nothing_else(tmp_path):
    clock = Time()
    data = tmp_path / "data"
    depot = Depot(data, clock)
    gone, muted, kept = depot.create(), depot.create(), depot.create()
    shared = b"SND" + b"s" * 700
    for session_id in (gone, muted, kept):
        track = depot.add_track(session_id)
        for index, size in enumerate((300, 900, 3000)):
            depot.put(track, index, b"SND" + session_id.encode() + b"x" * size)
        depot.put(track, 3, shared)
    kept_track = track
    depot.sessions.change(kept, title="first title")
    depot.end(muted)
    depot.close()
    depot = Depot(data, clock)
    depot.sessions.change(kept, title="last title")
    depot.deletion.purge(gone)
    depot.deletion.delete_audio(muted)
    assert depot.collector.collect(0).packs == 1
    before = {key: depot.read(sha256) for key, sha256 in depot.segments().items()}
    assert {track for track, _ in before} == {kept_track}
    depot.close()
    for path in data.glob("longtake.db*"):
        path.unlink()
    rebuild(data, disk=Disk(), now_ms=clock, new_id=new_id)
    depot = Depot(data, clock)
    assert {key: depot.read(sha256) for key, sha256 in depot.segments().items()} == before
    assert depot.sessions.get(kept).title == "last title"
    assert depot.sessions.get(muted).audio_deleted_at_ms is not None
    assert not leftovers(depot.db, gone)
    audit(depot)
    depot.close()


def test_a_body_that_is_sent_again_while_its_bytes_are_orphans_is_kept(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    body = b"SND" + b"x" * 5000
    first = depot.create()
    depot.put(depot.add_track(first), 0, body)
    depot.deletion.purge(first)
    clock.ahead_ms += 25 * HOUR_MS
    second = depot.create()
    track = depot.add_track(second)
    depot.put(track, 0, body)
    assert depot.collector.collect(0).deleted == 0
    assert depot.read(depot.segments()[track, 0]) == body
    audit(depot)
    depot.close()


def test_uploads_of_the_same_bodies_race_the_collection_and_win(tmp_path):
    depot = Depot(tmp_path / "data", Time())
    bodies = [b"SND" + bytes([n]) * size for n in range(6) for size in (100, 3000)]
    session_id = depot.create()
    track = depot.add_track(session_id)
    stop = threading.Event()

    def collect():
        while not stop.is_set():
            depot.collector.collect(0)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        number = 0
        until = time.monotonic() + 4
        while time.monotonic() < until:
            other = depot.create()
            for index, body in enumerate(bodies):
                depot.put(depot.add_track(other), index, body)
            depot.deletion.purge(other)
            depot.put(track, number, bodies[number % len(bodies)])
            number += 1
    finally:
        stop.set()
        thread.join()
    stored = depot.segments()
    assert len(stored) == number >= 3
    for (_, index), sha256 in stored.items():
        assert depot.read(sha256) == bodies[index % len(bodies)]
    audit(depot)
    depot.close()


@pytest.mark.parametrize("at", range(12))
def test_a_disk_that_fails_in_a_purge_or_a_collection_loses_nothing_and_is_caught_up_with(tmp_path, at):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    ours, other = depot.create(), depot.create()
    for session_id in (ours, other):
        track = depot.add_track(session_id)
        for index in range(4):
            depot.put(track, index, f"SND{session_id}{index}".encode() * (10 if index else 100))
    before = depot.segments()
    depot.close()
    disk = FailingDisk()
    depot = Depot(tmp_path / "data", clock, disk)
    disk.at = len(disk.calls) + at
    for act in (lambda: depot.deletion.purge(ours), lambda: depot.collector.collect(0)):
        with contextlib.suppress(StorageFailed):
            act()
    audit(depot)
    disk.at = None
    with contextlib.suppress(NotFound):  # it had not begun
        depot.deletion.purge(ours)
    depot.deletion.purge_expired()
    depot.collector.collect(0)
    depot.close()
    depot = Depot(tmp_path / "data", clock)
    depot.collector.collect(0)
    audit(depot)
    assert not leftovers(depot.db, ours)
    assert depot.segments() == {key: sha for key, sha in before.items() if key in depot.segments()}
    assert len(depot.segments()) == 4
    depot.close()


def test_a_count_that_is_wrong_is_never_believed(tmp_path):
    depot = Depot(tmp_path / "data", Time())
    session_id = depot.create()
    track = depot.add_track(session_id)
    depot.put(track, 0, b"SND" + b"y" * 500)
    with depot.db.write() as c:
        c.exec_driver_sql("UPDATE blobs SET ref_count = 0, orphaned_at_ms = 1")
    with structlog.testing.capture_logs() as logs:
        assert depot.collector.collect(0).deleted == 0
    assert [line["event"] for line in logs] == ["reference_count_wrong"]
    assert depot.read(depot.segments()[track, 0]).startswith(b"SND")
    depot.close()


def test_a_pack_that_is_damaged_is_left_alone(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    ours, other = depot.create(), depot.create()
    track = depot.add_track(other)
    depot.put(track, 0, b"SND" + b"z" * 200)
    for index in range(5):
        depot.put(depot.add_track(ours), index, b"SND" + bytes([index]) * 900)
    depot.deletion.purge(ours)
    depot.close()
    (pack,) = (tmp_path / "data" / "packs").glob("*.pack")
    data = bytearray(pack.read_bytes())
    at = data.find(b"LTR1", len(data) // 2)
    data[at] ^= 0xFF
    pack.write_bytes(data)
    depot = Depot(tmp_path / "data", clock)
    depot.collector.collect(0)
    assert pack.exists()
    assert depot.read(depot.segments()[track, 0]).startswith(b"SNDz")
    depot.close()


def test_originals_are_read_while_their_pack_is_compacted(runtime, clock):
    ours, other = recorded(runtime), recorded(runtime, hz=700)
    before, originals = other.content(), [read_original(runtime, one) for one in other.segments()]
    whole = runtime.playback.m4a(other.id, "audio")
    half = whole.read(0, whole.size_bytes // 2)
    runtime.deletion.purge(ours.id)
    for store in ("packs", "derived"):
        runtime.store.blobs.finish(store)
    clock.ahead_ms += HOUR_MS
    assert runtime.collector.collect(0).packs >= 1
    assert half + whole.read(whole.size_bytes // 2, whole.size_bytes) == runtime.playback.m4a(other.id, "audio").read(
        0, whole.size_bytes
    )
    assert [read_original(runtime, one) for one in other.segments()] == originals
    assert other.content() == before


def test_a_long_session_is_purged_without_keeping_others_from_storing(tmp_path):
    depot = Depot(tmp_path / "data", Time())
    ours, other = depot.create(), depot.create()
    track, theirs = depot.add_track(ours), depot.add_track(other)
    depot.put(track, 0, b"SND" + b"a" * 50)
    with depot.db.write() as c:
        row = dict(c.execute(segment_table.select()).one()._mapping)
        rows = [row | {"number": n, "id": depot.store.new_id()} for n in range(1, 20_000)]
        c.execute(segment_table.insert(), rows)
        c.exec_driver_sql("UPDATE blobs SET ref_count = 20000")
        c.exec_driver_sql("UPDATE tracks SET n_pending = 20000, size_bytes = 20000 * size_bytes WHERE id = ?", (track,))
    waits: list[float] = []
    purge = threading.Thread(target=depot.deletion.purge, args=(ours,))
    purge.start()
    index = 0
    while purge.is_alive():
        began = time.monotonic()
        depot.put(theirs, index, b"SND" + b"%d" % index)
        waits.append(time.monotonic() - began)
        index += 1
    purge.join()
    assert index >= 10
    assert sorted(waits)[len(waits) // 2] < 0.5
    assert not leftovers(depot.db, ours)
    audit(depot)
    depot.close()
