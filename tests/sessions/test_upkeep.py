"""The clean-up: what lies idle is ended or goes, what records is left alone, nothing that was given is deleted."""

import threading
import time

import pytest
import structlog

from longtake.model.errors import NotFound, StorageFull, Trashed
from longtake.model.lifecycle import SessionState, TrackState
from longtake.model.session import Mode, TrackKind
from longtake.sessions.manager import NewSession, NewTrack
from longtake.sessions.recorders import TrackReport
from longtake.sessions.rounds import FIRST_MS, Rounds
from longtake.sessions.upkeep import Upkeep
from longtake.storage.catalog import requests, upkeep
from longtake.storage.tables import metadata, sessions
from tests.enrichment.recording import Recording, reference_counts_are_exact, running, tone, wav

SOUND = wav(tone(0.1))
HOUR_S = 3600
ALIVE = TrackReport(state=TrackState.ACTIVE)


def declared(world, *, mode=Mode.SOLO):
    """A session with a microphone that has not begun."""
    recording = Recording(world.runtime, world.runtime.sessions.create(NewSession(mode=mode)).id)
    recording.add(TrackKind.MICROPHONE)
    return recording


def later(world, hours):
    """Much later, with nobody looking meanwhile."""
    world.clock.ms += round(hours * HOUR_S * 1000)
    world.runtime.watch.look()


def in_trash(recording):
    return recording.session().trashed_at_ms is not None


def test_what_lies_idle_is_ended_and_enriched_and_an_empty_session_goes(world):
    empty, stored = declared(world), declared(world)
    stored.send(0, SOUND)
    later(world, 24.1)

    done = world.runtime.upkeep.clean_up()

    assert (done.removed, done.ended) == ((empty.id,), (stored.id,))
    assert in_trash(empty)
    session = stored.session()
    assert (session.state, session.counts.total, session.job.status) == (SessionState.COMPLETED, 1, "pending")
    steps = world.runtime.sessions.history(stored.id)[-2:]
    assert {(step.actor, step.cause) for step in steps} == {("cleanup", "nothing happened for 1446 minutes")}
    assert reference_counts_are_exact(world.runtime)
    again = world.runtime.upkeep.clean_up()
    assert (again.removed, again.ended) == ((), ())


def test_before_its_time_nothing_happens(world):
    recordings = [declared(world), declared(world)]
    recordings[1].send(0, SOUND)
    later(world, 23.9)
    assert world.runtime.upkeep.clean_up().ended == ()
    assert [one.session().state for one in recordings] == [SessionState.IDLE] * 2


@pytest.mark.parametrize("way", ["pause", "lose", "fail"])
def test_a_session_that_was_left_paused_interrupted_or_in_error_is_ended(world, way):
    recording = Recording.begin(world.runtime)
    recording.send(0, SOUND)
    getattr(world.runtime.lifecycle, way)(recording.id, *([] if way == "pause" else ["a test"]))
    later(world, 25)
    assert world.runtime.upkeep.clean_up().ended == (recording.id,)
    assert recording.session().job is not None


def test_what_is_being_recorded_is_left_alone_however_long_nothing_came(world):
    recording = Recording.begin(world.runtime)
    recording.send(0, SOUND)
    world.clock.ms += 100 * HOUR_S * 1000  # nobody has looked meanwhile: it is still active
    assert world.runtime.upkeep.clean_up().ended == ()
    assert recording.session().state is SessionState.ACTIVE
    world.passes(200)
    assert recording.session().state is SessionState.INTERRUPTED
    assert world.runtime.upkeep.clean_up().ended == (recording.id,)


def test_a_pause_in_which_the_recorder_is_still_there_is_no_idleness(world):
    recording = Recording.begin(world.runtime)
    recording.send(0, SOUND)
    world.runtime.lifecycle.pause(recording.id)
    for _ in range(13):
        world.clock.ms += 2 * HOUR_S * 1000
        world.runtime.recorders.report(recording.id, recording.tracks[0], TrackReport(state=TrackState.PAUSED))
        assert world.runtime.upkeep.clean_up().ended == ()


