"""The database is deleted, and comes back from the packs: the same sessions, bytes, words."""

import hashlib
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from longtake.model.lifecycle import SessionState
from longtake.model.session import Mode, TrackKind
from longtake.runtime import new_id, now_ms
from longtake.sessions.lifecycle import Announced
from longtake.sessions.manager import NewSession, NewTrack
from longtake.storage import tables
from longtake.storage.catalog import transcript
from longtake.storage.disk import Disk
from longtake.storage.packs import Record, scan
from longtake.storage.rebuild.run import rebuild
from tests.conftest import ROOT
from tests.enrichment.recording import (
    Recording,
    cut,
    encoded,
    read_original,
    reference_counts_are_exact,
    running,
    tone,
    wav,
)


def lose(data):
    """The database is gone, and the engine's with it."""
    for path in data.glob("*.db*"):
        path.unlink()


def again(data, **more):
    return rebuild(data, disk=Disk(), now_ms=now_ms, new_id=new_id, **more)


def ids(runtime, *, in_trash=False):
    with runtime.store.db.read() as c:
        is_there = tables.sessions.c.trashed_at_ms.is_(None)
        return set(c.execute(select(tables.sessions.c.id).where(~is_there if in_trash else is_there)).scalars())


def told(runtime):
    """All that is to return of every session: what people said of it, and its segments with their bytes."""
    found = [runtime.sessions.get(session_id) for session_id in sorted(ids(runtime) | ids(runtime, in_trash=True))]
    with runtime.store.db.read() as c:
        written = {s.id: [e for e in transcript.list_entries(c, s.id) if e.track_id is None] for s in found}
    return {
        s.id: (
            *(s.title, s.description, s.tags, s.mode, s.phases, s.phase, s.agent, s.balance, s.device_id),
            *(s.participants, s.created_at_ms, s.started_at_ms, s.ended_at_ms, s.trashed_at_ms),
            [(t.id, t.kind, t.name, t.number, t.participant_id, t.expected_segments, t.expected_ms) for t in s.tracks],
            [
                (
                    *(g.track_id, g.index, g.sha256, g.start_ms, g.duration_ms, g.mime_type, g.stored_at_ms, g.id),
                    hashlib.sha256(read_original(runtime, g)).hexdigest(),
                )
                for g in runtime.sessions.segments(s.id, limit=10_000)[0]
            ],
            written[s.id],
        )
        for s in found
    }


def test_a_session_returns_with_its_sound_its_words_and_what_people_said_of_it(tmp_path):
    data = tmp_path / "data"
    with running(data, max_segment_bytes=4 << 20) as runtime:
        new = NewSession(title="Interview", tags=["a", "b"], participant="Ana", phases=["one", "two"], mode=Mode.GROUP)
        recording = Recording(runtime, runtime.sessions.create(new).id)
        recording.add(TrackKind.SYSTEM)
        recording.add(TrackKind.MICROPHONE)
        runtime.lifecycle.start(recording.id)
        runtime.sessions.change(recording.id, title="Interview, second try", tags=["c", "a"])
        recording.send_all(cut(tone(4), 1), track=0)
        recording.send(0, wav(tone(4, hz=300)), track=1, start_ms=0, duration_ms=4000)  # above 256 KiB: a file
        runtime.lifecycle.pause(recording.id)
        runtime.lifecycle.resume(recording.id)
        recording.end(Announced(track_id=recording.tracks[0], segments=4, duration_ms=4000))
        recording.finish()
        runtime.transcripts.append(recording.id, "AGENT", "What a person wrote.")
        entry = runtime.transcripts.append(recording.id, "AGENT", "What a person wrate.")
        runtime.transcripts.correct(recording.id, entry.id, "What a person corrected.")
        recording.settle()
        before, sound = told(runtime), recording.pcm()
        steps = runtime.sessions.history(recording.id)
    lose(data)
    result = again(data)
    assert (result.sessions, result.segments, result.lost, result.unnamed, result.broken) == (1, 5, [], [], [])
    with running(data) as runtime:
        assert told(runtime) == before
        assert runtime.sessions.history(recording.id) == steps
        back = Recording(runtime, recording.id, recording.tracks)
        assert back.session().state is SessionState.COMPLETED
        assert back.finish().error is None
        back.settle()
        assert (back.pcm() == sound).all()
        assert {text for _, _, _, text in back.words()} == {"What a person wrote.", "What a person corrected."}
        assert reference_counts_are_exact(runtime)


