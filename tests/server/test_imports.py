"""Whole files: one request, one session; nothing is left behind when it fails."""

import base64
import hashlib
import socket

import pytest
from sqlalchemy import func, select

from longtake.model.errors import StorageFull
from longtake.storage.tables import sessions
from tests.server.conftest import tone, wait_for


def session_count(served):
    return served.client.get("/api/stats").json()["sessions"]["total"]


def test_a_file_becomes_a_session_that_is_whole(served):
    answer = served.client.post("/api/imports", params={"name": "C:\\talks\\Über uns.v2.wav"}, content=tone(3))
    session = served.wait_for_job(answer.json()["id"])
    assert answer.status_code == 201
    assert session["title"] == "Über uns.v2"
    assert (session["state"], session["total_duration_ms"]) == ("completed", 3000)
    assert [track["kind"] for track in session["tracks"]] == ["upload"]
    assert served.client.get(session["refs"]["audio"]).status_code == 200


def test_a_file_without_a_length_is_taken(idle):
    data = tone(3)
    answer = idle.client.post("/api/imports", content=iter([data[:7], data[7:]]))
    assert answer.status_code == 201
    assert answer.json()["segment_counts"]["total"] == 1


def test_a_file_under_a_key_is_imported_once(idle):
    before = session_count(idle)
    headers = {"Idempotency-Key": "import-once"}
    first = idle.client.post("/api/imports", content=tone(1), headers=headers)
    again = idle.client.post("/api/imports", content=tone(1), headers=headers)
    other = idle.client.post("/api/imports", content=tone(2), headers=headers)
    assert first.json() == again.json()
    assert other.json()["code"] == "idempotency_key_reused"
    assert session_count(idle) == before + 1


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"this is no sound", {}, 415, "unsupported_media"),
        (b"", {}, 415, "unsupported_media"),
        (tone(1) + bytes(9 << 20), {}, 413, "too_large"),
        (tone(1), {"Repr-Digest": "sha-256=:" + base64.b64encode(bytes(32)).decode() + ":"}, 422, "digest_mismatch"),
        (tone(1), {"Repr-Digest": "nonsense"}, 422, "invalid_request"),
    ],
)
def test_a_file_that_is_refused_leaves_nothing(idle, content, headers, status, code):
    before = session_count(idle)
    answer = idle.client.post("/api/imports", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert session_count(idle) == before


def test_a_full_disk_hides_not_why_a_file_was_refused_and_leaves_nothing_in_the_end(idle):
    seen = before = session_count(idle)

    def full(c):
        nonlocal seen
        noted(c)
        count = c.execute(select(func.count()).select_from(sessions)).scalar_one()
        if count < seen:  # a session is being removed
            raise StorageFull("the database said: disk is full")
        seen = count

    db, noted = idle.runtime.store.db, idle.runtime.store.db.before_commit
    db.before_commit = full
    try:
        answer = idle.client.post("/api/imports", content=b"this is no sound")
    finally:
        db.before_commit = noted
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media")
    assert session_count(idle) == before + 1
    assert idle.client.post("/api/cleanup").status_code == 200
    assert session_count(idle) == before


def test_a_session_that_was_purged_while_its_file_came_is_no_error(idle):
    track = idle.runtime.imports.begin("soon gone", None, None)
    idle.runtime.imports.forget(track.session_id)
    idle.runtime.imports.forget(track.session_id)


def test_a_file_whose_sender_vanishes_leaves_nothing(idle):
    before = session_count(idle)
    with socket.create_connection((idle.client.base_url.host, idle.client.base_url.port)) as connection:
        head = b"POST /api/imports HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head + tone(30))
        wait_for(lambda: session_count(idle) == before + 1)
    wait_for(lambda: session_count(idle) == before)
    assert list((idle.runtime.settings.data / "incoming").iterdir()) == []


def test_the_bytes_come_back_as_they_were_sent(idle):
    data = tone(20)
    session = idle.client.post("/api/imports", content=data).json()
    media = f"/api/sessions/{session['id']}/tracks/{session['tracks'][0]['id']}/segments/0/media"
    answer = idle.client.get(media)
    part = idle.client.get(media, headers={"Range": "bytes=300000-399999"})
    assert answer.content == data
    assert answer.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert answer.headers["content-disposition"].startswith("attachment")
    assert part.content == data[300_000:400_000]
