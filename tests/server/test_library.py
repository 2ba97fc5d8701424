"""The library over HTTP: recordings and their chunks, search, tags, many sessions at once."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from longtake.model.session import LaneStatus
from longtake.storage.catalog import segments
from longtake.storage.tables import entries
from tests.server.conftest import tone


def fail(served, track_id, *indices):
    """Have segments fail, as a lane would."""
    with served.runtime.store.db.write() as c:
        for index in indices:
            segment = segments.get_segment(c, track_id, index)
            segments.update_segment(c, segment, media=LaneStatus.FAILED, error_code="media_damaged", error_detail="x")


def done(served, track_id, *indices):
    """Have segments be done."""
    with served.runtime.store.db.write() as c:
        for index in indices:
            segment = segments.get_segment(c, track_id, index)
            segments.update_segment(c, segment, media=LaneStatus.DONE, speech=LaneStatus.DONE)


def recording_of_two_tracks(served):
    """Three chunks on two tracks, the second of which lacks the last: done, failed on one track, waiting."""
    session_id = served.create(title="Two tracks")
    first, second = served.track(session_id), served.track(session_id, "system")
    served.client.post(f"/api/sessions/{session_id}/start").raise_for_status()
    for index in range(3):
        served.put(session_id, first, index, tone(0.1, hz=300 + index)).raise_for_status()
    for index in range(2):
        served.put(session_id, second, index, tone(0.1, hz=600 + index)).raise_for_status()
    done(served, first, 0, 1)
    done(served, second, 0)
    fail(served, second, 1)
    return session_id, first, second


def test_a_chunk_by_its_id_names_its_tracks_and_how_long_they_are(served):
    session_id = served.recorded(tone(0.5), tone(1.5, hz=500))
    segments_url = f"/api/sessions/{session_id}/segments"
    last = served.client.get(segments_url).json()["items"][1]
    part = served.client.get(f"/api/recordings/{last['id']}").json()["recording"]
    assert [(one["name"], one["duration_ms"]) for one in part["audio_files"]] == [("microphone", 1500)]
    assert part["metadata"]["total_duration_ms"] == 1500
    assert len(served.client.get(part["audio_files"][0]["url"]).content) == last["size_bytes"]


def test_a_chunk_is_one_index_over_all_tracks_and_failed_if_one_failed(idle):
    session_id, _, second = recording_of_two_tracks(idle)
    answer = idle.client.get(f"/api/recordings/{session_id}").json()
    recording, metadata = answer["recording"], answer["recording"]["metadata"]
    assert answer["success"] is True
    assert (recording["id"], recording["session_id"], recording["is_parent_session"]) == (session_id, session_id, True)
    assert (metadata["total_segments"], metadata["successful_chunks"], metadata["failed_chunks"]) == (3, 1, 1)
    assert [(one["segment_index"], one["status"]) for one in metadata["chunk_statuses"]] == [
        (0, "completed"),
        (1, "failed"),
        (2, "pending"),
    ]
    bad = idle.client.get(f"/api/sessions/{session_id}/tracks/{second}/segments/1").json()
    assert metadata["chunk_statuses"][1]["id"] == bad["id"]
    assert metadata["chunk_statuses"][1]["error"] == "media_damaged"
    assert [file["name"] for file in recording["audio_files"]] == ["audio", "microphone", "system"]


def test_the_list_of_recordings_counts_as_the_single_ones_do(idle):
    made = {recording_of_two_tracks(idle)[0] for _ in range(3)}
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = idle.client.get("/api/recordings", params=params).json()
        assert page["success"] is True
        found += page["recordings"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    times = [one["created_at"] for one in found]
    assert times == sorted(times, reverse=True)
    assert made <= {one["id"] for one in found}
    for one in found:
        if one["id"] in made:
            assert one == idle.client.get(f"/api/recordings/{one['id']}").json()["recording"]


@pytest.mark.parametrize("holes", [(), (1,), (0, 2)])
def test_chunks_are_counted_right_whatever_is_missing_on_a_track(idle, holes):
    session_id = idle.create()
    first, second = idle.track(session_id), idle.track(session_id, "system")
    for index in range(4):
        if index not in holes:
            idle.put(session_id, first, index, tone(0.1, hz=200 + index)).raise_for_status()
    idle.put(session_id, second, 1, tone(0.1, hz=700)).raise_for_status()
    metadata = idle.client.get(f"/api/recordings/{session_id}").json()["recording"]["metadata"]
    there = {index for index in range(4) if index not in holes} | {1}
    assert metadata["total_segments"] == len(there) == len(metadata["chunk_statuses"])
    assert metadata["successful_chunks"] == 0


def test_a_list_has_the_first_hundred_chunks_and_a_single_recording_all(idle):
    session_id = idle.create(tags=["long"])
    track_id = idle.track(session_id)
    for index in range(120):
        idle.put(session_id, track_id, index, tone(0.02, hz=100 + index)).raise_for_status()
    [listed] = [
        one for one in idle.client.get("/api/recordings").json()["recordings"] if one["session_id"] == session_id
    ]
    whole = idle.client.get(f"/api/recordings/{session_id}").json()["recording"]
    assert [one["segment_index"] for one in listed["metadata"]["chunk_statuses"]] == list(range(100))
    assert [one["segment_index"] for one in whole["metadata"]["chunk_statuses"]] == list(range(120))
    assert listed["metadata"]["total_segments"] == 120


def test_retrying_a_chunk_retries_what_failed_in_it_and_nothing_else(idle):
    session_id, first, _ = recording_of_two_tracks(idle)
    fail(idle, first, 0)
    [_, bad, _] = idle.client.get(f"/api/recordings/{session_id}").json()["recording"]["metadata"]["chunk_statuses"]
    part = idle.client.get(f"/api/recordings/{bad['id']}").json()["recording"]
    assert (part["is_parent_session"], part["session_id"], part["status"]) == (False, session_id, "failed")
    assert part["metadata"]["chunk_statuses"] == [bad]
    retried = idle.client.post(f"/api/recordings/{bad['id']}/retry").json()
    assert (retried["session_id"], retried["segments"]) == (session_id, 1)
    statuses = idle.client.get(f"/api/recordings/{session_id}").json()["recording"]["metadata"]["chunk_statuses"]
    assert [one["status"] for one in statuses] == ["failed", "pending", "pending"]
    assert idle.client.post(f"/api/recordings/{session_id}/retry").json()["segments"] == 1


def test_a_recording_goes_to_the_trash_and_what_is_none_is_not_found(idle):
    session_id = idle.create()
    assert idle.client.delete(f"/api/recordings/{session_id}").status_code == 204
    assert session_id not in [one["id"] for one in idle.client.get("/api/recordings").json()["recordings"]]
    nothing = str(uuid.uuid4())
    for method, path in (("GET", ""), ("POST", "/retry"), ("DELETE", ""), ("DELETE", "/audio")):
        answer = idle.client.request(method, f"/api/recordings/{nothing}{path}")
        assert answer.status_code == 404, (method, path)


def test_deleting_the_audio_leaves_the_words(served):
    session_id = served.recorded(tone(0.5))
    served.client.post(f"/api/sessions/{session_id}/transcript", json={"speaker": "Ana", "text": "kept words"})
    served.wait_for_job(session_id)
    answer = served.client.delete(f"/api/recordings/{session_id}/audio")
    assert answer.status_code == 200, answer.text
    recording = served.client.get(f"/api/recordings/{session_id}").json()["recording"]
    assert (recording["audio_files"], recording["metadata"]["total_segments"]) == ([], 0)
    assert served.client.get("/api/search", params={"q": "kept words"}).json()["items"]


def test_what_is_called_by_a_word_is_found_however_often_it_was_said_since(idle):
    called = idle.create(title="Zinnia")
    marked = idle.create()
    idle.client.post(f"/api/sessions/{marked}/markers", json={"label": "zinnia again"}).raise_for_status()
    said = idle.create()
    with idle.runtime.store.db.write() as c:
        common = {"session_id": said, "speaker": "Ana", "start_ms": 0, "end_ms": 1, "at_ms": 0, "is_draft": False}
        rows = [
            {"id": str(uuid.uuid4()), "text": f"a zinnia {n}", "words": [], "corrected": False} for n in range(2001)
        ]
        c.execute(insert(entries), [common | row for row in rows])
    first = [(hit["session_id"], hit["kind"]) for hit in find(idle, "zinnia", limit=2)]
    assert first == [(called, "session"), (marked, "marker")]
    assert find(idle, "zinnia", kind="marker")[0]["session_id"] == marked
    assert all(hit["session_id"] == said for hit in find(idle, "zinnia 17"))
    assert find(idle, "zinnia -again", kind="marker") == []


def find(idle, q, **params):
    answer = idle.client.get("/api/search", params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.fixture(scope="module")
def told(idle):
    """A session with texts of every kind that people write."""
    session_id = idle.create(title="Kvasir interview", description="about the mead", tags=["myth", "norse"])
    base = f"/api/sessions/{session_id}"
    for at, (speaker, text) in enumerate(
        [("Ana", "Kvasir was wise; kvasir travelled."), ("Ben", "Señor Ødegård <b>said</b> so.")]
    ):
        idle.client.post(f"{base}/transcript", json={"speaker": speaker, "text": text, "start_ms": 5000 * at})
    idle.client.post(f"{base}/markers", json={"at_ms": 7000, "label": "the dwarves arrive"})
    idle.client.put(f"{base}/summary", json={"summary": "Two dwarves kill a wise man."})
    return session_id


def test_a_hit_names_the_session_the_moment_and_who_spoke(idle, told):
    best, *_ = hits = find(idle, "kvasir")
    assert {hit["kind"] for hit in hits} == {"session", "entry"}
    assert (best["kind"], best["session_title"], best["start_ms"]) == ("session", "Kvasir interview", None)
    [said] = [hit for hit in hits if hit["kind"] == "entry"]
    assert (said["session_id"], said["start_ms"], said["speaker"]) == (told, 0, "Ana")
    assert [said["snippet"][a:b] for a, b in said["marks"]] == ["Kvasir", "kvasir"]


@pytest.mark.parametrize(
    ("q", "kinds"),
    [
        ("dwarves", {"marker", "summary"}),
        ("dwarves -kill", {"marker"}),
        ('"wise man"', {"summary"}),
        ('"man wise"', set()),
        ("wise man", {"summary"}),
        ("dwar*", {"marker", "summary"}),
        ("dwar", set()),
        ("SENOR ødegard", {"entry"}),
        ("Señor", {"entry"}),
        ("mead", {"session"}),
        ("kvasir mead", {"session"}),
        ('dwarves -"kill a"', {"marker"}),
    ],
)
def test_the_language_of_a_search(idle, told, q, kinds):
    assert {hit["kind"] for hit in find(idle, q) if hit["session_id"] == told} == kinds


def test_a_snippet_is_plain_text_as_it_was_said(idle, told):
    [hit] = [hit for hit in find(idle, "said") if hit["session_id"] == told]
    assert hit["snippet"] == "Señor Ødegård <b>said</b> so."
    assert [hit["snippet"][a:b] for a, b in hit["marks"]] == ["said"]


def test_a_search_is_narrowed_by_kind_session_tag_and_time(idle, told):
    created = find(idle, "mead")[0]["session_created_at"]
    assert {hit["kind"] for hit in find(idle, "kvasir", kind=["entry"])} == {"entry"}
    assert find(idle, "kvasir", session_id="another") == []
    assert find(idle, "kvasir", tag=["myth", "norse"])
    assert find(idle, "kvasir", tag=["myth", "greek"]) == []
    assert find(idle, "kvasir", since=created)
    assert find(idle, "kvasir", until=created) == []


def test_what_lies_in_the_trash_is_not_found_and_what_comes_back_is(idle):
    session_id = idle.create(title="Quetzalcoatl")
    idle.client.delete(f"/api/sessions/{session_id}")
    assert find(idle, "quetzalcoatl") == []
    idle.client.post(f"/api/sessions/{session_id}/restore")
    assert len(find(idle, "quetzalcoatl")) == 1


def test_what_is_corrected_is_found_by_its_new_words_only(idle):
    session_id = idle.create()
    base = f"/api/sessions/{session_id}/transcript"
    entry = idle.client.post(base, json={"speaker": "Ana", "text": "a zeppelyn"}).json()
    idle.client.patch(f"{base}/{entry['id']}", json={"text": "a zeppelin"}).raise_for_status()
    assert (len(find(idle, "zeppelyn")), len(find(idle, "zeppelin"))) == (0, 1)


def test_hits_come_in_pages_each_once(idle):
    session_id = idle.create()
    for number in range(7):
        text = "xylophone " * (number % 3 + 1)
        idle.client.post(f"/api/sessions/{session_id}/transcript", json={"speaker": "Ana", "text": text})
    found, cursor = [], None
    while True:
        params = {"q": "xylophone", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = idle.client.get("/api/search", params=params).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len({hit["id"] for hit in found}) == len(found) == 7
    scores = [hit["score"] for hit in found]
    assert scores == sorted(scores, reverse=True)


def test_sessions_are_found_by_whatever_their_devices_did(idle):
    created, recorded = idle.create(device_id="tablet-of-ward-3"), idle.create()
    idle.track(recorded, device_id="tablet-of-ward-3")
    idle.track(idle.create(), device_id="another")
    found = idle.client.get("/api/sessions", params={"device_id": "tablet-of-ward-3"}).json()
    assert {one["id"] for one in found["items"]} == {created, recorded} == set(found["session_ids"])


def test_sessions_are_listed_by_any_of_their_texts(idle, told):
    def ids(**params):
        return {one["id"] for one in idle.client.get("/api/sessions", params=params).json()["items"]}

    assert ids(q="dwarves") == {told}
    assert ids(q="dwarves", tag="norse") == {told}
    assert ids(q="dwarves", tag="greek") == set()
    assert idle.client.get("/api/sessions", params={"q": "-"}).status_code == 422


@pytest.mark.parametrize("q", ["", "   ", "-word", "!!!", '""', "- -", "x" * 501, " ".join("abcdefghij" * 4)])
def test_a_search_for_nothing_or_too_much_is_refused_with_a_reason(idle, q):
    answer = idle.client.get("/api/search", params={"q": q})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60) | st.text("ab\"*-:^()+ANDORTNE{}\\\x00\x02'ä̈", max_size=30))
def test_whatever_is_typed_is_answered(idle, told, q):
    encoded = q.encode("utf-8", "surrogatepass")
    answer = idle.client.get("/api/search", params={"q": encoded})
    assert answer.status_code in (200, 422), (q, answer.text)
    listed = idle.client.get("/api/sessions", params={"q": encoded, "limit": 1})
    assert listed.status_code == answer.status_code


def test_tags_and_topics_are_counted_without_the_trash(idle):
    def count(kind, name):
        items = idle.client.get(f"/api/{kind}").json()["items"]
        return {item["name"]: item["sessions"] for item in items}.get(name, 0)

    one, two = (idle.create(tags=["counted"], topics=["weighed"]) for _ in range(2))
    assert (count("tags", "counted"), count("topics", "weighed")) == (2, 2)
    idle.client.delete(f"/api/sessions/{one}")
    idle.client.patch(f"/api/sessions/{two}", json={"topics": []})
    assert (count("tags", "counted"), count("topics", "weighed")) == (1, 0)
    idle.client.post(f"/api/sessions/{one}/restore")
    assert (count("tags", "counted"), count("topics", "weighed")) == (2, 1)


def bulk(idle, ids, action, **fields):
    answer = idle.client.post("/api/sessions/bulk", json={"session_ids": ids, "action": action, **fields})
    assert answer.status_code == 200, answer.text
    return [(item["ok"], item["error"]) for item in answer.json()["items"]]


def test_many_sessions_are_changed_at_once_with_an_answer_for_each(idle):
    one, two = idle.create(tags=["kept"]), idle.create(tags=["kept", "gone"])
    ids = [one, "nobody", two]
    assert bulk(idle, ids, "tag", tags=["new"]) == [(True, None), (False, "session_not_found"), (True, None)]
    assert bulk(idle, [two], "untag", tags=["gone", "never"]) == [(True, None)]
    tags = [idle.client.get(f"/api/sessions/{key}").json()["tags"] for key in (one, two)]
    assert tags == [["kept", "new"], ["kept", "new"]]
    assert bulk(idle, ids, "trash") == [(True, None), (False, "session_not_found"), (True, None)]
    assert bulk(idle, [one], "tag", tags=["late"]) == [(False, "trashed")]
    assert bulk(idle, [one, one, two], "restore") == [(True, None), (True, None)]
    assert bulk(idle, [one], "retry") == [(True, None)]
    assert bulk(idle, [two], "delete_audio") == [(False, "illegal_transition")]
    assert bulk(idle, [two], "purge") == [(True, None)]
    assert idle.client.get(f"/api/sessions/{two}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"session_ids": [], "action": "trash"},
        {"session_ids": ["a"], "action": "burn"},
        {"session_ids": ["a"], "action": "tag"},
        {"session_ids": ["a"], "action": "trash", "tags": ["x"]},
        {"session_ids": ["a"] * 501, "action": "trash"},
    ],
)
def test_a_bulk_request_that_makes_no_sense_is_refused(idle, body):
    assert idle.client.post("/api/sessions/bulk", json=body).status_code == 422
