"""Deleting sessions and recordings for good, while others record and while lanes and jobs are at work."""

import threading
import time

import pytest
import structlog

from longtake.model.errors import AudioDeleted, IllegalTransition, JobActive, NotFound
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
        lambda: runtime.attachments.open_segment(ours.id, ours.tracks[0], 0),
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
