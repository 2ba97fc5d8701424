"""Over HTTP: what does not fit is not begun; the session stays as it was."""

from longtake.storage.disk import Disk
from tests.server.conftest import serving


def test_a_start_says_how_long_there_is_room_and_refuses_what_does_not_fit(tmp_path):
    free = Disk().free_bytes(tmp_path)
    with serving(tmp_path / "data", with_engine=False) as served:
        session_id = served.create()
        storage = served.client.post(f"/api/sessions/{session_id}/start").json()["storage"]
        assert storage["minutes_left"] > 10
        assert storage["bytes_per_hour"] > 10**8
    with serving(tmp_path / "data", with_engine=False, min_free_bytes=free + (1 << 40)) as served:
        session_id = served.create()
        answer = served.client.post(f"/api/sessions/{session_id}/start")
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert answer.headers["retry-after"]
        assert answer.json()["minutes_left"] == 0
        assert served.client.get(f"/api/sessions/{session_id}").json()["state"] == "idle"
        assert served.client.post("/api/sessions/nonesuch/start").status_code == 404
        assert served.client.get("/api/stats").json()["storage"]["hours_left"] == 0