def test_being_interrupted_is_no_activity(world):
    recording = Recording.begin(world.runtime)
    recording.send(0, SOUND)
    last = recording.session().last_activity_at_ms
    world.passes(300)
    assert recording.session().state is SessionState.INTERRUPTED
    assert recording.session().last_activity_at_ms == last


def test_a_session_in_which_people_only_talked_is_ended_when_they_stop(world):
    session = world.runtime.sessions.create(NewSession(title="talked in"))
    recording = Recording(world.runtime, session.id)
    world.runtime.lifecycle.start(session.id)
    world.runtime.transcripts.append(session.id, "Ana", "hello")
    later(world, 25)
    assert world.runtime.upkeep.clean_up().ended == (session.id,)
    assert [entry.text for entry in world.runtime.transcripts.page(recording.id)[0]] == ["hello"]


def test_a_session_that_waits_goes_after_half_an_hour(world):
    waiting, talked, solo = declared(world, mode=Mode.PAIR), declared(world, mode=Mode.PAIR), declared(world)
    world.runtime.transcripts.append(talked.id, "A", "is anybody there?")
    later(world, 0.49)
    assert world.runtime.upkeep.clean_up().removed == ()
    later(world, 0.02)
    done = world.runtime.upkeep.clean_up()
    assert (done.removed, done.ended) == ((waiting.id,), (talked.id,))
    assert not in_trash(solo)


def test_by_hand_a_shorter_time_can_be_named(world):
    recording = declared(world)
    later(world, 0.2)
    done = world.runtime.upkeep.clean_up(idle_ms=600_000, actor="Ana")
    assert done.removed == (recording.id,)


def test_a_whole_file_on_its_way_is_waited_for(world):
    track = world.runtime.imports.begin("a long upload", None, None)
    later(world, 100)
    assert world.runtime.upkeep.clean_up().removed == ()
    assert world.runtime.sessions.get(track.session_id).trashed_at_ms is None


def test_a_track_for_an_upload_that_nobody_began_protects_nothing(world):
    recording = declared(world)
    recording.add(TrackKind.UPLOAD)
    later(world, 25)
    assert world.runtime.upkeep.clean_up().removed == (recording.id,)


def test_a_full_disk_stops_a_clean_up_between_two_sessions_and_the_next_goes_on(world):
    recordings = [Recording.begin(world.runtime) for _ in range(40)]
    for one in recordings:
        one.send(0, SOUND)
        world.runtime.lifecycle.pause(one.id)
    later(world, 25)
    with world.runtime.store.db.write() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        c.exec_driver_sql(f"PRAGMA max_page_count={pages + 1}")
    try:
        with pytest.raises(StorageFull):
            world.runtime.upkeep.clean_up()
    finally:
        with world.runtime.store.db.write() as c:
            c.exec_driver_sql("PRAGMA max_page_count=1073741823")
    for one in recordings:
        session = one.session()
        assert (session.state, session.job is None) in (
            (SessionState.PAUSED, True),
            (SessionState.COMPLETED, False),
        )
    left = {one.id for one in recordings if one.session().state is SessionState.PAUSED}
    assert left
    assert set(world.runtime.upkeep.clean_up().ended) == left


def test_what_has_ended_or_lies_in_the_trash_is_left_alone(world):
    ended, trashed = declared(world), declared(world)
    world.runtime.lifecycle.end(ended.id)
    trashed.send(0, SOUND)
    world.runtime.sessions.trash(trashed.id)
    later(world, 1000)
    done = world.runtime.upkeep.clean_up()
    assert (done.removed, done.ended) == ((), ())


