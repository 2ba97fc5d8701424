"""The clean-up over HTTP, and heartbeats as they are sent and shown."""

import pytest

from longtake.storage.tables import sessions
from tests.server.conftest import tone


def status(served, session_id, track_id, **fields):
    return served.client.put(f"/api/sessions/{session_id}/tracks/{track_id}/status", json=fields)


def state(served, session_id):
    return served.client.get(f"/api/sessions/{session_id}").json()["state"]


def age(served, session_id, minutes):
    """Nothing has happened in a session for so long."""
    with served.runtime.store.db.write() as c:
        last = sessions.c.last_activity_at_ms
        c.execute(sessions.update().where(sessions.c.id == session_id).values({last: last - minutes * 60_000}))


def test_cleaning_up_by_hand_says_what_was_done(idle):
    empty, stored, young = idle.create(), idle.create(), idle.create()
    idle.put(stored, idle.track(stored), 0, tone(0.1))
    for session_id in (empty, stored):
        age(idle, session_id, 100)
    done = idle.client.post("/api/cleanup", json={"idle_minutes": 90})
    assert done.status_code == 200
    assert (empty in done.json()["removed"], stored in done.json()["ended"]) == (True, True)
    assert young not in done.json()["removed"]
    assert state(idle, stored) == "completed"
    assert idle.client.get(f"/api/sessions/{empty}").json()["trashed_at"] is not None
    assert idle.client.get(f"/api/sessions/{stored}/history").json()["items"][-1]["actor"] == "owner"


def test_cleaning_up_without_a_body_follows_the_settings(idle):
    old, young = idle.create(), idle.create()
    age(idle, old, 25 * 60)
    age(idle, young, 23 * 60)
    removed = idle.client.post("/api/cleanup").json()["removed"]
    assert (old in removed, young in removed) == (True, False)


@pytest.mark.parametrize("body", [{"idle_minutes": 0}, {"idle_minutes": "soon"}, {"hours": 3}])
def test_cleaning_up_by_nonsense_is_refused(idle, body):
    answer = idle.client.post("/api/cleanup", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_heartbeat_is_answered_with_the_track_and_stands_in_the_session(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    answer = status(
        idle, session_id, track_id, state="active", health="degraded",
        metrics={"items_recorded": 3, "dropped_items": 1, "average_latency_ms": 12.5, "error_count": 2,
                 "last_activity": "2026-11-20T09:30:00.123Z"},
        permissions={"microphone": "granted"},
    )  # fmt: skip
    assert answer.status_code == 200
    track = answer.json()
    assert (track["state"], track["health"], track["permissions"]) == ("active", "degraded", {"microphone": "granted"})
    assert track["metrics"] == {
        "items_recorded": 3, "dropped_items": 1, "average_latency_ms": 12.5, "error_count": 2,
        "last_activity": "2026-11-20T09:30:00.123Z",
    }  # fmt: skip
    assert track["reported_at"] is not None
    assert idle.client.get(f"/api/sessions/{session_id}").json()["tracks"] == [track]
    assert idle.client.get(f"/api/sessions/{session_id}/tracks").json()["items"] == [track]


def test_of_a_recorder_that_says_nothing_the_server_counts_what_came(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    receipts = [idle.put(session_id, track_id, index, tone(0.1)).json() for index in range(2)]
    metrics = idle.client.get(f"/api/sessions/{session_id}/tracks").json()["items"][0]["metrics"]
    assert (metrics["items_recorded"], metrics["last_activity"]) == (2, receipts[1]["stored_at"])


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "sleeping"},
        {"health": "fine"},
        {"permissions": {"microphone": "perhaps"}},
        {"permissions": {f"p{n}": True for n in range(21)}},
        {"metrics": {"items_recorded": -1}},
        {"metrics": {"average_latency_ms": "Infinity"}},
        {"metrics": {"last_activity": "yesterday"}},
        {"mood": "good"},
    ],
)
def test_a_heartbeat_that_makes_no_sense_changes_nothing(idle, fields):
    session_id = idle.create()
    track_id = idle.track(session_id)
    before = idle.client.get(f"/api/sessions/{session_id}/tracks").json()
    answer = status(idle, session_id, track_id, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert idle.client.get(f"/api/sessions/{session_id}/tracks").json() == before


def test_missing_permissions_are_named(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    status(idle, session_id, track_id, permissions={"microphone": False, "camera": False})
    answer = idle.client.post(f"/api/sessions/{session_id}/start")
    assert (answer.status_code, answer.json()["code"]) == (409, "missing_permissions")
    assert (answer.json()["permissions"], answer.json()["state"]) == (["microphone"], "error")
    assert "microphone" in answer.json()["detail"]
    session = idle.client.get(f"/api/sessions/{session_id}").json()
    assert (session["state"], session["errors"][0]["detail"]) == ("error", "permission refused: microphone")
    last = idle.client.get(f"/api/sessions/{session_id}/history").json()["items"][-1]
    assert (last["from_state"], last["cause"]) == ("checking_permissions", "missing permissions: microphone")

    again = idle.client.post(f"/api/sessions/{session_id}/start").json()
    assert (again["code"], again["state"], "reset" in again["allowed"]) == (
        "illegal_transition", "error", True,
    )  # fmt: skip
    assert idle.client.post(f"/api/sessions/{session_id}/reset").json()["state"] == "idle"
    status(idle, session_id, track_id, permissions={"microphone": True})
    assert idle.client.post(f"/api/sessions/{session_id}/start").json()["state"] == "active"


def test_while_somebody_is_asked_the_start_waits(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    status(idle, session_id, track_id, permissions={"microphone": "prompt"})
    assert idle.client.post(f"/api/sessions/{session_id}/start").json()["state"] == "checking_permissions"
    status(idle, session_id, track_id, permissions={"microphone": "granted"})
    assert state(idle, session_id) == "active"


def test_an_interrupted_session_goes_on_with_the_next_heartbeat(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    idle.client.post(f"/api/sessions/{session_id}/start")
    status(idle, session_id, track_id, state="active")
    idle.runtime.lifecycle.lose(session_id, "the network is gone")
    assert state(idle, session_id) == "interrupted"
    status(idle, session_id, track_id, state="active")
    assert state(idle, session_id) == "active"


def test_the_server_is_unwell_when_nobody_makes_the_rounds(tmp_path):
    from tests.server.conftest import serving

    with serving(tmp_path / "data") as served:
        assert served.client.get("/healthz").json() == {"status": "ok", "problems": []}
        served.runtime.rounds.close()
        answer = served.client.get("/healthz")
        assert (answer.status_code, "looks after sessions" in answer.json()["problems"][0]) == (503, True)
