"""POSTs that can be sent again under their key."""

import re
from concurrent.futures import ThreadPoolExecutor

from longtake.model.errors import StorageFull
from longtake.storage.catalog import requests


def test_a_post_with_the_same_idempotency_key_is_done_once(idle):
    def post(title):
        return idle.client.post("/api/sessions", json={"title": title}, headers={"Idempotency-Key": "key-once"})

    first, again, other = post("A"), post("A"), post("B")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert idle.client.post("/api/sessions", json={}, headers={"Idempotency-Key": "x" * 201}).status_code == 422


def test_a_key_may_be_any_printable_ascii_and_the_document_says_so(idle):
    keys = ["a b", "!", "~" * 200, "ä", "x" * 201, "a\tb"]
    done = [idle.client.post("/api/sessions", json={}, headers={"Idempotency-Key": key.encode()}) for key in keys]
    [parameter] = [
        one
        for one in idle.client.get("/api/openapi.json").json()["paths"]["/api/sessions"]["post"]["parameters"]
        if one["name"] == "Idempotency-Key"
    ]
    assert [answer.status_code for answer in done] == [201, 201, 201, 422, 422, 422]
    assert [bool(re.search(parameter["schema"]["pattern"], key)) for key in keys] == [True] * 3 + [False] * 3


def test_what_was_done_is_told_as_done_when_the_disk_is_full_before_it_is_remembered(idle):
    def full(c):
        before(c)
        if requests.find_answer(c, "key-full") is not None:
            raise StorageFull("the database said: disk is full")

    db, before = idle.runtime.store.db, idle.runtime.store.db.before_commit
    db.before_commit = full
    try:
        answer = idle.client.post("/api/sessions", json={"tags": ["full"]}, headers={"Idempotency-Key": "key-full"})
    finally:
        db.before_commit = before
    assert answer.status_code == 201
    assert idle.client.get("/api/sessions", params={"tag": "full"}).json()["session_ids"] == [answer.json()["id"]]


def test_a_refused_post_may_be_sent_again_under_its_key(idle):
    session_id = idle.create()
    headers = {"Idempotency-Key": "key-refused"}
    refused = idle.client.post(f"/api/sessions/{session_id}/pause", headers=headers)
    idle.client.post(f"/api/sessions/{session_id}/start")
    done = idle.client.post(f"/api/sessions/{session_id}/pause", headers=headers)
    assert (refused.status_code, done.status_code) == (409, 200)


def test_requests_at_once_with_one_key_make_one_session(idle):
    def post(_):
        return idle.client.post("/api/sessions", json={"tags": ["at-once"]}, headers={"Idempotency-Key": "at-once"})

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(16)))
    assert {answer.json()["id"] for answer in answers} == set(
        idle.client.get("/api/sessions", params={"tag": "at-once"}).json()["session_ids"]
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