def test_one_that_was_being_recorded_was_interrupted_and_can_go_on(tmp_path):
    with running(tmp_path / "data", with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(0.1)))
    lose(tmp_path / "data")
    again(tmp_path / "data")
    with running(tmp_path / "data", with_engine=False) as runtime:
        session = runtime.sessions.get(recording.id)
        assert session.state is SessionState.INTERRUPTED
        assert runtime.sessions.history(recording.id)[-1].event == "rebuilt"
        assert not Recording(runtime, recording.id, recording.tracks).send(0, wav(tone(0.1))).is_new
        runtime.lifecycle.resume(recording.id)
        assert Recording(runtime, recording.id, recording.tracks).send(1, wav(tone(0.2))).is_new


def test_what_was_removed_stays_removed(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        purged, silenced, kept = (Recording.begin(runtime) for _ in range(3))
        for n, recording in enumerate((purged, silenced, kept)):
            recording.send(0, wav(tone(0.1, hz=300 + n)))
        runtime.sessions.trash(kept.id)
        begun = runtime.imports.begin(None, "a file that never came", None)
        runtime.imports.forget(begun.session_id)
        runtime.store.blobs.append("packs", [Record(head={"kind": "purged", "session": purged.id})])
        runtime.store.blobs.append(
            "packs", [Record(head={"kind": "audio-deleted", "session": silenced.id, "at_ms": 7})]
        )
        runtime.sessions.change(purged.id, title="told behind the tombstone")
    lose(data)
    assert again(data).deleted_sessions == 2
    with running(data, with_engine=False) as runtime:
        assert ids(runtime) == {silenced.id}
        assert ids(runtime, in_trash=True) == {kept.id}
        assert not runtime.sessions.segments(silenced.id)[0]
        assert runtime.sessions.get(silenced.id).audio_deleted_at_ms == 7


def test_a_correction_of_what_was_heard_survives_and_is_not_doubled(tmp_path):
    body = (ROOT / "tests/data/jfk.flac").read_bytes()
    data = tmp_path / "data"
    with running(data, engine="pocketsphinx") as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, body)
        recording.end()
        recording.finish()
        entry = runtime.transcripts.page(recording.id, limit=None)[0][0]
        runtime.transcripts.correct(recording.id, entry.id, "And so, my fellow Americans")
        runtime.transcripts.rename(recording.id, entry.speaker, "Kennedy")
        recording.finish()
        recording.settle()
        before = recording.words()
    lose(data)
    again(data)
    with running(data, engine="pocketsphinx") as runtime:
        back = Recording(runtime, recording.id, recording.tracks)
        assert back.finish().error is None
        back.settle()
        assert back.words() == before


@pytest.mark.parametrize("what", ["head", "body"])
def test_a_damaged_record_is_told_and_hides_no_other(tmp_path, what):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        for n in range(3):
            recording.send(n, wav(tone(0.1, hz=300 + n)))
    (pack,) = (data / "packs").iterdir()
    second = [one for one in scan(pack) if one.head["kind"] == "segment"][1]
    content = bytearray(pack.read_bytes())
    content[second.offset + (100 if what == "body" else -100)] ^= 1
    pack.write_bytes(content)
    lose(data)
    result = again(data)
    with running(data, with_engine=False) as runtime:
        indexes = [g.index for g in runtime.sessions.segments(recording.id)[0]]
    if what == "head":
        assert (indexes, len(result.broken)) == ([0, 2], 1)
    else:
        assert indexes == [0, 1, 2]
        assert [(one.index, one.why) for one in result.lost] == [(1, "its bytes are damaged")]


