"""Transcript and outline over HTTP."""

from urllib.parse import quote

import pytest

from tests.server.conftest import tone


def test_entries_are_appended_listed_corrected_and_renamed(idle):
    session_id = idle.create()
    url = f"/api/sessions/{session_id}/transcript"
    late = idle.client.post(url, json={"speaker": "A", "text": "second", "start_ms": 2000, "end_ms": 3000}).json()
    early = idle.client.post(url, json={"speaker": "A", "text": "first", "start_ms": 0}).json()
    corrected = idle.client.patch(f"{url}/{late['id']}", json={"text": "Second!"}).json()
    renamed = idle.client.patch(f"/api/sessions/{session_id}/speakers/A", json={"name": "Ana"}).json()
    first = idle.client.get(url, params={"limit": 1}).json()
    rest = idle.client.get(url, params={"cursor": first["next_cursor"]}).json()
    assert corrected["corrected"] is True
    assert renamed == {"speaker": "Ana", "entries": 2}
    assert [(one["id"], one["text"], one["speaker"]) for one in first["items"] + rest["items"]] == [
        (early["id"], "first", "Ana"),
        (late["id"], "Second!", "Ana"),
    ]


@pytest.mark.parametrize("name", ["Ana / Ben", "/", "a/b/", "50 %", "?#"])
def test_any_speaker_can_be_renamed(idle, name):
    session_id = idle.create()
    idle.client.post(f"/api/sessions/{session_id}/transcript", json={"speaker": name, "text": "x"})
    answer = idle.client.patch(f"/api/sessions/{session_id}/speakers/{quote(name, safe='')}", json={"name": "Ana"})
    assert (answer.status_code, answer.json()) == (200, {"speaker": "Ana", "entries": 1})


def test_what_is_not_there_is_not_found(idle):
    session_id = idle.create()
    answer = idle.client.patch(f"/api/sessions/{session_id}/transcript/nobody", json={"text": "x"})
    assert (answer.status_code, answer.json()["code"]) == (404, "entry_not_found")
    assert idle.client.get("/api/sessions/nobody/transcript").json()["code"] == "session_not_found"


def test_an_entry_that_ends_before_it_starts_is_refused(idle):
    body = {"speaker": "A", "text": "x", "start_ms": 10, "end_ms": 5}
    answer = idle.client.post(f"/api/sessions/{idle.create()}/transcript", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_the_outline_is_there_when_the_job_is_done(served):
    session_id = served.create()
    early = served.client.get(f"/api/sessions/{session_id}/summary")
    served.put(session_id, served.track(session_id), 0, tone(1))
    text = "We must call the printer tomorrow because the brochure about bees is late."
    served.client.post(f"/api/sessions/{session_id}/transcript", json={"speaker": "A", "text": text})
    served.client.post(f"/api/sessions/{session_id}/end")
    served.wait_for_job(session_id)
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    for what in ("summary", "chapters", "tasks", "notes"):
        answer = served.client.get(f"/api/sessions/{session_id}/{what}")
        assert answer.status_code == 200
        assert answer.json()["made_by"] == "outline"
    tasks = served.client.get(f"/api/sessions/{session_id}/tasks").json()["items"]
    assert served.client.get(f"/api/sessions/{session_id}").json()["task_ids"] == [task["id"] for task in tasks]
