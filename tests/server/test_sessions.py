"""Sessions over HTTP: create, read, list, change, trash; small whatever they hold."""

import base64
import json
from datetime import datetime
from typing import Any

import pytest

from longtake.model.session import TrackKind
from longtake.sessions.manager import NewTrack
from longtake.storage.catalog import sessions, tracks
from tests.server.conftest import tone


def nested(levels):
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_a_session_has_the_documented_shape(idle):
    answer = idle.client.post("/api/sessions", json={"title": "Interview", "tags": ["field"], "participant": "Ana"})
    session = answer.json()
    assert answer.status_code == 201
    assert session["state"] == "idle"
    assert session["processing"] == "completed"
    assert session["enrichment"]["status"] == "idle"
    assert session["participants"][0]["name"] == "Ana"
    assert session["created_at"].endswith("Z")
    assert len(session["created_at"]) == len("2026-11-20T09:30:00.123Z")
    assert idle.client.get(session["refs"]["segments"]).json() == {"items": [], "next_cursor": None}
    assert idle.client.get(f"/api/sessions/{session['id']}").json() == session


def test_a_title_is_made_of_the_date_when_none_is_given(idle):
    assert idle.client.post("/api/sessions", json={}).json()["title"].startswith("Recording, 20")


def test_a_session_that_does_not_exist_is_a_problem_with_its_code(idle):
    answer = idle.client.get("/api/sessions/nobody")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/session_not_found",
        "title": "Session not found",
        "status": 404,
        "code": "session_not_found",
        "detail": "there is no session nobody",
        "session_id": "nobody",
    }


@pytest.mark.parametrize(
    "body",
    [
        {"titel": "misspelt"},
        {"title": "x" * 501},
        {"title": "\ud800"},
        {"agent": {"name": "\ud800"}},
        {"agent": {"\ud800": 1}},
        {"description": "\ud800"},
        {"recording_config": {"source_type": "\ud800"}},
        {"\ud800": 1},
        {"recording_type": "upload"},
        {"tags": ["x"] * 51},
        {"tags": [""]},
        {"mode": "trio"},
        {"expected_segments": 10**30},
        {"description": "ä" * 2000},
        {"description": "\x01" * 501},
        {"title": "😀" * 251},
        {"device_id": "ä" * 33},
        {"agent": {"prompt": "x" * 2000}},
        {"agent": {"x": nested(300)}},
        {"agent": {"x": nested(20)}},
        {"agent": {"x": nested(900)}},
    ],
)
def test_a_session_that_makes_no_sense_is_refused(idle, body):
    headers = {"Content-Type": "application/json"}
    answer = idle.client.post("/api/sessions", content=json.dumps(body), headers=headers)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"


