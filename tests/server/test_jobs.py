"""Jobs, the queue, figures and health over HTTP."""

from tests.server.conftest import serving, tone


def test_a_session_has_one_active_job_at_a_time(idle):
    session_id = idle.create()
    first = idle.client.post(f"/api/sessions/{session_id}/enrich", json={"priority": "high", "max_cost_usd": 1.5})
    second = idle.client.post(f"/api/sessions/{session_id}/enrich")
    assert (first.status_code, first.json()["status"], first.json()["priority"]) == (201, "pending", "high")
    assert (second.status_code, second.json()["code"]) == (409, "job_active")
    assert second.json()["job_id"] == first.json()["id"]


def test_a_job_is_cancelled_once(idle):
    session_id = idle.create()
    job_id = idle.client.post(f"/api/sessions/{session_id}/enrich").json()["id"]
    first = idle.client.post(f"/api/jobs/{job_id}/cancel")
    second = idle.client.post(f"/api/jobs/{job_id}/cancel")
    assert first.json()["status"] == "cancelled"
    assert (second.status_code, second.json()["state"]) == (409, "cancelled")
    assert idle.client.get(f"/api/jobs/{job_id}").json() == first.json()
    assert idle.client.get("/api/jobs/nobody").json()["code"] == "job_not_found"


def test_jobs_are_listed_by_session_and_status(idle):
    session_id = idle.create()
    job_id = idle.client.post(f"/api/sessions/{session_id}/enrich").json()["id"]
    mine = idle.client.get("/api/jobs", params={"session_id": session_id, "status": "pending"}).json()["items"]
    none = idle.client.get("/api/jobs", params={"session_id": session_id, "status": "failed"}).json()["items"]
    page = idle.client.get("/api/jobs", params={"limit": 1}).json()
    assert [job["id"] for job in mine] == [job_id]
    assert none == []
    assert len(page["items"]) == 1


def test_the_queue_counts_jobs(idle):
    before = idle.client.get("/api/queue").json()
    idle.client.post(f"/api/sessions/{idle.create()}/enrich")
    after = idle.client.get("/api/queue").json()
    assert after["pending"] == before["pending"] + 1
    assert after["concurrency"] == 5


def test_figures_count_what_is_there(tmp_path):
    with serving(tmp_path / "data") as own:
        whole = own.recorded(tone(2))
        failed = own.create(device_id="d")
        own.put(failed, own.track(failed), 0, tone(0.1)[:44])
        own.client.post(f"/api/sessions/{failed}/end")
        own.wait_for_job(failed)
        own.client.post(f"/api/sessions/{own.create()}/start")
        own.client.delete(f"/api/sessions/{own.create()}")
        figures = own.client.get("/api/stats").json()
        assert own.client.get(f"/api/sessions/{whole}").json()["processing"] == "completed"
    assert figures["sessions"]["total"] == 3
    assert figures["sessions"]["active"] == 1
    assert figures["sessions"]["by_state"] == {"active": 1, "completed": 2}
    assert (figures["sessions"]["by_processing"]["completed"], figures["sessions"]["by_processing"]["failed"]) == (2, 1)
    assert figures["recorded_ms"] == 2000
    assert figures["storage"]["total_bytes"] > len(tone(2))
    assert figures["storage"]["free_bytes"] > 0
    assert figures["devices"] == 1


def test_health_is_good_while_everything_runs_and_bad_when_a_thread_has_ended(tmp_path):
    with serving(tmp_path / "data", with_engine=False) as own:
        well = own.client.get("/healthz")
        ready = own.client.get("/readyz")
        own.runtime.receiver.close()
        unwell = own.client.get("/healthz")
    assert (well.status_code, well.json()) == (200, {"status": "ok", "problems": []})
    assert ready.status_code == 200
    assert unwell.status_code == 503
    assert unwell.json()["problems"] == ["the thread that stores segments has ended"]
