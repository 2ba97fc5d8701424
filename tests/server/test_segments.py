"""Segments over HTTP: a receipt means stored, the same twice is once, and everything wrong has its own code."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tests.server.conftest import serving, tone, wait_for


@pytest.fixture
def place(idle):
    session_id = idle.create()
    return session_id, idle.track(session_id)


def digest_of(data):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def url(place, index):
    return f"/api/sessions/{place[0]}/tracks/{place[1]}/segments/{index}"


def test_a_segment_is_answered_with_its_receipt(idle, place):
    data = tone(0.2)
    answer = idle.put(*place, 3, data, start_ms=600, duration_ms=200)
    segment = idle.client.get(url(place, 3)).json()
    assert answer.status_code == 201
    assert set(answer.json()) == {"segment_id", "index", "sha256", "size_bytes", "stored_at", "status"}
    assert answer.json()["sha256"] == hashlib.sha256(data).hexdigest()
    assert (segment["start_ms"], segment["duration_ms"], segment["mime_type"]) == (600, 200, "audio/wav")
    assert idle.client.get(f"{url(place, 3)}/media").content == data


def test_the_same_segment_again_gets_the_same_receipt(idle, place):
    first = idle.put(*place, 0, tone(0.1))
    again = idle.put(*place, 0, tone(0.1))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


def test_the_same_segment_from_many_at_once_is_stored_once(idle, place):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: idle.put(*place, 0, tone(0.1)), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert idle.client.get(f"/api/sessions/{place[0]}").json()["segment_counts"]["total"] == 1


def test_other_bytes_under_an_index_are_refused_and_the_first_kept(idle, place):
    idle.put(*place, 0, tone(0.1))
    answer = idle.put(*place, 0, tone(0.1, hz=880))
    assert (answer.status_code, answer.json()["code"]) == (409, "segment_conflict")
    assert idle.client.get(f"{url(place, 0)}/media").content == tone(0.1)


def test_a_digest_is_checked(idle, place):
    right = idle.client.put(url(place, 0), content=tone(0.1), headers={"Repr-Digest": digest_of(tone(0.1))})
    wrong = idle.client.put(url(place, 1), content=tone(0.1), headers={"Repr-Digest": digest_of(b"other")})
    assert right.status_code == 201
    assert (wrong.status_code, wrong.json()["code"]) == (422, "digest_mismatch")
    assert idle.client.get(url(place, 1)).status_code == 404


@pytest.mark.parametrize("path", ["segment", "import"])
def test_a_digest_on_a_line_of_its_own_is_checked(idle, place, path):
    headers = [("Repr-Digest", "sha-512=:AAAA:"), ("Repr-Digest", digest_of(b"other"))]
    if path == "segment":
        answer = idle.client.put(url(place, 0), content=tone(0.1), headers=headers)
    else:
        answer = idle.client.post("/api/imports", content=tone(0.1), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")


@pytest.mark.parametrize("announced", [True, False])
def test_a_segment_that_is_too_large_is_refused(idle, place, announced):
    data = tone(0.1) + bytes(2 << 20)
    content = data if announced else iter([data[:100_000], data[100_000:]])
    answer = idle.client.put(url(place, 0), content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert idle.client.get(url(place, 0)).status_code == 404


def test_a_body_without_a_length_is_taken(idle, place):
    data = tone(2.0)
    answer = idle.client.put(url(place, 0), content=iter([data[:10], data[10:30_000], data[30_000:]]))
    assert answer.status_code == 201
    assert answer.json()["size_bytes"] == len(data)


@pytest.mark.parametrize("data", [b"", b"this is no sound", b"#!/bin/sh\nrm -rf /\n"])
def test_what_is_no_media_is_refused(idle, place, data):
    answer = idle.client.put(url(place, 0), content=data)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media")


@pytest.mark.parametrize("query", ["start_ms=-1", "start_ms=x", "duration_ms=1e9", "start_ms=99999999999999999999"])
def test_a_time_that_is_none_is_refused(idle, place, query):
    answer = idle.client.put(f"{url(place, 0)}?{query}", content=tone(0.1))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("per_second", [1, 1000], ids=["seconds", "milliseconds"])
def test_the_time_of_day_is_no_time_of_a_recording(idle, place, per_second):
    start_ms = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * per_second
    answer = idle.client.put(f"{url(place, 0)}?start_ms={start_ms}", content=tone(0.1))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "not the time of day" in answer.json()["detail"]


@pytest.mark.parametrize("index", ["-1", "x", "1000000", "1.5"])
def test_an_index_that_is_none_is_refused(idle, place, index):
    assert idle.client.put(url(place, index), content=tone(0.1)).status_code == 422


def test_a_track_is_found_only_in_its_own_session(idle, place):
    stranger = idle.create()
    idle.put(*place, 0, tone(0.1))
    answer = idle.put(stranger, place[1], 1, tone(0.1))
    assert (answer.status_code, answer.json()["code"]) == (404, "track_not_found")
    assert idle.client.get(f"/api/sessions/{stranger}/tracks/{place[1]}/segments/0/media").status_code == 404
    assert idle.put(place[0], "nobody", 0, tone(0.1)).json()["code"] == "track_not_found"


def test_a_session_in_the_trash_takes_nothing(idle, place):
    idle.client.delete(f"/api/sessions/{place[0]}")
    answer = idle.put(*place, 0, tone(0.1))
    assert (answer.status_code, answer.json()["code"]) == (409, "trashed")


def test_segments_come_in_pages_and_gaps_are_listed(idle, place):
    for index in (4, 0, 1):
        idle.put(*place, index, tone(0.1), start_ms=index * 100, duration_ms=100)
    first = idle.client.get(f"/api/sessions/{place[0]}/segments", params={"limit": 2}).json()
    rest = idle.client.get(
        f"/api/sessions/{place[0]}/segments", params={"limit": 2, "cursor": first["next_cursor"]}
    ).json()
    coverage = idle.client.get(f"/api/sessions/{place[0]}/coverage").json()["tracks"][0]
    assert [one["index"] for one in first["items"] + rest["items"]] == [0, 1, 4]
    assert coverage["missing"] == [2, 3]
    assert coverage["gaps"] == [{"start_ms": 200, "end_ms": 400, "cause": "missing"}]


def test_a_retried_segment_waits_again(idle, place):
    idle.put(*place, 0, tone(0.1))
    done = idle.client.post(f"{url(place, 0)}/retry").json()
    assert (done["session_id"], done["segments"]) == (place[0], 1)
    assert idle.client.post(f"{url(place, 7)}/retry").json()["code"] == "segment_not_found"


def test_a_segment_that_cannot_be_decoded_is_kept_with_its_error_and_can_be_retried(served):
    broken = tone(0.5)[:44] + b""
    session_id = served.create()
    track_id = served.track(session_id)
    served.put(session_id, track_id, 0, tone(0.5))
    served.put(session_id, track_id, 1, broken)
    served.client.post(f"/api/sessions/{session_id}/end")
    session = served.wait_for_job(session_id)
    segment = served.client.get(f"/api/sessions/{session_id}/tracks/{track_id}/segments/1").json()
    assert session["processing"] == "completed_with_errors"
    assert segment["status"] == "failed"
    assert segment["error"]["code"] == "media_damaged"
    retried = served.client.post(f"/api/sessions/{session_id}/retry").json()
    assert retried["segments"] == 1
    bulk = served.client.post("/api/sessions/retry", json={"session_ids": [session_id, "nobody"]}).json()["items"]
    assert [one["error"] for one in bulk] == [None, "session_not_found"]


def test_a_full_disk_is_said_and_nothing_is_stored(tmp_path):
    with serving(tmp_path / "data", with_engine=False, min_free_bytes=1 << 60) as full:
        session_id = full.create()
        answer = full.put(session_id, full.track(session_id), 0, tone(0.1))
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert full.client.get(f"/api/sessions/{session_id}").json()["segment_counts"]["total"] == 0


def test_more_than_can_be_queued_is_put_off(tmp_path):
    with serving(tmp_path / "data", with_engine=False, max_queued_bytes=1) as busy:
        session_id = busy.create()
        track_id = busy.track(session_id)
        with ThreadPoolExecutor(1) as thread:
            with busy.runtime.store.db.write():  # the committer waits
                first = thread.submit(busy.put, session_id, track_id, 0, tone(0.1))
                wait_for(lambda: busy.runtime.receiver.queued_bytes)
                second = busy.put(session_id, track_id, 1, tone(0.1))
            assert first.result().status_code == 201
        assert (second.status_code, second.json()["code"]) == (429, "overloaded")
        assert second.headers["retry-after"]
        assert busy.put(session_id, track_id, 1, tone(0.1)).status_code == 201


def test_a_segment_is_saved_under_a_name_that_says_what_it_is(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    idle.put(session_id, track_id, 7, tone(0.1)).raise_for_status()
    media = idle.client.get(f"/api/sessions/{session_id}/tracks/{track_id}/segments/7/media")
    assert f'filename="{track_id[:8]}_7.wav"' in media.headers["content-disposition"]
