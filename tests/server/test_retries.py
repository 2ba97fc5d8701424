"""Retries and costs over HTTP."""

import pytest

from tests.server.conftest import serving, tone
from tests.sessions.test_work import copied, failed_sessions


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A server that processes nothing, with 620 failed sessions."""
    with serving(tmp_path_factory.mktemp("retries") / "data", with_engine=False) as own:
        [original] = failed_sessions(own.runtime, 1)
        copied(own.runtime, original, 619)
        yield own


def test_a_retry_of_all_that_failed_answers_for_each_of_them(own):
    answer = own.client.post("/api/sessions/retry", json={"processing": "failed"})
    items = answer.json()["items"]
    assert answer.status_code == 200
    assert len({item["session_id"] for item in items}) == len(items) == 620
    assert all(item["segments"] == 1 and item["job_id"] and item["error"] is None for item in items)
    assert own.client.get("/api/queue").json()["pending"] == 620
    assert own.client.post("/api/sessions/retry", json={"processing": "failed"}).json()["items"] == []


@pytest.mark.parametrize("body", [{}, {"session_ids": ["a"], "processing": "failed"}, {"session_ids": ["a"] * 501}])
def test_a_retry_of_many_says_which(own, body):
    refused = own.client.post("/api/sessions/retry", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_the_cost_of_a_job_is_shown_on_it_and_on_its_session(tmp_path):
    with serving(tmp_path / "data", cost_per_hour_usd={"pocketsphinx": 3600.0}) as own:
        session_id = own.recorded(tone(2))
        body = {"engine": "pocketsphinx", "max_cost_usd": 1.5}
        job_id = own.client.post(f"/api/sessions/{session_id}/enrich", json=body).json()["id"]
        while own.client.get(f"/api/jobs/{job_id}").json()["finished_at"] is None:
            pass
        job = own.client.get(f"/api/jobs/{job_id}").json()
        enrichment = own.client.get(f"/api/sessions/{session_id}").json()["enrichment"]
    assert (job["status"], job["attempts"], job["stage"]) == ("failed", 1, "estimating")
    assert (job["estimated_cost_usd"], job["cost_usd"]) == (2.0, 0.0)
    assert job["error"].startswith("cost_exceeded: ")
    assert (enrichment["status"], enrichment["estimated_cost_usd"], enrichment["cost_usd"]) == ("failed", 2.0, 0.0)
