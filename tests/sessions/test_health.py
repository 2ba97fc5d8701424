"""The watch: who is silent is missed, who is there is not, and who comes back is welcome."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from longtake.model.errors import StorageFull
from longtake.model.lifecycle import SessionState, TrackHealth, TrackState
from longtake.model.session import TrackKind
from longtake.sessions.health import AT_MOST
from longtake.sessions.recorders import TrackReport
from longtake.storage.catalog import sessions
from tests.enrichment.recording import Recording, running, tone, wait_for, wav
from tests.sessions.watched import Stopped, World

ALIVE = TrackReport(state=TrackState.ACTIVE)
PAUSED = TrackReport(state=TrackState.PAUSED)
SOUND = wav(tone(0.1))


def beats(world, recording, seconds, *, every_s=10, report=ALIVE, tracks=(0,)):
    """Time passes with heartbeats."""
    for _ in range(round(seconds / every_s)):
        world.passes(every_s)
        for track in tracks:
            world.runtime.recorders.report(recording.id, recording.tracks[track], report)


def told(runtime):
    """What the bus tells from now on: (event, state, health)."""
    heard = []
    runtime.store.bus.subscribe(lambda e: heard.append((e.name, e.payload.get("state"), e.payload.get("health"))))
    return heard


@pytest.fixture
def begun(world):
    """A session with a microphone, being recorded."""
    return Recording.begin(world.runtime)


def test_a_recorder_whose_heartbeats_stop_turns_degraded_then_its_session_interrupted(world, begun):
    beats(world, begun, 60)
    world.passes(30)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.HEALTHY, SessionState.ACTIVE)
    heard = told(world.runtime)
    world.passes(5)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.DEGRADED, SessionState.ACTIVE)
    world.passes(85)
    assert world.state(begun) is SessionState.ACTIVE
    world.passes(5)
    assert world.state(begun) is SessionState.INTERRUPTED
    assert heard == [("track_status", "active", "degraded"), ("session_status", "interrupted", None)]
    step = world.runtime.sessions.history(begun.id)[-1]
    assert (step.event, step.actor, step.cause) == (
        "recorder_lost", "watch", "nothing was heard of its recorder for 125 s",
    )  # fmt: skip


def test_silence_that_ends_leaves_no_trace(world, begun):
    beats(world, begun, 20)
    world.passes(100)
    assert world.health(begun) is TrackHealth.DEGRADED
    assert world.runtime.recorders.report(begun.id, begun.tracks[0], ALIVE).health is TrackHealth.HEALTHY
    world.passes(10)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.HEALTHY, SessionState.ACTIVE)


def test_who_sends_segments_of_a_minute_and_nothing_else_is_never_missed(world, begun):
    heard = told(world.runtime)
    for index in range(20):
        world.passes(60)
        begun.send(index, SOUND, start_ms=60_000 * index, duration_ms=60_000)
    assert not [one for one in heard if one[0] in ("track_status", "session_status")]
    world.passes(180)
    assert world.state(begun) is SessionState.ACTIVE
    world.passes(5)
    assert world.state(begun) is SessionState.INTERRUPTED


def test_a_heartbeat_before_the_start_is_no_promise_of_more(world):
    recording = Recording(world.runtime, world.runtime.imports.begin("x", None, None).session_id)
    track = recording.add(TrackKind.MICROPHONE)
    world.runtime.recorders.report(recording.id, track, TrackReport(state=TrackState.INITIALIZING))
    world.runtime.lifecycle.start(recording.id)
    world.passes(85)
    assert world.health(recording) is TrackHealth.HEALTHY


def test_heartbeats_that_were_given_up_for_segments_are_not_waited_for(world, begun):
    beats(world, begun, 20)
    for index in range(5):
        world.passes(60)
        if index:
            assert world.health(begun) is TrackHealth.HEALTHY
        begun.send(index, SOUND)
    world.passes(130)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.DEGRADED, SessionState.ACTIVE)


def test_a_segment_is_a_sign_of_life_as_good_as_a_heartbeat(world, begun):
    beats(world, begun, 20)
    for index in range(12):
        world.passes(25)
        begun.send(index, SOUND)
        assert (world.health(begun), world.state(begun)) == (TrackHealth.HEALTHY, SessionState.ACTIVE)


def test_a_session_goes_on_as_long_as_one_of_its_recorders_is_there(world):
    recording = Recording.begin(world.runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
    beats(world, recording, 20, tracks=(0, 1))
    beats(world, recording, 600, tracks=(1,))
    assert world.state(recording) is SessionState.ACTIVE
    assert [world.health(recording, n) for n in (0, 1)] == [TrackHealth.DEGRADED, TrackHealth.HEALTHY]
    world.passes(125)
    assert world.state(recording) is SessionState.INTERRUPTED


def test_a_track_that_its_recorder_has_stopped_is_not_missed(world):
    recording = Recording.begin(world.runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
    beats(world, recording, 20, tracks=(0, 1))
    world.runtime.recorders.report(recording.id, recording.tracks[0], TrackReport(state=TrackState.STOPPED))
    beats(world, recording, 300, tracks=(1,))
    assert world.health(recording, 0) is TrackHealth.HEALTHY
    world.runtime.recorders.report(recording.id, recording.tracks[1], TrackReport(state=TrackState.STOPPED))
    world.passes(600)
    assert world.state(recording) is SessionState.ACTIVE


@pytest.mark.parametrize("kind", [None, TrackKind.UPLOAD])
def test_a_session_without_a_recorder_is_not_interrupted(world, kind):
    recording = Recording(world.runtime, world.runtime.sessions.create(new()).id)
    if kind is not None:
        recording.add(kind)
    world.runtime.lifecycle.start(recording.id)
    world.passes(1000)
    assert world.state(recording) is SessionState.ACTIVE


def new():
    from longtake.sessions.manager import NewSession

    return NewSession(title="talked in")


def test_in_a_pause_silence_means_nothing(world, begun):
    beats(world, begun, 20)
    world.runtime.lifecycle.pause(begun.id)
    world.passes(4000)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.HEALTHY, SessionState.PAUSED)
    world.runtime.lifecycle.resume(begun.id)
    world.passes(85)
    assert world.health(begun) is TrackHealth.HEALTHY


def test_heartbeats_that_stop_in_a_pause_are_missed_and_bring_the_pause_back(world, begun):
    world.passes(5)
    world.runtime.lifecycle.pause(begun.id)
    beats(world, begun, 60, report=PAUSED)
    world.passes(125)
    assert world.state(begun) is SessionState.INTERRUPTED

    world.runtime.recorders.report(begun.id, begun.tracks[0], PAUSED)

    steps = [step.to_state.value for step in world.runtime.sessions.history(begun.id)[-4:]]
    assert steps == ["resuming", "active", "pausing", "paused"]
    assert world.runtime.sessions.track(begun.id, begun.tracks[0]).state is TrackState.PAUSED


def test_a_heartbeat_of_one_who_was_believed_lost_resumes_the_session(world, begun):
    beats(world, begun, 20)
    world.passes(200)
    assert world.state(begun) is SessionState.INTERRUPTED
    heard = told(world.runtime)

    world.runtime.recorders.report(begun.id, begun.tracks[0], TrackReport(metrics={"items_recorded": 3}))

    assert world.state(begun) is SessionState.ACTIVE
    assert world.health(begun) is TrackHealth.HEALTHY
    steps = world.runtime.sessions.history(begun.id)[-2:]
    assert [(step.to_state.value, step.actor, step.cause) for step in steps] == [
        ("resuming", "recorder", "its recorder is back"), ("active", "recorder", "its recorder is back"),
    ]  # fmt: skip
    assert ("session_status", "active", None) in heard
    beats(world, begun, 300)
    assert world.state(begun) is SessionState.ACTIVE


def test_a_segment_resumes_the_session_of_one_who_sends_nothing_else(world, begun):
    begun.send(0, SOUND)
    world.passes(300)
    assert world.state(begun) is SessionState.INTERRUPTED
    heard = told(world.runtime)
    begun.send(1, SOUND)
    assert world.state(begun) is SessionState.ACTIVE
    wait_for(lambda: ("session_status", "active", None) in heard, lambda: heard)


def test_a_late_segment_of_one_who_sends_heartbeats_is_kept_and_resumes_nothing(world, begun):
    beats(world, begun, 20)
    world.passes(300)
    begun.send(0, SOUND)
    session = begun.session()
    assert (session.state, session.counts.total) == (SessionState.INTERRUPTED, 1)


def test_a_heartbeat_that_says_stopped_resumes_nothing(world, begun):
    beats(world, begun, 20)
    world.passes(300)
    world.runtime.recorders.report(begun.id, begun.tracks[0], TrackReport(state=TrackState.STOPPED))
    assert world.state(begun) is SessionState.INTERRUPTED


def test_an_interrupted_session_can_be_resumed_or_ended_by_hand(world, begun):
    other = Recording.begin(world.runtime)
    begun.send(0, SOUND)
    world.passes(300)
    assert world.runtime.lifecycle.resume(begun.id).state is SessionState.ACTIVE
    assert world.health(begun) is TrackHealth.HEALTHY
    assert world.runtime.lifecycle.end(other.id).state is SessionState.COMPLETED


def test_what_a_recorder_says_of_its_own_health_outlasts_its_silence(world, begun):
    failed = TrackReport(state=TrackState.ACTIVE, health=TrackHealth.FAILED)
    beats(world, begun, 20, report=failed)
    world.passes(60)
    assert world.health(begun) is TrackHealth.FAILED
    world.runtime.recorders.report(begun.id, begun.tracks[0], ALIVE)
    assert world.health(begun) is TrackHealth.FAILED
    world.runtime.recorders.report(begun.id, begun.tracks[0], TrackReport(health=TrackHealth.HEALTHY))
    assert world.health(begun) is TrackHealth.HEALTHY


def test_while_the_watch_itself_was_away_nobody_was_silent(world, begun):
    beats(world, begun, 20)
    world.clock.ms += 3_600_000  # the machine slept
    world.runtime.watch.look()
    world.passes(25)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.HEALTHY, SessionState.ACTIVE)
    world.passes(10)
    assert world.health(begun) is TrackHealth.DEGRADED


def test_a_clock_that_is_set_back_neither_interrupts_nor_protects_for_ever(world, begun):
    beats(world, begun, 20)
    world.clock.ms -= 3_600_000
    world.passes(25)
    assert (world.health(begun), world.state(begun)) == (TrackHealth.HEALTHY, SessionState.ACTIVE)
    world.passes(110)
    assert world.state(begun) is SessionState.INTERRUPTED


def test_after_a_restart_who_still_records_is_given_time_to_say_so(world, begun, tmp_path):
    beats(world, begun, 20)
    silent = Recording.begin(world.runtime)
    beats(world, silent, 20)
    world.runtime.close()
    world.clock.ms += 7_200_000
    with running(tmp_path / "data", clock=world.clock, with_engine=False) as runtime:
        world.runtime = begun.runtime = silent.runtime = runtime
        beats(world, begun, 130)
        assert world.state(begun) is SessionState.ACTIVE
        assert world.state(silent) is SessionState.INTERRUPTED


def test_a_heartbeat_that_races_with_the_watch_leaves_the_session_going_on(world, begun):
    """Whoever is first: it is not interrupted, or it is and goes on."""
    interrupted = 0
    for _ in range(20):
        beats(world, begun, 20)
        world.passes(120)
        world.clock.ms += 5000
        gate = threading.Barrier(2)

        def look(gate=gate):
            gate.wait()
            return world.runtime.watch.look()

        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look)
            gate.wait()
            world.runtime.recorders.report(begun.id, begun.tracks[0], ALIVE)
            interrupted += len(looking.result().lost)
        assert (world.state(begun), world.health(begun)) == (SessionState.ACTIVE, TrackHealth.HEALTHY)
    steps = world.runtime.sessions.history(begun.id)
    assert sum(step.event == "recorder_lost" for step in steps) == interrupted
    assert sum(step.event == "resumed" for step in steps) == interrupted


def test_a_full_disk_keeps_the_watch_from_acting_and_not_from_acting_later(world):
    recordings = [Recording.begin(world.runtime) for _ in range(40)]
    world.passes(180)
    with world.runtime.store.db.write() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        c.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    try:
        with pytest.raises(StorageFull):
            world.passes(5)
    finally:
        with world.runtime.store.db.write() as c:
            c.exec_driver_sql("PRAGMA max_page_count=1073741823")
    assert SessionState.ACTIVE in {world.state(one) for one in recordings}
    world.passes(5)
    assert {world.state(one) for one in recordings} == {SessionState.INTERRUPTED}
    for one in recordings:
        assert [step.event for step in world.runtime.sessions.history(one.id)].count("recorder_lost") == 1


def test_who_may_be_silent_longer_than_a_session_is_interrupted_without_being_degraded(tmp_path):
    clock = Stopped()
    with running(
        tmp_path / "data", clock=clock, with_engine=False, degraded_after_s=300, interrupted_after_s=20
    ) as runtime:
        world = World(runtime, clock)
        recording = Recording.begin(runtime)
        beats(world, recording, 20)
        world.passes(25)
        assert (world.state(recording), world.health(recording)) == (SessionState.INTERRUPTED, TrackHealth.HEALTHY)


def test_sessions_of_which_half_is_lost_keep_no_other_from_being_watched(tmp_path):
    clock = Stopped()
    with running(
        tmp_path / "data", clock=clock, with_engine=False, degraded_after_s=12, interrupted_after_s=18
    ) as runtime:
        world = World(runtime, clock)
        halves = [Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.MICROPHONE) for _ in range(AT_MOST)]
        world.passes(5)
        for one in halves:
            runtime.recorders.report(one.id, one.tracks[0], ALIVE)
        lone = Recording.begin(runtime)
        world.passes(5)
        runtime.recorders.report(lone.id, lone.tracks[0], ALIVE)
        for _ in range(4):
            for one in halves:
                runtime.recorders.report(one.id, one.tracks[1], ALIVE)
            world.passes(10)
        assert {world.health(one) for one in halves} == {TrackHealth.DEGRADED}
        assert {world.state(one) for one in halves} == {SessionState.ACTIVE}
        assert (world.health(lone), world.state(lone)) == (TrackHealth.DEGRADED, SessionState.INTERRUPTED)


def test_a_session_in_the_trash_is_not_watched(world, begun):
    world.runtime.sessions.trash(begun.id)
    world.passes(1000)
    with world.runtime.store.db.read() as c:
        assert sessions.session_state(c, begun.id) is SessionState.ACTIVE


def test_a_look_at_a_hundred_sessions_is_one_query_that_uses_an_index(world):
    from sqlalchemy import event

    recordings = [Recording.begin(world.runtime) for _ in range(100)]
    asked = []
    with world.runtime.store.db.read() as c:
        engine = c.engine
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2:4]))  # statement, values
    world.clock.ms += 5000
    found = world.runtime.watch.look()
    looked = [one for one in asked if one[0].startswith("SELECT")]
    assert (found.silent, found.lost, looked) == ({}, {}, looked[:1])
    with world.runtime.store.db.read() as c:
        plan = [row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {looked[0][0]}", looked[0][1])]
    assert all("USING" in line and "INDEX" in line for line in plan), plan
    world.passes(185)
    assert {world.state(one) for one in recordings} == {SessionState.INTERRUPTED}
