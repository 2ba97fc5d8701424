"""Whatever is asked in whatever order: a legal history that ends where the session is, and a duration that is right."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.model.errors import IllegalTransition, MissingPermissions
from longtake.model.lifecycle import SESSION, TRACK, Permission, SessionEvent, SessionState, TrackState
from longtake.model.session import Mode, TrackKind
from longtake.sessions.manager import NewSession
from longtake.sessions.recorders import TrackReport
from tests.enrichment.recording import Recording, running, tone, wav
from tests.sessions.watched import Stopped, World

COMMANDS = (
    "start",
    "pause",
    "resume",
    "end",
    "reset",
    "dismiss",
    "fail",
    "lose",
    "beat",
    "segment",
    "passes",
    "cleanup",
)
SOUND = wav(tone(0.1))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One world for many histories."""
    clock = Stopped()
    with running(tmp_path_factory.mktemp("walks"), clock=clock, with_engine=False) as runtime:
        yield World(runtime, clock)


def act(world, recording, command, number):
    """One command; whether it was obeyed."""
    runtime = world.runtime
    try:
        if command == "beat":
            state = list(TrackState)[number % len(TrackState)]
            permission = list(Permission)[number % 3]
            report = TrackReport(state=state, permissions={"microphone": permission})
            runtime.recorders.report(recording.id, recording.tracks[0], report)
        elif command == "segment":
            recording.send(number, SOUND)
        elif command == "passes":
            world.passes(10 * number)
        elif command == "cleanup":
            runtime.upkeep.clean_up(idle_ms=60_000)
        elif command in ("fail", "lose"):
            getattr(runtime.lifecycle, command)(recording.id, "a test")
        else:
            getattr(runtime.lifecycle, command)(recording.id)
    except (IllegalTransition, MissingPermissions):
        return False
    return True


def check(runtime, session_id):
    """The history is a legal walk from the beginning to where the session is."""
    session = runtime.sessions.get(session_id)
    first, *steps = runtime.sessions.history(session_id)
    assert (first.from_state, first.event) == (None, "created")
    state = first.to_state
    at_ms = first.at_ms
    for step in steps:
        assert step.from_state is state
        state = SESSION[state][SessionEvent(step.event)]
        assert step.to_state is state
        assert step.at_ms >= at_ms
        assert step.actor
        at_ms = step.at_ms
    assert session.state is state
    assert (session.active_since_ms is None) == (state is not SessionState.ACTIVE)
    return session


@settings(max_examples=60)
@given(commands=st.lists(st.tuples(st.sampled_from(COMMANDS), st.integers(0, 20)), max_size=25), pair=st.booleans())
def test_any_sequence_of_commands_leaves_a_legal_history_that_equals_the_state(shared, commands, pair):
    session = shared.runtime.sessions.create(NewSession(mode=Mode.PAIR if pair else Mode.SOLO))
    recording = Recording(shared.runtime, session.id)
    recording.add(TrackKind.MICROPHONE)
    kept = 0
    for command, number in commands:
        if recording.session().trashed_at_ms is not None:
            break
        had = recording.session().counts.total
        act(shared, recording, command, number)
        kept = max(kept, had)
        assert recording.session().counts.total >= kept
    found = check(shared.runtime, session.id)
    assert found.tracks[0].state in TRACK
    assert found.trashed_at_ms is None or not found.counts.total
    if found.trashed_at_ms is None:
        shared.runtime.sessions.trash(session.id)


def test_thirty_two_threads_with_every_command_leave_a_legal_history(shared):
    recording = Recording.begin(shared.runtime)
    gate = threading.Barrier(32)
    possible = ("start", "pause", "resume", "fail", "lose", "beat", "reset", "segment")

    def run(number):
        gate.wait()
        return [act(shared, recording, possible[(number + i) % len(possible)], number + 32 * i) for i in range(10)]

    with ThreadPoolExecutor(32) as pool:
        obeyed = [one for results in pool.map(run, range(32)) for one in results]
    assert True in obeyed
    assert False in obeyed
    check(shared.runtime, recording.id)
    shared.runtime.lifecycle.end(recording.id)
    assert check(shared.runtime, recording.id).counts.total == sum(
        (n + i) % 8 == 7 for n in range(32) for i in range(10)
    )


def duration_s(recording):
    return recording.session().total_duration_ms / 1000


def test_the_duration_by_the_clock_leaves_out_pauses_and_what_was_interrupted(world):
    session = world.runtime.sessions.create(NewSession(title="talked in"))
    recording = Recording(world.runtime, session.id)
    assert duration_s(recording) == 0
    life = world.runtime.lifecycle
    life.start(session.id)
    world.passes(10)
    life.pause(session.id)
    world.passes(1000)
    assert duration_s(recording) == 10
    life.resume(session.id)
    world.passes(20)
    life.lose(session.id, "the network is gone")
    world.passes(1000)
    assert duration_s(recording) == 30
    life.resume(session.id)
    world.passes(5)
    world.runtime.transcripts.append(session.id, "Ana", "while it is active, it counts up to what happened last")
    assert duration_s(recording) == 35
    world.passes(5)
    life.fail(session.id, "no disk")
    world.passes(1000)
    life.reset(session.id)
    life.start(session.id)
    world.passes(2)
    life.end(session.id)
    world.passes(1000)
    assert duration_s(recording) == 42


def test_of_a_recorder_that_vanished_the_time_counts_until_it_was_last_heard(world):
    recording = Recording.begin(world.runtime)
    for _ in range(6):
        world.passes(10)
        world.runtime.recorders.report(recording.id, recording.tracks[0], TrackReport(state=TrackState.ACTIVE))
    world.passes(600)
    assert recording.session().state is SessionState.INTERRUPTED
    assert duration_s(recording) == 60
    world.runtime.recorders.report(recording.id, recording.tracks[0], TrackReport(state=TrackState.ACTIVE))
    world.passes(10)
    world.runtime.lifecycle.end(recording.id)
    assert duration_s(recording) == 70


def test_the_duration_of_sound_is_that_of_the_sound_through_pause_and_interruption(tmp_path):
    """Recorders leave pauses out of their times; what was cut off is a gap."""
    with running(tmp_path / "data") as runtime:
        recording = Recording.begin(runtime)
        second = wav(tone(1.0))
        recording.send(0, second, start_ms=0, duration_ms=1000)
        runtime.lifecycle.pause(recording.id)
        runtime.lifecycle.resume(recording.id)
        recording.send(1, second, start_ms=1000, duration_ms=1000)
        runtime.lifecycle.lose(recording.id, "the network is gone")
        runtime.lifecycle.resume(recording.id)
        recording.send(3, second, start_ms=4000, duration_ms=1000)
        recording.end()
        recording.finish()
        assert recording.session().total_duration_ms == 5000