def test_a_late_segment_of_a_session_that_was_ended_reopens_it(tmp_path):
    """With lanes and jobs at work: what comes after the clean-up is in the sound as if it had come before."""
    with running(tmp_path / "data") as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(1.0)), start_ms=0, duration_ms=1000)
        runtime.lifecycle.lose(recording.id, "the network is gone")
        with runtime.store.db.write() as c:
            c.execute(sessions.update().values(last_activity_at_ms=0))
        assert runtime.upkeep.clean_up().ended == (recording.id,)
        first = recording.finish()
        recording.send(1, wav(tone(1.0)), start_ms=1000, duration_ms=1000)
        second = recording.finish()
        assert (first.status, second.status, first.id == second.id) == ("completed", "completed", False)
        assert recording.session().total_duration_ms == 2000
        assert len(recording.pcm()) == 96_000


def test_what_else_is_done_each_time_is_done_though_some_of_it_fails(world):
    done = []

    def fail():
        raise StorageFull("no room")

    upkeep = Upkeep(
        world.runtime.store, world.runtime.work, world.runtime.lifecycle,
        idle_ms=1, waiting_ms=1, chores=(fail, lambda: done.append(1)),
    )  # fmt: skip
    recording = declared(world)
    later(world, 1)
    with pytest.raises(StorageFull):
        upkeep.clean_up()
    assert (done, in_trash(recording)) == ([1], True)


def test_the_clean_up_empties_the_trash(world):
    recording = declared(world)
    recording.send(0, SOUND)
    world.runtime.sessions.trash(recording.id)
    later(world, 25)
    world.runtime.upkeep.clean_up()
    with pytest.raises(NotFound):
        recording.session()
    assert reference_counts_are_exact(world.runtime)


def test_what_is_restored_from_the_trash_is_not_thrown_away_again(world):
    recording = declared(world)
    later(world, 25)
    assert world.runtime.upkeep.clean_up().removed == (recording.id,)
    world.runtime.sessions.restore(recording.id)
    later(world, 1)
    assert world.runtime.upkeep.clean_up().removed == ()
    later(world, 24)
    assert world.runtime.upkeep.clean_up().removed == (recording.id,)


def test_old_answers_are_forgotten_and_young_ones_kept(world):
    def remember(key):
        answer = requests.Answered(key=key, fingerprint="f", status=200, body=b"{}", at_ms=world.clock.ms)
        with world.runtime.store.db.write() as c:
            requests.insert_answer(c, answer)

    remember("old")
    later(world, 12)
    remember("young")
    later(world, 12.1)
    assert world.runtime.upkeep.clean_up().forgotten_answers == 1
    with world.runtime.store.db.read() as c:
        assert (requests.find_answer(c, "old"), requests.find_answer(c, "young") is None) == (None, False)


def test_every_table_of_a_session_is_either_content_or_bookkeeping():
    bookkeeping = {
        "tracks", "participants", "session_tags", "jobs", "history", "phase_changes",
        "blocks", "recognitions", "outlines", "artifacts",
    } | {"session_words", "search_texts"}  # fmt: skip
    of_sessions = {table.name for table in metadata.tables.values() if "session_id" in table.columns}
    content = {table.name for table in upkeep.CONTENT}
    assert of_sessions == content | bookkeeping, "say in `catalog.upkeep.CONTENT` whether people give what is new here"
    assert not content & bookkeeping


@pytest.mark.parametrize("table", upkeep.CONTENT, ids=lambda table: table.name)
def test_a_session_with_anything_that_somebody_gave_is_not_empty(world, table):
    recording = declared(world)
    values = {"session_id": recording.id}
    for column in table.columns:
        if not column.nullable and column.name not in values:
            values[column.name] = {int: 1, str: "x", bool: False}.get(column.type.python_type, [])
    with world.runtime.store.db.write() as c:
        assert upkeep.is_empty(c, recording.id)
        c.execute(table.insert().values(**values))
        assert not upkeep.is_empty(c, recording.id)


