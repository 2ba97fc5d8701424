"""Logs: one stream, one format, a request's failure is found by its id, and nothing of anybody's is in them."""

import json
import sqlite3
import subprocess
import sys

import httpx
import pytest

from tests.acceptance.server import LongtakeServer
from tests.conftest import ROOT
from tests.server.conftest import tone

MARKER = "Xylophonquartett"


def run(code, *words):
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)


SAY = f"""
import logging, sys, structlog
from longtake.cli import logs
from longtake.model.errors import NotFound
logs.configure(sys.argv[1], sys.argv[2])
structlog.get_logger().info("one_of_ours", n=1)
logging.getLogger("longtake.ingest").warning("also %s", "ours")
logging.getLogger("uvicorn.error").info("of the web server")
from dbos._logger import init_logger
init_logger()
logging.getLogger("dbos").warning("of the engine")
logging.getLogger("httpx").info("of nobody's interest")
structlog.get_logger().error("told", error=NotFound("session", "abc"))
try:
    {{}}["{MARKER}"]
except KeyError as error:
    structlog.get_logger().error("not_told", error=error, exc_info=error)
    logging.getLogger("uvicorn.error").exception("nor here")
"""


def test_all_logs_are_lines_of_one_format():
    lines = [json.loads(line) for line in run(SAY, "info", "json").stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        *("one_of_ours", "also ours", "of the web server", "of the engine", "told", "not_told", "nor here"),
    ]
    assert all({"at", "level", "logger"} <= line.keys() for line in lines)
    assert lines[4]["error"] == "NotFound: there is no session abc"
    assert lines[5]["error"] == lines[5]["raised"] == lines[6]["raised"] == "KeyError"
    assert lines[6]["where"][-1].endswith("<module>")


def test_text_is_a_line_each_too():
    text = run(SAY, "info", "text").stderr
    assert len(text.splitlines()) == 7
    assert "one_of_ours" in text


def test_what_an_error_says_is_told_at_level_debug_alone():
    assert MARKER not in run(SAY, "info", "json").stderr
    assert MARKER in run(SAY, "debug", "json").stderr


@pytest.fixture
def server(tmp_path):
    server = LongtakeServer(tmp_path / "data", engine="pocketsphinx", log_format="json", log_level="info")
    server.start()
    yield server
    server.stop()


def lines_of(server):
    text = server.data.with_suffix(".log").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("longtake is ready")]
    return text, [json.loads(line) for line in lines]


def test_nothing_that_is_said_titled_or_named_gets_into_the_logs(server, tmp_path):
    base = server.get("/healthz") and json.loads((server.data / "owner.json").read_text())["url"]
    with httpx.Client(base_url=base, timeout=60, headers={"Authorization": f"Bearer {MARKER}"}) as http:
        body = {"title": MARKER, "description": MARKER, "tags": [MARKER], "participant": MARKER}
        session_id = http.post("/api/sessions", json=body).json()["id"]
        track = http.post(f"/api/sessions/{session_id}/tracks", json={"kind": "microphone", "name": MARKER}).json()
        http.post(f"/api/sessions/{session_id}/start")
        address = f"/api/sessions/{session_id}/tracks/{track['id']}/segments"
        speech = (ROOT / "tests/data/jfk.flac").read_bytes()
        http.put(f"{address}/0", content=speech)
        http.put(f"{address}/0", content=tone(1))  # a conflict
        http.put(f"{address}/1", content=b"RIFF\x24\0\0\0WAVE" + MARKER.encode() * 20)  # nothing can be decoded
        http.put(f"{address}/x", content=MARKER.encode())
        http.post(f"/api/sessions/{session_id}/end")
        session = server.finished(session_id)
        http.post(f"/api/sessions/{session_id}/transcript", json={"speaker": MARKER, "text": MARKER})
        http.post(f"/api/sessions/{session_id}/transcript", json={"speaker": MARKER, "text": [MARKER]})
        http.patch(f"/api/sessions/{session_id}/speakers/{MARKER}", json={"name": MARKER + "x"})
        http.patch(f"/api/sessions/nonesuch/speakers/{MARKER}", json={"name": MARKER})
        http.get(f"/{MARKER}?token={MARKER}")
        http.post("/api/imports", params={"name": MARKER}, content=MARKER.encode() * 99)
        http.get(f"/api/sessions?cursor={MARKER}")
        server.finished(session_id)
        entries = http.get(f"/api/sessions/{session_id}/transcript").json()["items"]
    heard = {word.lower() for entry in entries for word in entry["text"].split() if len(word) > 7}
    server.stop()
    text, lines = lines_of(server)
    assert session["segment_counts"]["failed"] == 1
    assert heard, "nothing was heard: the test proves nothing"
    assert lines, "nothing was logged: the test proves nothing"
    assert MARKER not in text
    assert not {word for word in heard if word in text.lower()}


def test_a_failure_is_found_by_the_id_that_its_sender_got(tmp_path):
    """An unforeseen error in a real server: somebody drops one of its tables."""
    server = LongtakeServer(tmp_path / "data", engine="none", log_format="json")
    server.start()
    try:
        base = json.loads((server.data / "owner.json").read_text())["url"]
        with sqlite3.connect(server.data / "longtake.db") as connection:
            connection.execute("DROP TABLE requests")
        connection.close()
        with httpx.Client(base_url=base) as http:
            key = {"Idempotency-Key": MARKER}
            own = http.post("/api/sessions", json={"title": MARKER}, headers={**key, "X-Request-Id": "mine-1"})
            new = http.post("/api/sessions", json={"title": MARKER}, headers={**key, "X-Request-Id": "no\tword"})
        assert (own.status_code, own.headers["x-request-id"]) == (500, "mine-1")
        server.stop()
        text, lines = lines_of(server)
        failed = {line["request_id"]: line for line in lines if line["event"] == "request_failed"}
        assert set(failed) == {"mine-1", new.headers["x-request-id"]}
        assert failed["mine-1"]["route"] == "/api/sessions"
        assert failed["mine-1"]["raised"] == "OperationalError"
        assert MARKER not in text
    finally:
        server.stop()


def test_the_level_of_others_is_not_lowered():
    events = [json.loads(line)["event"] for line in run(SAY, "debug", "json").stderr.splitlines()]
    assert "of nobody's interest" not in events
