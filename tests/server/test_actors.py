"""Who is named in histories: the device that a request names, else the owner; longtake itself for what nobody asked."""

import pytest

from tests.server.conftest import tone

PHONE = {"X-Longtake-Device": "phone-1"}


def history(served, session_id):
    return served.client.get(f"/api/sessions/{session_id}/history").json()["items"]


def actors(served, session_id):
    """Who did what, one after the other, without repetition."""
    return list(dict.fromkeys((step["to_state"], step["actor"]) for step in history(served, session_id)))


def test_each_step_names_the_device_that_asked_for_it_else_the_owner(idle):
    session_id = idle.client.post("/api/sessions", json={}, headers=PHONE).json()["id"]
    for step, headers in [("start", PHONE), ("pause", {}), ("resume", PHONE), ("end", PHONE)]:
        idle.client.post(f"/api/sessions/{session_id}/{step}", headers=headers).raise_for_status()
    wanted = {"idle": "device:phone-1", "active": "device:phone-1", "paused": "owner", "completed": "device:phone-1"}
    assert [one for one in actors(idle, session_id) if one[0] in wanted] == list(wanted.items())


def test_a_device_ends_many_sessions_in_its_own_name(idle):
    session_id = idle.create()
    asked = {"session_ids": [session_id], "action": "end"}
    idle.client.post("/api/sessions/bulk", json=asked, headers=PHONE).raise_for_status()
    assert history(idle, session_id)[-1]["actor"] == "device:phone-1"


@pytest.mark.parametrize(
    ("device_id", "headers", "actor"),
    [(None, PHONE, "device:phone-1"), ("mic-7", {}, "device:mic-7"), (None, {}, "recorder")],
)
def test_a_recorder_that_comes_back_is_named_as_far_as_it_is_known(idle, device_id, headers, actor):
    session_id = idle.create()
    track_id = idle.track(session_id, device_id=device_id)
    idle.client.post(f"/api/sessions/{session_id}/start").raise_for_status()
    idle.runtime.lifecycle.lose(session_id, "silence")
    status = f"/api/sessions/{session_id}/tracks/{track_id}/status"
    idle.client.put(status, json={"state": "active"}, headers=headers).raise_for_status()
    assert actors(idle, session_id)[-3:] == [("interrupted", "watch"), ("resuming", actor), ("active", actor)]


def test_a_segment_that_resumes_a_session_names_the_device_of_its_track(idle):
    session_id = idle.create()
    track_id = idle.track(session_id, device_id="mic-7")
    idle.client.post(f"/api/sessions/{session_id}/start").raise_for_status()
    idle.runtime.lifecycle.lose(session_id, "silence")
    idle.put(session_id, track_id, 0, tone(0.1)).raise_for_status()
    assert actors(idle, session_id)[-1] == ("active", "device:mic-7")


def test_a_file_is_recorded_by_the_device_that_sent_it(idle):
    session = idle.client.post("/api/imports?name=a.wav", content=tone(0.1), headers=PHONE).json()
    assert (session["device_id"], session["tracks"][0]["device_id"]) == ("phone-1", "phone-1")
    assert {step["actor"] for step in history(idle, session["id"])} == {"device:phone-1"}


def test_what_a_device_creates_is_its_own_unless_it_names_another(idle):
    def created(path, **body):
        return idle.client.post(path, json=body, headers=PHONE).json()

    session = created("/api/sessions")
    tracks = f"/api/sessions/{session['id']}/tracks"
    assert (session["device_id"], created(tracks, kind="microphone")["device_id"]) == ("phone-1", "phone-1")
    assert created("/api/sessions", device_id="other")["device_id"] == "other"
    assert created(tracks, kind="system", device_id="other")["device_id"] == "other"


def test_remarks_name_the_device_that_made_them(idle):
    session_id = idle.create(phases=["first", "second"])
    base = f"/api/sessions/{session_id}"
    marker = idle.client.post(f"{base}/markers", json={}, headers=PHONE).json()
    phases = idle.client.put(f"{base}/phase", json={"phase": "second"}, headers=PHONE).json()["history"]
    summary = idle.client.put(f"{base}/summary", json={"summary": "Bees."}, headers=PHONE).json()
    assert [one["actor"] for one in phases] == ["owner", "device:phone-1"]
    assert (marker["author"], summary["written"]["author"]) == ("device:phone-1", "device:phone-1")


@pytest.mark.parametrize("device_id", ["", "a b", "x" * 65, "caf\u00e9"])
def test_a_device_that_names_itself_strangely_is_refused(idle, device_id):
    answer = idle.client.get("/api/queue", headers={"X-Longtake-Device": device_id.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"], answer.json()["header"]) == (
        422,
        "invalid_request",
        "X-Longtake-Device",
    )
