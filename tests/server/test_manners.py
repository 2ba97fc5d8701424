"""What any HTTP client may expect of any address: HEAD, `Allow`, and texts that say what to do instead."""

import pytest

JSON = {"Content-Type": "application/json"}


PATHS = ["/api/sessions", "/api/stats", "/healthz", "/readyz", "/metrics", "/", "/api/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_without_the_body(idle, path):
    whole, head = idle.client.get(path), idle.client.head(path)
    assert (head.status_code, head.headers["content-type"]) == (whole.status_code, whole.headers["content-type"])
    assert head.content == b""


def test_a_connection_goes_on_behind_a_head(idle):
    """No byte of the body is sent: the next answer would begin with it."""
    with idle.client.stream("HEAD", "/api/queue") as head:
        announced = int(head.headers["content-length"])
    assert announced == len(idle.client.get("/api/queue").content)
    assert idle.client.head("/api/queue").headers["content-length"] == str(announced)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/queue", "GET, HEAD"),
        ("HEAD", "/api/cleanup", "POST"),
        ("OPTIONS", "/api/sessions", "GET, HEAD, POST"),
        ("POST", "/api/sessions/x/media/audio.m3u8", "GET, HEAD"),
        ("POST", "/api/sessions/x", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/api/sessions/x/tracks/y/segments/0/retry", "POST"),
    ],
)
def test_a_method_that_there_is_not_is_answered_with_all_that_there_are(idle, method, path, allowed):
    answer = idle.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert answer.json()["code"] == "method_not_allowed"
        assert allowed in answer.json()["detail"]


def test_an_address_that_there_is_not_is_told_where_to_look(idle):
    problem = idle.client.get("/api/sesions").json()
    assert (problem["code"], problem["detail"]) == (
        "not_found",
        "there is nothing at /api/sesions; /api/openapi.json says what there is",
    )


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b'{"title": }', JSON, "body: it is no JSON: Expecting value at character 10"),
        (b'{"title": "a"}', {}, "body: send it as JSON, with the header Content-Type: application/json"),
        (b'{"title": "a"}', {"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type: application/json"),
        (b"[]", JSON, "body: Input should be a valid dictionary"),
        (b'{"titel": "a"}', JSON, "body.titel: Extra inputs are not permitted"),
    ],
)
def test_a_body_that_is_not_as_it_should_be_is_told_what_to_do(idle, body, headers, said):
    problem = idle.client.post("/api/sessions", content=body, headers=headers).json()
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert said in problem["detail"]


@pytest.mark.parametrize("said", ["0.5", "1795000000", "1795000000000", "-1", 1795000000, 0.5])
def test_a_time_is_no_number(idle, said):
    """Seconds or milliseconds: it was guessed by how large they are."""
    asked = idle.client.get("/api/sessions", params={"since": said})
    told = idle.client.post(f"/api/sessions/{idle.create()}/tracks", json={"kind": "microphone", "started_at": said})
    for answer in (asked, told):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert "a time is written like 2026-11-20T09:30:00Z" in answer.json()["detail"]


def test_where_everything_has_a_default_no_body_is_needed(idle):
    session_id = idle.client.post("/api/sessions").raise_for_status().json()["id"]
    assert idle.client.post(f"/api/sessions/{session_id}/markers").raise_for_status().json()["at_ms"] == 0