def test_a_session_that_is_touched_while_the_clean_up_is_busy_with_another_is_left_alone(world):
    first, second = declared(world), declared(world)
    for one in (first, second):
        one.send(0, SOUND)
        world.clock.ms += 1000
    later(world, 25)

    def touch(event):
        if event.session_id == first.id:
            world.runtime.sessions.change(second.id, title="I still need this")

    world.runtime.store.bus.subscribe(touch)
    assert world.runtime.upkeep.clean_up().ended == (first.id,)
    assert second.session().state is SessionState.IDLE


def test_a_session_that_is_begun_while_the_clean_up_looks_is_left_alone(world):
    """The rows are read again in the transaction that ends or removes it."""
    recordings = [declared(world) for _ in range(20)]
    later(world, 25)
    gate = threading.Barrier(2)

    def begin():
        gate.wait()
        for one in reversed(recordings):
            try:
                world.runtime.lifecycle.start(one.id)
            except Trashed:
                continue

    thread = threading.Thread(target=begin)
    thread.start()
    gate.wait()
    done = world.runtime.upkeep.clean_up()
    thread.join()
    for one in recordings:
        state = one.session().state
        assert (one.id in done.removed, state) in ((True, SessionState.IDLE), (False, SessionState.ACTIVE))


def test_the_rounds_look_all_the_time_and_clean_up_by_the_clock(world):
    looks, cleanings = [], []

    def clean_up():
        cleanings.append(world.clock.ms)
        raise OSError("no room")

    rounds = Rounds(lambda: looks.append(1), clean_up, now_ms=world.clock, tick_s=0.005, cleanup_every_ms=HOUR_S * 1000)
    rounds.start()
    try:
        begun = world.clock.ms

        def looked_again():
            before = len(looks)
            until = time.monotonic() + 30
            while len(looks) < before + 3:
                assert time.monotonic() < until
                time.sleep(0.002)

        looked_again()
        assert cleanings == []
        for step_ms in (FIRST_MS, HOUR_S * 1000 - 1, 1, 1000, HOUR_S * 1000):
            world.clock.ms += step_ms
            looked_again()
        assert [at - begun for at in cleanings] == [
            FIRST_MS, FIRST_MS + HOUR_S * 1000, FIRST_MS + 2 * HOUR_S * 1000 + 1000
        ]  # fmt: skip
        world.clock.ms -= 10 * HOUR_S * 1000
        looked_again()
        assert len(cleanings) == 4
        assert rounds.is_alive
    finally:
        rounds.close()
    assert not rounds.is_alive


def test_a_round_that_fails_is_logged_as_the_error_itself_of_which_the_log_tells_what_it_may(world):
    error = UnicodeEncodeError("utf-8", "what was said", 0, 1, "no")
    failed = threading.Event()

    def look():
        failed.set()
        raise error

    with structlog.testing.capture_logs() as lines:
        rounds = Rounds(look, int, now_ms=world.clock, tick_s=0.005, cleanup_every_ms=HOUR_S * 1000)
        rounds.start()
        assert failed.wait(30)
        rounds.close()
    assert lines[0] == {"event": "round_failed", "log_level": "error", "round": "watch", "error": error}


def test_a_runtime_with_an_engine_makes_its_rounds(tmp_path):
    with running(tmp_path / "data", degraded_after_s=0.2, interrupted_after_s=0.4) as runtime:
        track = runtime.sessions.declare_track(
            runtime.sessions.create(NewSession()).id, NewTrack(kind=TrackKind.MICROPHONE)
        )
        recording = Recording(runtime, track.session_id, [track.id])
        runtime.lifecycle.start(track.session_id)
        runtime.recorders.report(track.session_id, track.id, ALIVE)
        time.sleep(0.01)
        runtime.recorders.report(track.session_id, track.id, ALIVE)
        until = time.monotonic() + 30
        while recording.session().state is not SessionState.INTERRUPTED:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert runtime.sessions.history(track.session_id)[-1].actor == "watch"
