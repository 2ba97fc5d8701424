"""Heartbeats, permissions, and what a recorder may still say after the end."""

import pytest

from longtake.model.errors import IllegalTransition, MissingPermissions, NotFound, Trashed
from longtake.model.lifecycle import Permission, SessionState, TrackHealth, TrackState
from longtake.model.permissions import NEEDED, lacking
from longtake.model.session import Track, TrackKind
from longtake.sessions.lifecycle import TRACK_WALKS
from longtake.sessions.manager import NewSession
from longtake.sessions.recorders import TrackReport
from tests.enrichment.recording import Recording

GRANTED, DENIED, PROMPT = Permission.GRANTED, Permission.DENIED, Permission.PROMPT


def says(runtime, recording, *, track=0, **fields):
    """A heartbeat."""
    return runtime.recorders.report(recording.id, recording.tracks[track], TrackReport(**fields))


def walked(runtime, recording):
    """States and causes of the history."""
    return [(step.to_state.value, step.cause) for step in runtime.sessions.history(recording.id)]


def test_a_heartbeat_is_stored_and_told(runtime, recording):
    heard = []
    runtime.store.bus.subscribe(lambda e: heard.append((e.name, dict(e.payload))))
    before = runtime.store.now_ms()
    track = says(
        runtime, recording, state=TrackState.ACTIVE, health=TrackHealth.DEGRADED,
        metrics={"items_recorded": 4}, permissions={"microphone": GRANTED}, error="it crackles",
    )  # fmt: skip
    assert track == runtime.sessions.track(recording.id, track.id)
    assert (track.permissions, track.error) == ({"microphone": GRANTED}, "it crackles")
    assert before <= track.reported_at_ms == track.heard_at_ms <= runtime.store.now_ms()
    assert heard == [
        ("track_status",
         {"track_id": track.id, "state": "active", "health": "degraded", "metrics": {"items_recorded": 4}}),
    ]  # fmt: skip


def test_what_a_heartbeat_leaves_out_stays_but_for_the_error(runtime, recording):
    says(runtime, recording, health=TrackHealth.FAILED, permissions={"microphone": GRANTED}, error="gone")
    track = says(runtime, recording)
    assert (track.health, track.permissions, track.error) == (TrackHealth.FAILED, {"microphone": GRANTED}, None)


def test_a_refused_permission_is_an_error_until_it_is_granted(runtime, recording):
    assert says(runtime, recording, permissions={"microphone": DENIED, "camera": DENIED}).error == (
        "permission refused: microphone"
    )
    assert says(runtime, recording).error == "permission refused: microphone"
    assert says(runtime, recording, permissions={"microphone": GRANTED}).error is None


def test_a_heartbeat_of_the_same_state_changes_nothing_twice(runtime, recording):
    for _ in range(3):
        assert says(runtime, recording, state=TrackState.ACTIVE).state is TrackState.ACTIVE


def test_a_heartbeat_after_the_end_may_only_say_that_it_has_stopped(runtime, recording):
    runtime.lifecycle.end(recording.id)
    assert says(runtime, recording, state=TrackState.STOPPED, metrics={"items_recorded": 9}).metrics == {
        "items_recorded": 9
    }
    for state in (TrackState.ACTIVE, TrackState.IDLE, TrackState.INITIALIZING):
        with pytest.raises(IllegalTransition) as refused:
            says(runtime, recording, state=state)
        assert (refused.value.state, refused.value.allowed) == ("stopped", [])
    assert recording.session().state is SessionState.COMPLETED


def test_a_heartbeat_for_nobody_or_into_the_trash_is_refused(runtime, recording):
    other = Recording.begin(runtime)
    with pytest.raises(NotFound):
        runtime.recorders.report(other.id, recording.tracks[0], TrackReport())
    with pytest.raises(NotFound):
        runtime.recorders.report("nobody", recording.tracks[0], TrackReport())
    runtime.sessions.trash(recording.id)
    with pytest.raises(Trashed):
        says(runtime, recording)


def test_missing_permissions_are_named_and_the_session_is_in_error(runtime, recording):
    recording.add(TrackKind.CAMERA)
    says(runtime, recording, permissions={"microphone": DENIED, "camera": GRANTED, "screen": DENIED})
    says(runtime, recording, track=1, permissions={"camera": DENIED})
    with pytest.raises(MissingPermissions) as refused:
        runtime.lifecycle.start(recording.id)
    assert refused.value.fields == {"permissions": ["camera", "microphone"], "state": "error"}
    assert walked(runtime, recording)[1:] == [
        ("validating", None), ("checking_permissions", None), ("error", "missing permissions: camera, microphone"),
    ]  # fmt: skip
    assert recording.session().started_at_ms is None


@pytest.mark.parametrize("leave", ["reset", "dismiss"])
def test_once_they_are_granted_it_starts(runtime, recording, leave):
    says(runtime, recording, permissions={"microphone": DENIED})
    with pytest.raises(MissingPermissions):
        runtime.lifecycle.start(recording.id)
    assert getattr(runtime.lifecycle, leave)(recording.id).state is SessionState.IDLE
    says(runtime, recording, permissions={"microphone": GRANTED})
    assert runtime.lifecycle.start(recording.id).state is SessionState.ACTIVE