def test_a_file_that_is_gone_is_told(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(4)))
        recording.send(1, wav(tone(0.1)))
    next((data / "files").iterdir()).unlink()
    lose(data)
    result = again(data)
    assert [(one.session_id, one.index, one.why) for one in result.lost] == [(recording.id, 0, "its bytes are gone")]
    assert result.segments == 1


def test_packs_of_before_the_journal_give_their_segments(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        runtime.store.db.before_commit = lambda c: None
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(0.1)))
    lose(data)
    assert again(data).unnamed == [recording.id]
    with running(data) as runtime:
        back = Recording(runtime, recording.id, recording.tracks)
        assert back.session().state is SessionState.INTERRUPTED
        assert [t.kind for t in back.session().tracks] == [TrackKind.UPLOAD]
        back.end()
        assert back.finish().error is None


def test_a_damaged_database_is_moved_aside_with_its_log(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        Recording.begin(runtime).send(0, wav(tone(0.1)))
    (data / "longtake.db").write_bytes(b"no database" * 999)
    (data / "longtake.db-wal").write_bytes(b"nor a log")
    result = again(data)
    assert sorted(name.partition(".before-")[0] for name in result.moved_to) == ["longtake.db", "longtake.db"]
    assert {(data / name).read_bytes()[:5] for name in result.moved_to} == {b"no da", b"nor a"}
    with running(data, with_engine=False) as runtime:
        assert len(ids(runtime)) == 1


def test_one_that_is_killed_before_its_end_is_begun_again(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(0.1)))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(data, progress=stop)
    with running(data, with_engine=False) as runtime:  # the old one is where it was
        assert runtime.sessions.get(recording.id).state is SessionState.ACTIVE
    assert again(data).segments == 1
    with sqlite3.connect(data / "longtake.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["create", "declare", "start", "send", "send", "send", "change", "pause", "end", "trash", "say"]
        ),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happened_returns(tmp_path_factory, steps):
    data = tmp_path_factory.mktemp("history") / "data"
    with running(data, with_engine=False) as runtime:
        sessions: list[Recording] = []
        for what, a, b in steps:
            try:
                _do(runtime, sessions, what, a, b)
            except Exception as error:
                assert hasattr(error, "code"), error  # refused: that is part of a history
        before = told(runtime)
        counts = {s.id: (runtime.sessions.get(s.id).state, runtime.sessions.get(s.id).counts) for s in sessions}
    lose(data)
    again(data)
    with running(data, with_engine=False) as runtime:
        assert told(runtime) == before
        assert reference_counts_are_exact(runtime)
        for recording in sessions:
            state, count = counts[recording.id]
            now = runtime.sessions.get(recording.id)
            assert now.counts == count
            moving = state in (SessionState.ACTIVE, SessionState.PAUSED)
            assert now.state is (SessionState.INTERRUPTED if moving else state)


def _do(runtime, sessions, what, a, b):
    if what == "create" or not sessions:
        new = NewSession(title=f"title {a}", tags=[f"tag {b}"], participant="Ana" if a % 2 else None)
        sessions.append(Recording(runtime, runtime.sessions.create(new).id))
        return
    recording = sessions[a % len(sessions)]
    if what == "declare":
        kind = list(TrackKind)[b]
        recording.tracks.append(runtime.sessions.declare_track(recording.id, NewTrack(kind=kind, name=f"n{b}")).id)
    elif what == "send" and recording.tracks:
        seconds = 3 if b == 5 else 0.01
        body = encoded(tone(0.05, hz=200 + b), "flac", "flac") if b == 4 else wav(tone(seconds, hz=200 + b))
        recording.send(b, body, track=a % len(recording.tracks), start_ms=a * 10, duration_ms=10)
    elif what == "change":
        runtime.sessions.change(recording.id, title=f"changed {b}", tags=[f"tag {b}", "x"], description="d")
    elif what == "say":
        runtime.transcripts.append(recording.id, "A", f"said {b}")
    elif what in ("start", "pause", "end"):
        getattr(runtime.lifecycle, what)(recording.id)
    elif what == "trash":
        runtime.sessions.trash(recording.id)