def test_a_body_that_is_no_json_is_refused(idle):
    answer = idle.client.post("/api/sessions", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"


def test_a_body_that_nests_too_deeply_is_refused(idle):
    body = b'{"agent": ' + b'{"a":' * 50_000
    answer = idle.client.post("/api/sessions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


def test_an_agent_is_told_as_it_was_said(idle):
    agent = {"x": nested(19), "n": [1, None, 1.5, "ä"]}
    assert idle.client.get(f"/api/sessions/{idle.create(agent=agent)}").json()["agent"] == agent


def test_an_agent_that_was_stored_before_it_would_have_been_refused_hides_no_session(idle):
    session_id = idle.create(tags=["deep-agent"])
    with idle.runtime.store.db.write() as c:
        sessions.update_session(c, session_id, agent={"x": nested(300)})
    shown = idle.client.get(f"/api/sessions/{session_id}")
    listed = idle.client.get("/api/sessions", params={"tag": "deep-agent"})
    assert (shown.status_code, listed.status_code) == (200, 200)
    assert (shown.json()["agent"], listed.json()["items"][0]["agent"]) == (None, None)


@pytest.mark.parametrize("announced", [True, False])
def test_a_message_that_is_too_large_is_refused(idle, announced):
    body = b'{"title": "' + b"x" * (1 << 20) + b'"}'
    content = body if announced else iter([body[:1000], body[1000:]])
    answer = idle.client.post("/api/sessions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_a_changed_session_keeps_what_was_not_named(idle):
    session_id = idle.create(title="Before", description="kept", tags=["a"])
    changed = idle.client.patch(f"/api/sessions/{session_id}", json={"title": "After", "tags": ["b", "c"]}).json()
    assert (changed["title"], changed["description"], changed["tags"]) == ("After", "kept", ["b", "c"])


def test_a_deleted_session_lies_in_the_trash_until_it_is_restored(idle):
    session_id = idle.create(tags=["trash-test"])
    assert idle.client.delete(f"/api/sessions/{session_id}").status_code == 204
    assert idle.client.delete(f"/api/sessions/{session_id}").status_code == 204
    listed = idle.client.get("/api/sessions", params={"tag": "trash-test"}).json()
    in_trash = idle.client.get("/api/sessions", params={"tag": "trash-test", "trashed": True}).json()
    refused = idle.client.patch(f"/api/sessions/{session_id}", json={"title": "no"})
    restored = idle.client.post(f"/api/sessions/{session_id}/restore").json()
    assert listed["session_ids"] == []
    assert in_trash["session_ids"] == [session_id]
    assert (refused.status_code, refused.json()["code"]) == (409, "trashed")
    assert restored["trashed_at"] is None


def test_a_list_comes_in_pages_newest_first(idle):
    made = [idle.create(tags=["paged"]) for _ in range(5)]
    found, cursor = [], None
    while True:
        params = {"tag": "paged", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = idle.client.get("/api/sessions", params=params).json()
        found += [item["id"] for item in page["items"]]
        assert set(page["session_ids"]) == set(made)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(made)
    times = [idle.client.get(f"/api/sessions/{one}").json()["created_at"] for one in found]
    assert times == sorted(times, reverse=True)


def test_a_list_is_filtered_by_state_topic_processing_device_participant_and_time(idle):
    wanted = idle.create(topics=["bees"], device_id="device-1", participant="Bea", tags=["filtered"])
    other = idle.create(topics=["ants"], device_id="device-2", participant="Art", tags=["filtered"])
    idle.client.post(f"/api/sessions/{wanted}/start")
    at = datetime.fromisoformat(idle.client.get(f"/api/sessions/{other}").json()["created_at"])

    def ids(**params):
        return set(idle.client.get("/api/sessions", params={"tag": "filtered", **params}).json()["session_ids"])

    assert ids() == {wanted, other}
    assert ids(state=["active", "paused"]) == {wanted}
    assert ids(topic="bees") == {wanted}
    assert ids(device_id="device-1") == {wanted}
    assert ids(participant="Bea") == {wanted}
    assert ids(processing="completed") == {wanted, other}
    assert ids(processing="failed") == set()
    assert ids(since="2100-01-01T00:00:00Z") == set()
    assert ids(until="2000-01-01T00:00:00Z") == set()
    assert other in ids(since=at.isoformat())


def test_a_filter_that_is_no_column_pages_without_losing_or_doubling(idle):
    made = [idle.create(topics=["odd" if i % 2 else "even"], tags=["scanned"]) for i in range(6)]
    first = idle.client.get("/api/sessions", params={"topic": "odd", "tag": "scanned", "limit": 2}).json()
    rest = idle.client.get(
        "/api/sessions", params={"topic": "odd", "tag": "scanned", "limit": 2, "cursor": first["next_cursor"]}
    ).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == [made[5], made[3], made[1]]
    assert rest["next_cursor"] is None


def test_a_list_counts_what_is_being_recorded(idle):
    before = idle.client.get("/api/sessions").json()["active_sessions"]
    session_id = idle.create()
    idle.client.post(f"/api/sessions/{session_id}/start")
    assert idle.client.get("/api/sessions").json()["active_sessions"] == before + 1


def test_a_list_shows_segment_statuses_when_asked(idle):
    session_id = idle.create(tags=["expanded"])
    idle.put(session_id, idle.track(session_id), 0, tone(0.1))
    plain = idle.client.get("/api/sessions", params={"tag": "expanded"}).json()["items"][0]
    full = idle.client.get("/api/sessions", params={"tag": "expanded", "expand": "segments"}).json()["items"][0]
    assert plain["segment_statuses"] is None
    assert [(one["index"], one["status"]) for one in full["segment_statuses"]] == [(0, "pending")]


def cursor_of(text):
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *["nonsense", "W10", "W251bGwsMV0", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTksICJ4Il0", "ä"],
        cursor_of('["-created_at",5,"\\ud800"]'),
        cursor_of("[" * 2000),
    ],
)
def test_a_cursor_that_no_list_gave_out_is_refused(idle, cursor):
    answer = idle.client.get("/api/sessions", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "at",
    ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"],
)
def test_a_time_that_nobody_lives_in_is_refused_and_harms_nobody(idle, at):
    session_id = idle.create()
    track = {"kind": "microphone", "started_at": at}
    assert idle.client.post(f"/api/sessions/{session_id}/tracks", json=track).status_code == 422
    track_id = idle.track(session_id)
    status = {"metrics": {"last_activity": at}}
    answer = idle.client.put(f"/api/sessions/{session_id}/tracks/{track_id}/status", json=status)
    assert answer.status_code == 422
    assert idle.client.get("/api/sessions", params={"since": at}).status_code == 422
    assert idle.client.get(f"/api/sessions/{session_id}").status_code == 200
    assert idle.client.get("/api/sessions").status_code == 200


@pytest.mark.parametrize("at_ms", [-62135639999999999, -1, 253402344000000000])
def test_a_time_that_was_stored_before_it_would_have_been_refused_makes_no_session_unreadable(idle, at_ms):
    session_id = idle.create()
    old = {"last_activity": "0001-01-01T00:00:00.000Z"}
    track = idle.runtime.sessions.declare_track(session_id, NewTrack(kind=TrackKind.MICROPHONE, started_at_ms=at_ms))
    with idle.runtime.store.db.write() as c:
        tracks.update_track(c, track.id, metrics=old)
    shown = idle.client.get(f"/api/sessions/{session_id}").json()["tracks"][0]
    assert shown["metrics"]["last_activity"] == old["last_activity"]
    assert idle.client.get("/api/sessions").status_code == 200


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "2026-11-20T09:30:00.123+02:00", "8999-12-31T23:59:59Z"])
def test_a_time_is_told_as_it_was_said(idle, at):
    session_id = idle.create()
    track = {"kind": "microphone", "started_at": at}
    answer = idle.client.post(f"/api/sessions/{session_id}/tracks", json=track)
    assert answer.status_code == 201
    assert datetime.fromisoformat(answer.json()["started_at"]) == datetime.fromisoformat(at)


def test_metadata_stays_small_with_sixty_tracks_and_a_hundred_words(idle):
    words = [f"{i:03d}-" + "ä" * 90 for i in range(50)]
    session_id = idle.create(
        title="t" * 500, description="d" * 3000, tags=words, topics=words, phases=words, mode="group"
    )
    for number in range(60):
        track_id = idle.track(session_id, name=f"track {number}")
        report = {"error": "e" * 1000, "metrics": {"items_recorded": 10**6}}
        idle.client.put(f"/api/sessions/{session_id}/tracks/{track_id}/status", json=report)
    answer = idle.client.get(f"/api/sessions/{session_id}")
    session = answer.json()
    assert len(answer.content) < 10_000
    assert (session["tracks_total"], session["tags_total"], session["errors_total"]) == (60, 50, 60)
    assert 0 < len(session["tracks"]) < 60
    assert len(idle.client.get(f"/api/sessions/{session_id}/tracks").json()["items"]) == 60


@pytest.mark.parametrize("sign", ["x", "ä", "😀", '"', "\\", "\x01"])
def test_metadata_stays_small_whatever_is_written(served, sign):
    size = len(json.dumps(sign, ensure_ascii=False).encode()) - 2
    word, device = sign * min(100, 400 // size), sign * (64 // size)
    config = {"source_type": device, "display_ids": [device] * 8, "window_ids": [device] * 8}
    session_id = served.create(
        title=sign * min(500, 1000 // size), description=sign * (3000 // size), agent={"prompt": "p" * 1480},
        tags=[word] * 50, topics=[word] * 50, phases=[word] * 50, recording_config=config, recording_type=device,
        device_id=device, participant=word, mode="group", expected_segments=10**6,
    )  # fmt: skip
    served.put(session_id, served.track(session_id, name=word, device_id=device), 0, b"RIFF----WAVE" + bytes(1000))
    for step in ("start", "pause", "resume", "end"):
        served.client.post(f"/api/sessions/{session_id}/{step}").raise_for_status()
    served.wait_for_job(session_id)
    answer = served.client.get(f"/api/sessions/{session_id}")
    assert len(answer.content) < 10_000
    assert answer.json()["recording_config"]["display_ids"] == [device] * 8


def test_what_was_stored_before_it_would_have_been_refused_is_shown_as_it_is(idle):
    session_id = idle.create()
    old = {"source_type": "ä" * 64, "display_ids": ["\x01" * 64]}
    with idle.runtime.store.db.write() as c:
        sessions.update_session(c, session_id, recording_config=old, title="\x01" * 500, description="\x01" * 3000)
    shown = idle.client.get(f"/api/sessions/{session_id}").json()
    assert shown["recording_config"] | old == shown["recording_config"]
    assert (shown["title"], shown["description"]) == ("\x01" * 500, "\x01" * 3000)