def test_only_the_chosen_sources_need_permissions(runtime, recording):
    recording.add(TrackKind.CAMERA)
    says(runtime, recording, track=1, permissions={"camera": DENIED})
    says(runtime, recording, permissions={"screen": DENIED, "geolocation": DENIED})
    says(runtime, recording, track=1, state=TrackState.STOPPED)
    assert runtime.lifecycle.start(recording.id).state is SessionState.ACTIVE


def test_while_somebody_is_asked_the_session_waits_and_the_answer_starts_it(runtime, recording):
    says(runtime, recording, permissions={"microphone": PROMPT})
    assert runtime.lifecycle.start(recording.id).state is SessionState.CHECKING_PERMISSIONS
    says(runtime, recording, metrics={})
    assert recording.session().state is SessionState.CHECKING_PERMISSIONS
    says(runtime, recording, permissions={"microphone": GRANTED})
    session = recording.session()
    assert (session.state, session.started_at_ms is None) == (SessionState.ACTIVE, False)
    assert session.tracks[0].state is TrackState.ACTIVE
    assert [state for state, _ in walked(runtime, recording)] == [
        "idle", "validating", "checking_permissions", "starting", "active",
    ]  # fmt: skip


def test_while_somebody_is_asked_a_refusal_is_an_error_and_an_end_is_an_end(runtime, recording):
    says(runtime, recording, permissions={"microphone": PROMPT})
    runtime.lifecycle.start(recording.id)
    says(runtime, recording, permissions={"microphone": DENIED})
    assert walked(runtime, recording)[-1] == ("error", "missing permissions: microphone")
    runtime.lifecycle.reset(recording.id)
    says(runtime, recording, permissions={"microphone": PROMPT})
    runtime.lifecycle.start(recording.id)
    assert runtime.lifecycle.end(recording.id).state is SessionState.COMPLETED


def test_every_kind_of_source_is_known_by_its_own_name():
    for kind in TrackKind:
        track = Track(
            id="t", session_id="s", kind=kind, number=0, state=TrackState.IDLE, health=TrackHealth.HEALTHY,
            permissions={name: DENIED for names in NEEDED.values() for name in names},
        )  # fmt: skip
        assert lacking([track], DENIED) == sorted(NEEDED[kind])
        assert kind in (TrackKind.UPLOAD, TrackKind.MIX) or kind is TrackKind.SCREENSHOTS or kind.value in NEEDED[kind]


def test_a_failed_session_that_is_reset_has_idle_tracks(runtime, recording):
    runtime.lifecycle.start(recording.id)
    runtime.lifecycle.fail(recording.id, "the disk of the tablet is full")
    assert runtime.lifecycle.reset(recording.id).tracks[0].state is TrackState.IDLE
    assert runtime.lifecycle.start(recording.id).tracks[0].state is TrackState.ACTIVE


def test_of_racing_heartbeats_each_wins_or_is_told_what_is_possible(runtime, recording):
    from tests.sessions.test_lifecycle import race

    runtime.lifecycle.start(recording.id)
    targets = [TrackState.PAUSED, TrackState.ACTIVE, TrackState.STOPPED, TrackState.INITIALIZING]
    results = race(32, lambda n: says(runtime, recording, state=targets[n % 4]))
    for number, result in enumerate(results):
        if isinstance(result, IllegalTransition):
            assert targets[number % 4].value not in result.allowed
            assert set(result.allowed) == {
                state.value for state in TRACK_WALKS if TrackState(result.state) in TRACK_WALKS[state]
            }
        else:
            assert result.state is targets[number % 4]
    assert all(isinstance(results[n], IllegalTransition) for n in range(3, 32, 4))
    assert runtime.sessions.track(recording.id, recording.tracks[0]).state is TrackState.STOPPED


def test_one_of_thirty_two_threads_stops_a_track_that_is_reset_once(runtime, recording):
    from tests.sessions.test_lifecycle import race

    says(runtime, recording, state=TrackState.STOPPED)
    results = race(32, lambda n: says(runtime, recording, state=TrackState.IDLE if n == 5 else TrackState.PAUSED))
    assert [n for n, result in enumerate(results) if not isinstance(result, IllegalTransition)] == [5]


def test_a_waiting_session_takes_no_recorder_for_granted(runtime):
    from longtake.model.session import Mode

    session = runtime.sessions.create(NewSession(mode=Mode.PAIR))
    recording = Recording(runtime, session.id)
    recording.add(TrackKind.MICROPHONE)
    says(runtime, recording, permissions={"microphone": DENIED})
    with pytest.raises(MissingPermissions):
        runtime.lifecycle.start(session.id)
    assert runtime.lifecycle.end(session.id).state is SessionState.COMPLETED
