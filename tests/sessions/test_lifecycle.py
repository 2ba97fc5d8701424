"""A session's commands: what they do, what they refuse, and that one of racing callers wins."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from longtake.model.errors import IllegalTransition, Invalid, NotFound, Trashed
from longtake.model.lifecycle import SessionState, TrackHealth, TrackState
from longtake.model.session import Mode
from longtake.sessions.lifecycle import Announced
from longtake.sessions.manager import NewSession
from longtake.sessions.recorders import TrackReport
from tests.enrichment.recording import GARBAGE, Recording, tone, wav


def states(runtime, session_id):
    """The states that its history names, each step joined to the one before it."""
    steps = runtime.sessions.history(session_id)
    assert [step.from_state for step in steps] == [None, *(step.to_state for step in steps[:-1])]
    return [step.to_state.value for step in steps]


def test_every_state_between_is_recorded(runtime, recording):
    assert runtime.lifecycle.start(recording.id).state is SessionState.ACTIVE
    runtime.lifecycle.pause(recording.id)
    runtime.lifecycle.resume(recording.id)
    runtime.lifecycle.lose(recording.id, "the network is gone")
    runtime.lifecycle.resume(recording.id)
    ended = runtime.lifecycle.end(recording.id)
    assert states(runtime, recording.id) == [
        "idle", "validating", "checking_permissions", "starting", "active", "pausing", "paused", "resuming", "active",
        "interrupted", "resuming", "active", "ending", "completed",
    ]  # fmt: skip
    moments = [ended.started_at_ms, ended.paused_at_ms, ended.resumed_at_ms, ended.ended_at_ms, ended.completed_at_ms]
    assert None not in moments
    causes = [step.cause for step in runtime.sessions.history(recording.id) if step.cause]
    assert causes == ["the network is gone"]


def test_tracks_follow_their_session(runtime, recording):
    def state():
        return runtime.sessions.track(recording.id, recording.tracks[0]).state

    runtime.lifecycle.start(recording.id)
    assert state() is TrackState.ACTIVE
    runtime.lifecycle.pause(recording.id)
    assert state() is TrackState.PAUSED
    runtime.lifecycle.resume(recording.id)
    assert state() is TrackState.ACTIVE
    runtime.lifecycle.end(recording.id)
    assert state() is TrackState.STOPPED


@pytest.mark.parametrize("command", ["start", "pause", "resume", "reset", "dismiss", "end"])
def test_a_session_that_has_ended_takes_no_command(runtime, recording, command):
    runtime.lifecycle.end(recording.id)
    with pytest.raises(IllegalTransition) as refused:
        getattr(runtime.lifecycle, command)(recording.id)
    assert (refused.value.state, refused.value.allowed, refused.value.http_status) == ("completed", [], 409)
    assert states(runtime, recording.id) == ["idle", "ending", "completed"]


def test_a_refused_command_changes_nothing(runtime, recording):
    before = recording.session()
    with pytest.raises(IllegalTransition) as refused:
        runtime.lifecycle.pause(recording.id)
    assert refused.value.allowed == ["start", "end"]
    assert recording.session() == before
    assert states(runtime, recording.id) == ["idle"]


@pytest.mark.parametrize("way", ["lose", "fail"])
def test_what_was_recorded_is_kept_when_the_recorder_fails_and_the_session_is_ended(runtime, recording, way):
    runtime.lifecycle.start(recording.id)
    recording.send(0, wav(tone(1.0)))
    getattr(runtime.lifecycle, way)(recording.id, "it is gone")
    ended = runtime.lifecycle.end(recording.id)
    assert (ended.state, ended.counts.total, ended.job.status) == (SessionState.COMPLETED, 1, "pending")


def test_a_session_that_waits_for_its_second_participant_can_be_ended(runtime):
    session = runtime.sessions.create(NewSession(mode=Mode.PAIR))
    assert session.state is SessionState.WAITING
    assert runtime.lifecycle.end(session.id).state is SessionState.COMPLETED
    assert states(runtime, session.id) == ["waiting", "ending", "completed"]


def test_an_error_is_left_by_reset_or_dismissal_and_it_starts_again(runtime, recording):
    first = runtime.lifecycle.start(recording.id).started_at_ms
    for leave in (runtime.lifecycle.reset, runtime.lifecycle.dismiss):
        runtime.lifecycle.fail(recording.id, "no microphone")
        assert leave(recording.id).state is SessionState.IDLE
        assert runtime.lifecycle.start(recording.id).started_at_ms == first


def test_end_announces_what_each_track_should_have(runtime, recording):
    runtime.lifecycle.start(recording.id)
    recording.send(0, wav(tone(1.0)), start_ms=0, duration_ms=1000)
    ended = runtime.lifecycle.end(recording.id, [Announced(track_id=recording.tracks[0], segments=3, duration_ms=3000)])
    assert (ended.tracks[0].expected_segments, ended.tracks[0].expected_ms) == (3, 3000)
    found = runtime.sessions.coverage(recording.id)[0].coverage
    assert (found.missing, [(gap.start_ms, gap.end_ms, gap.cause) for gap in found.gaps]) == (
        (1, 2),
        [(1000, 3000, "tail")],
    )


def test_what_was_declared_stays_when_the_end_announces_nothing(runtime, recording):
    from longtake.model.session import TrackKind
    from longtake.sessions.manager import NewTrack

    track = runtime.sessions.declare_track(recording.id, NewTrack(kind=TrackKind.SYSTEM, expected_segments=7))
    ended = runtime.lifecycle.end(recording.id, [Announced(track_id=track.id, duration_ms=100)])
    assert [(one.expected_segments, one.expected_ms) for one in ended.tracks] == [(None, None), (7, 100)]


@pytest.mark.parametrize(
    ("announced", "error"),
    [({"track_id": "nobody"}, NotFound), ({"segments": -1}, Invalid), ({"segments": 5, "duration_ms": -1}, Invalid)],
)
def test_an_end_that_announces_nonsense_does_not_end(runtime, recording, announced, error):
    with pytest.raises(error):
        runtime.lifecycle.end(recording.id, [Announced(**{"track_id": recording.tracks[0], **announced})])
    assert recording.session().state is SessionState.IDLE
    assert recording.session().job is None


def race(count, action):
    """What came of an action that so many threads begin at once: results and errors."""
    gate = threading.Barrier(count)

    def run(number):
        gate.wait()
        try:
            return action(number)
        except IllegalTransition as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("command", ["start", "end"])
def test_one_of_thirty_two_racing_callers_wins(runtime, recording, command):
    results = race(32, lambda _: getattr(runtime.lifecycle, command)(recording.id))
    winners = [result for result in results if not isinstance(result, IllegalTransition)]
    assert len(winners) == 1
    expected = {"start": ["idle", "validating", "checking_permissions", "starting", "active"],
                "end": ["idle", "ending", "completed"]}  # fmt: skip
    assert states(runtime, recording.id) == expected[command]


def test_racing_pauses_resumes_and_losses_leave_a_history_without_a_break(runtime, recording):
    runtime.lifecycle.start(recording.id)
    commands = [
        runtime.lifecycle.pause,
        runtime.lifecycle.resume,
        lambda session_id: runtime.lifecycle.lose(session_id, "gone"),
    ]
    results = race(32, lambda number: commands[number % 3](recording.id))
    won = sum(not isinstance(result, IllegalTransition) for result in results)
    assert won >= 1
    steps = runtime.sessions.history(recording.id)[5:]
    assert sum(step.to_state.value in ("paused", "active", "interrupted") for step in steps) == won
    assert states(runtime, recording.id)[-1] == recording.session().state.value


def test_ending_races_with_segments_and_loses_none(runtime, recording):
    runtime.lifecycle.start(recording.id)
    body = wav(tone(0.1))

    def act(number):
        return runtime.lifecycle.end(recording.id) if number == 7 else recording.send(number, body)

    race(16, act)
    session = recording.session()
    assert session.counts.total == 15
    assert session.job is not None
    assert not session.mix_settled


def test_a_heartbeat_moves_a_track_and_keeps_its_metrics(runtime, recording):
    report = TrackReport(
        state=TrackState.ACTIVE, health=TrackHealth.DEGRADED, metrics={"dropped_items": 2}, error="late"
    )
    runtime.recorders.report(recording.id, recording.tracks[0], report)
    track = runtime.recorders.report(recording.id, recording.tracks[0], TrackReport(metrics={"items_recorded": 5}))
    assert (track.state, track.health, track.error) == (TrackState.ACTIVE, TrackHealth.DEGRADED, None)
    assert track.metrics == {"dropped_items": 2, "items_recorded": 5}


def test_a_heartbeat_of_an_impossible_state_names_the_possible_ones(runtime, recording):
    with pytest.raises(IllegalTransition) as refused:
        runtime.recorders.report(recording.id, recording.tracks[0], TrackReport(state=TrackState.PAUSED))
    assert refused.value.allowed == ["active", "stopped", "initializing", "stopping", "error"]


def test_a_session_in_the_trash_takes_no_command_until_it_is_restored(runtime, recording):
    runtime.sessions.trash(recording.id)
    runtime.sessions.trash(recording.id)
    for refused in (
        lambda: runtime.lifecycle.start(recording.id),
        lambda: runtime.work.enqueue(recording.id),
        lambda: runtime.work.retry_session(recording.id),
        lambda: runtime.sessions.change(recording.id, title="other"),
        lambda: recording.send(0, GARBAGE),
    ):
        with pytest.raises(Trashed):
            refused()
    assert runtime.sessions.restore(recording.id).trashed_at_ms is None
    assert runtime.lifecycle.start(recording.id).state is SessionState.ACTIVE


def test_a_session_that_does_not_exist_is_not_found(runtime):
    with pytest.raises(NotFound) as missing:
        runtime.lifecycle.start("nobody")
    assert missing.value.code == "session_not_found"


def test_an_import_that_a_crash_cut_off_is_tidied_up(runtime):
    empty = runtime.imports.begin("never arrived", None, None)
    stored, begun = runtime.imports.begin("arrived", None, None), runtime.imports.begin("arrived and begun", None, None)
    for track in (stored, begun):
        recording = Recording(runtime, track.session_id)
        recording.tracks.append(track.id)
        recording.send(0, wav(tone(0.1)))
    runtime.lifecycle.start(begun.session_id)

    runtime.imports.recover()

    with pytest.raises(NotFound):
        runtime.sessions.get(empty.session_id)
    for track in (stored, begun):
        session = runtime.sessions.get(track.session_id)
        assert (session.state, session.job is None) == (SessionState.COMPLETED, False)
