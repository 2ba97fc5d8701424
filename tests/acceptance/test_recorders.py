"""Killed while it records: after the restart who is still there goes on, who is not is missed; nothing is lost."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from longtake.model.lifecycle import SESSION, SessionEvent, SessionState
from tests.acceptance.server import serving, wait_until
from tests.enrichment.recording import tone, wav

pytestmark = pytest.mark.timeout(300)

SETTINGS = {"engine": "none", "degraded_after_s": "1", "interrupted_after_s": "2"}


class Recorder:
    """Records a microphone: a heartbeat now and then, a segment when asked."""

    def __init__(self, server, title):
        self.server = server
        self.id = server.post("/api/sessions", {"title": title})["id"]
        self.track = server.post(f"/api/sessions/{self.id}/tracks", {"kind": "microphone"})["id"]
        self.address = f"/api/sessions/{self.id}/tracks/{self.track}"
        server.post(f"/api/sessions/{self.id}/start")
        self.sent = 0

    def beat(self):
        return self.server.http.put(f"{self.address}/status", json={"state": "active"}).raise_for_status().json()

    def segment(self):
        times = {"start_ms": 500 * self.sent, "duration_ms": 500}
        body = wav(tone(0.5, hz=300 + 10 * self.sent))
        self.server.http.put(f"{self.address}/segments/{self.sent}", params=times, content=body).raise_for_status()
        self.sent += 1

    def shown(self):
        return self.server.get(f"/api/sessions/{self.id}")

    def history(self):
        steps = self.server.get(f"/api/sessions/{self.id}/history")["items"]
        at = SessionState(steps[0]["to_state"])
        for step in steps[1:]:
            assert step["from_state"] == at
            at = SESSION[at][SessionEvent(step["event"])]
            assert step["to_state"] == at
        assert self.shown()["state"] == at
        return [(step["to_state"], step["actor"]) for step in steps]


def test_a_recorder_that_outlives_the_server_goes_on_and_one_that_does_not_is_missed(tmp_path):
    with serving(tmp_path / "data", **SETTINGS) as server:
        there, gone = Recorder(server, "still there"), Recorder(server, "gone")
        for one in (there, gone):
            time.sleep(0.01)
            one.beat()
            one.segment()
        server.kill()
        time.sleep(3)  # longer than anybody may be silent: but nobody listened
        server.start()

        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert there.beat()["state"] == "active"
            time.sleep(0.2)
        there.segment()
        wait_until(lambda: gone.shown()["state"] == "interrupted", 20)
        assert gone.shown()["tracks"][0]["health"] == "degraded"
        assert gone.history()[-1] == ("interrupted", "watch")
        assert there.history()[-1] == ("active", "owner")

        gone.segment()  # its spool, sent by somebody else
        assert gone.shown()["state"] == "interrupted"
        gone.beat()
        assert gone.history()[-1] == ("active", "recorder")
        for one in (there, gone):
            server.post(f"/api/sessions/{one.id}/end", {"tracks": [{"track_id": one.track, "segments": 2}]})
            session = server.finished(one.id)
            assert (session["processing"], session["segment_counts"]["completed"]) == ("completed", 2)
            assert (session["total_duration_ms"], session["coverage"]["gap_count"]) == (1000, 0)


def test_a_clean_up_by_hand_leaves_alone_what_was_recorded_just_before_a_crash(tmp_path):
    with serving(tmp_path / "data", **SETTINGS) as server:
        recorder = Recorder(server, "left behind")
        recorder.segment()
        server.kill()
        server.start()
        done = server.post("/api/cleanup", {"idle_minutes": 1})
        assert recorder.id not in done["ended"]  # it is active, and something happened just now
        recorder.beat()
        time.sleep(0.01)
        recorder.beat()
        wait_until(lambda: recorder.shown()["state"] == "interrupted", 20)
        assert recorder.id not in server.post("/api/cleanup", {"idle_minutes": 1})["ended"]
        server.post(f"/api/sessions/{recorder.id}/end")
        assert server.finished(recorder.id)["segment_counts"]["completed"] == 1


def test_of_thirty_two_callers_one_wins_each_step(tmp_path):
    with serving(tmp_path / "data", engine="none") as server, ThreadPoolExecutor(32) as threads:
        recorder = Recorder(server, "raced for")
        for step in ("pause", "resume", "end"):
            asked = [f"/api/sessions/{recorder.id}/{step}"] * 32
            answers = list(threads.map(server.http.post, asked))
            assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 31}
            refused = [answer.json() for answer in answers if answer.status_code == 409]
            assert {(one["code"], "allowed" in one) for one in refused} == {("illegal_transition", True)}
        recorder.history()
