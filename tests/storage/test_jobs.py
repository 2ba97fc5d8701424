"""The list of jobs: pages in order, read from an index however many there are."""

import random

import pytest
from sqlalchemy import event

from longtake.model.lifecycle import JobState, SessionState
from longtake.model.session import Job, Mode, Priority, Session
from longtake.storage.catalog import jobs, sessions
from longtake.storage.database import Database

ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
COUNT = 120


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    chance = random.Random(5)
    db = Database(tmp_path_factory.mktemp("jobs") / "longtake.db")
    db.migrate()
    with db.write() as c:
        for n in range(COUNT):
            key = f"s{n % 40}"
            if n < 40:
                new = Session(
                    id=key, title=key, mode=Mode.SOLO, state=SessionState.COMPLETED, created_at_ms=n,
                    last_activity_at_ms=n,
                )  # fmt: skip
                sessions.insert_session(c, new)
            status = JobState.PENDING if n >= 110 else chance.choice(ENDED)
            at_ms = chance.randrange(30)  # many at the same moment
            job = Job(id=f"j{n:03}", session_id=key, status=status, priority=Priority.NORMAL, created_at_ms=at_ms)
            jobs.insert_job(c, job)
    yield db
    db.close()


@pytest.mark.parametrize("session_id", [None, "s7"])
@pytest.mark.parametrize("status", [None, *JobState])
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_the_pages_together_are_all_jobs_that_fit_newest_first(db, session_id, status, limit):
    found, after = [], None
    with db.read() as c:
        while page := jobs.list_jobs(c, session_id=session_id, status=status, limit=limit, after=after):
            found += page
            after = (page[-1].created_at_ms, page[-1].id)
        every = [jobs.get_job(c, f"j{n:03}") for n in range(COUNT)]
    fitting = [one for one in every if session_id in (None, one.session_id) and status in (None, one.status)]
    assert found == sorted(fitting, key=lambda one: (one.created_at_ms, one.id), reverse=True)


@pytest.mark.parametrize("after", [None, (20, "j050")])
@pytest.mark.parametrize("status", [None, JobState.COMPLETED])
def test_a_page_reads_no_job_that_is_not_on_it(db, status, after):
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        if "FROM jobs" in statement:
            asked.append((statement, parameters))

    with db.read() as c:
        event.listen(c, "before_cursor_execute", note)
        jobs.list_jobs(c, session_id=None, status=status, limit=5, after=after)
        event.remove(c, "before_cursor_execute", note)
        plans = [c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all() for statement, given in asked]
    for plan in plans:
        where = "(status=?)" if after is None else "(status=? AND created_at_ms<?)"
        assert plan[0][3] == f"SEARCH jobs USING INDEX ix_jobs_status {where}", plan
    assert plans
