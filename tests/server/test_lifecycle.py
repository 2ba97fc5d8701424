"""A session's life over HTTP: one of racing callers wins, the others are told where it is."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from longtake.model.lifecycle import SESSION, SessionEvent, SessionState, TrackState


def post(served, session_id, step, **kwargs):
    return served.client.post(f"/api/sessions/{session_id}/{step}", **kwargs)


def test_a_session_walks_and_records_all_its_states(idle):
    session_id = idle.create()
    for step, state in [("start", "active"), ("pause", "paused"), ("resume", "active"), ("end", "completed")]:
        assert post(idle, session_id, step).json()["state"] == state
    history = idle.client.get(f"/api/sessions/{session_id}/history").json()["items"]
    assert [step["to_state"] for step in history] == [
        "idle", "validating", "checking_permissions", "starting", "active",
        "pausing", "paused", "resuming", "active", "ending", "completed",
    ]  # fmt: skip


def test_an_illegal_transition_names_the_state_and_what_is_allowed(idle):
    session_id = idle.create()
    answer = post(idle, session_id, "pause")
    assert answer.status_code == 409
    assert answer.json()["code"] == "illegal_transition"
    assert answer.json()["state"] == "idle"
    assert answer.json()["allowed"] == ["start", "end"]
    for possible in answer.json()["allowed"]:
        assert post(idle, session_id, possible).status_code == 200


@pytest.mark.parametrize("step", ["reset", "dismiss"])
def test_a_failed_session_goes_back_to_idle(idle, step):
    session_id = idle.create()
    idle.runtime.lifecycle.fail(session_id, "no microphone")
    assert post(idle, session_id, step).json()["state"] == "idle"


@pytest.mark.parametrize(("before", "step"), [([], "start"), (["start"], "pause"), (["start", "pause"], "resume")])
def test_one_of_32_callers_at_once_wins(idle, before, step):
    session_id = idle.create()
    for earlier in before:
        post(idle, session_id, earlier)
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: post(idle, session_id, step), range(32)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 31}
    assert all(answer.json()["allowed"] for answer in answers if answer.status_code == 409)


def test_one_of_32_callers_ends_a_session(idle):
    session_id = idle.create()
    post(idle, session_id, "start")
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: post(idle, session_id, "end"), range(32)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 31}
    history = idle.client.get(f"/api/sessions/{session_id}/history").json()["items"]
    assert [step["to_state"] for step in history].count("completed") == 1


def test_the_end_says_what_each_track_should_have(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    post(idle, session_id, "start")
    post(idle, session_id, "end", json={"tracks": [{"track_id": track_id, "segments": 2, "duration_ms": 4000}]})
    coverage = idle.client.get(f"/api/sessions/{session_id}/coverage").json()["tracks"][0]
    assert coverage["expected_ms"] == 4000
    assert coverage["missing"] == [0, 1]
    assert coverage["gaps"] == [{"start_ms": 0, "end_ms": 4000, "cause": "tail"}]
    assert idle.client.get(f"/api/sessions/{session_id}").json()["coverage"]["gap_count"] == 1


def test_the_end_of_a_track_of_another_session_changes_nothing(idle):
    stranger = idle.track(idle.create())
    session_id = idle.create()
    post(idle, session_id, "start")
    answer = post(idle, session_id, "end", json={"tracks": [{"track_id": stranger, "segments": 1}]})
    assert (answer.status_code, answer.json()["code"]) == (404, "track_not_found")
    assert idle.client.get(f"/api/sessions/{session_id}").json()["state"] == "active"


def test_a_track_cannot_be_declared_after_the_end(idle):
    session_id = idle.create()
    post(idle, session_id, "end")
    answer = idle.client.post(f"/api/sessions/{session_id}/tracks", json={"kind": "microphone"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_heartbeat_moves_the_track_and_keeps_what_it_leaves_out(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    url = f"/api/sessions/{session_id}/tracks/{track_id}/status"
    idle.client.put(url, json={"state": "active", "metrics": {"items_recorded": 7}})
    track = idle.client.put(url, json={"health": "degraded", "metrics": {"dropped_items": 1}}).json()
    assert (track["state"], track["health"]) == ("active", "degraded")
    assert (track["metrics"]["items_recorded"], track["metrics"]["dropped_items"]) == (7, 1)


def test_a_refused_permission_is_named(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    url = f"/api/sessions/{session_id}/tracks/{track_id}/status"
    track = idle.client.put(url, json={"permissions": {"microphone": False, "camera": True}}).json()
    assert track["error"] == "permission refused: microphone"


def test_thirty_two_callers_with_every_command_leave_a_legal_history(idle):
    """Each is obeyed or told where the session is and what is possible; the history is a walk through the table."""
    session_id = idle.create()
    track_id = idle.track(session_id)
    url = f"/api/sessions/{session_id}/tracks/{track_id}/status"
    steps = ("start", "pause", "resume", "reset")

    def ask(number):
        if number % 5 == 4:
            return idle.client.put(url, json={"state": ["active", "paused", "stopped"][number % 3]})
        return post(idle, session_id, steps[number % 5])

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(ask, range(320)))
    assert {answer.status_code for answer in answers} == {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            problem = answer.json()
            assert problem["code"] == "illegal_transition"
            assert problem["state"] in (*SessionState, *TrackState)
            assert isinstance(problem["allowed"], list)
    history = idle.client.get(f"/api/sessions/{session_id}/history").json()["items"]
    at = SessionState(history[0]["to_state"])
    for step in history[1:]:
        assert step["from_state"] == at
        at = SESSION[at][SessionEvent(step["event"])]
        assert (step["to_state"], bool(step["actor"]), bool(step["at"])) == (at, True, True)
    assert idle.client.get(f"/api/sessions/{session_id}").json()["state"] == at
    won = sum(answer.status_code == 200 and answer.request.method == "POST" for answer in answers)
    assert won == sum(step["event"] in ("start_requested", "pause_requested", "resume_requested") for step in history)


def test_one_of_thirty_two_callers_resets_a_track(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    url = f"/api/sessions/{session_id}/tracks/{track_id}/status"
    idle.client.put(url, json={"state": "stopped"})
    with ThreadPoolExecutor(32) as threads:
        wanted = ["idle" if number == 7 else "paused" for number in range(32)]
        answers = list(threads.map(lambda one: idle.client.put(url, json={"state": one}), wanted))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 31}
    assert answers[7].status_code == 200
    assert all(answer.json()["allowed"] for answer in answers if answer.status_code == 409)
