"""Lists: whatever is asked for in whatever order, the pages together are what fits, each session once."""

import random
import uuid
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from longtake.model.errors import Invalid
from longtake.model.lifecycle import RECORDING, JobState, SessionState, TrackHealth, TrackState
from longtake.model.session import (
    Job,
    Mode,
    Participant,
    Priority,
    ProcessingStatus,
    Session,
    Track,
    TrackKind,
)
from longtake.storage.catalog import jobs, library, sessions, tracks
from longtake.storage.catalog.library import Filter, Sort
from longtake.storage.database import Database
from longtake.storage.search import parse
from longtake.storage.tables import sessions as sessions_table

STATES = (SessionState.COMPLETED, SessionState.ACTIVE, SessionState.PAUSED, SessionState.ERROR)
WORDS = ("bee", "ant")
DEVICES = ("d1", "d2", None, None)
COUNT = 60


class All(list[Session]):
    """Sessions, which say in few words what they are."""

    def __repr__(self):
        return f"{len(self)} sessions"


def make(c, chance, number):
    """A session of which everything that is filtered by is drawn."""
    key = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    session = Session(
        id=key,
        title=chance.choice(("Alpha", "beta", "Gamma")),
        description=chance.choice(("honey", "wax", None)),
        mode=Mode.SOLO,
        state=chance.choice(STATES),
        created_at_ms=chance.randrange(20),  # many at the same moment
        last_activity_at_ms=0,
        device_id=chance.choice(DEVICES),
        owner_id=chance.choice(("o1", None)),
        tags=tuple(word for word in WORDS if chance.random() < 0.5),
        topics=tuple(word for word in WORDS if chance.random() < 0.3),
        participants=(
            Participant(
                id=f"p{number}", role="A", name=chance.choice(("Ana", "Ben")), device_id=chance.choice(DEVICES)
            ),
        ),
    )
    sessions.insert_session(c, session)
    track = Track(
        id=f"t{number}",
        session_id=key,
        kind=TrackKind.MICROPHONE,
        number=0,
        state=TrackState.STOPPED,
        health=TrackHealth.HEALTHY,
        device_id=chance.choice(DEVICES),
    )
    tracks.insert_track(c, track)
    tracks.update_track(c, track.id, n_completed=chance.randrange(2), n_failed=chance.randrange(2))
    tracks.update_track(c, track.id, n_pending=int(chance.random() < 0.2), length_ns=chance.randrange(4) * 10**9)
    if chance.random() < 0.5:
        status = chance.choice((JobState.COMPLETED, JobState.FAILED, JobState.PENDING))
        job = Job(id=f"j{number}", session_id=key, status=status, priority=Priority.NORMAL, created_at_ms=1)
        jobs.insert_job(c, job)
    if chance.random() < 0.2:
        sessions.update_session(c, key, trashed_at_ms=1)


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    db = Database(tmp_path_factory.mktemp("library") / "longtake.db")
    db.migrate()
    chance = random.Random(1)
    with db.write() as c:
        for number in range(COUNT):
            make(c, chance, number)
    yield db
    db.close()


@pytest.fixture(scope="module")
def everything(db):
    with db.read() as c:
        return All(sessions.get_sessions(c, list(c.execute(select(sessions_table.c.id)).scalars())))


def fits(one, wanted):
    """Whether a session is meant, asked of what the model says."""
    people = {value for person in one.participants for value in (person.id, person.name)}
    devices = {one.device_id} | {each.device_id for each in (*one.participants, *one.tracks)}
    return (
        (one.trashed_at_ms is not None) == wanted.in_trash
        and (not wanted.states or one.state in wanted.states)
        and (not wanted.processing or one.processing in wanted.processing)
        and (wanted.since_ms is None or one.created_at_ms >= wanted.since_ms)
        and (wanted.until_ms is None or one.created_at_ms < wanted.until_ms)
        and (wanted.tag is None or wanted.tag in one.tags)
        and (wanted.topic is None or wanted.topic in one.topics)
        and (wanted.device_id is None or wanted.device_id in devices)
        and (wanted.owner_id is None or one.owner_id == wanted.owner_id)
        and (wanted.participant is None or wanted.participant in people)
        and (wanted.id_prefix is None or one.id.startswith(wanted.id_prefix))
        and (wanted.query is None or one.description == "honey")
    )


def key_of(sort):
    name = sort.removeprefix("-")
    value = {
        "created_at": lambda one: one.created_at_ms,
        "title": lambda one: one.title,
        "duration": lambda one: one.length_ns,
    }
    return lambda one: (value[name](one), one.id)


FILTERS = st.builds(
    Filter,
    states=st.lists(st.sampled_from(STATES), max_size=3),
    processing=st.lists(st.sampled_from(list(ProcessingStatus)), max_size=3),
    since_ms=st.none() | st.integers(0, 20),
    until_ms=st.none() | st.integers(0, 20),
    tag=st.none() | st.sampled_from(WORDS),
    topic=st.none() | st.sampled_from(WORDS),
    device_id=st.none() | st.just("d1"),
    owner_id=st.none() | st.just("o1"),
    participant=st.none() | st.sampled_from(("Ana", "p3")),
    id_prefix=st.none() | st.sampled_from("0f"),
    query=st.none() | st.just(parse("honey")),
    in_trash=st.booleans(),
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=FILTERS, sort=st.sampled_from(Sort), limit=st.integers(1, 9), counted=st.sampled_from([0, 5, 3000]))
def test_the_pages_of_a_list_are_what_fits_in_its_order(db, everything, wanted, sort, limit, counted):
    expected = [one.id for one in sorted(filter(lambda one: fits(one, wanted), everything), key=key_of(sort))]
    if sort.startswith("-"):
        expected.reverse()
    before, library.COUNTED = library.COUNTED, counted  # which index a page is found by changes nothing
    found, cursor = [], None
    try:
        with db.read() as c:
            while True:
                page, cursor = library.list_sessions(c, wanted, sort=sort, limit=limit, cursor=cursor)
                assert len(page) == limit or cursor is None
                found += [one.id for one in page]
                if cursor is None:
                    break
            ids, active = library.list_ids(c, wanted), library.count_active(c, wanted)
    finally:
        library.COUNTED = before
    assert found == expected
    assert set(ids) == set(expected)
    assert active == sum(one.state in RECORDING for one in everything if fits(one, wanted))


def test_a_cursor_of_one_order_is_refused_in_another(db):
    with db.read() as c:
        _, cursor = library.list_sessions(c, Filter(), sort=Sort.TITLE, limit=1)
        for sort in (Sort.TITLE_DOWN, Sort.LONGEST):
            with pytest.raises(Invalid):
                library.list_sessions(c, Filter(), sort=sort, limit=1, cursor=cursor)


PLANS = {
    "newest": (Filter(), Sort.NEWEST),
    "title": (Filter(), Sort.TITLE),
    "duration": (Filter(), Sort.LONGEST),
    "state": (Filter(states=[SessionState.ERROR]), Sort.NEWEST),
    "processing": (Filter(processing=[ProcessingStatus.FAILED]), Sort.NEWEST),
    "device": (Filter(device_id="d1"), Sort.NEWEST),
    "owner": (Filter(owner_id="o1"), Sort.NEWEST),
    "tag": (Filter(tag="bee"), Sort.NEWEST),
    "topic": (Filter(topic="bee"), Sort.NEWEST),
    "participant": (Filter(participant="Ana"), Sort.NEWEST),
    "trash": (Filter(in_trash=True), Sort.NEWEST),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_page_is_read_from_an_index_in_its_order(db, name):
    wanted, sort = PLANS[name]
    with db.read() as c:
        query = library._select(
            wanted,
            sort.removeprefix("-"),
            next(iter(wanted.words), None),
            down=sort.startswith("-"),
            after=(),
            limit=51,
        )
        compiled = query.compile(dialect=c.dialect, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
    assert any("USING" in step and ("INDEX" in step or "PRIMARY KEY" in step) for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_what_is_found_moves_with_the_session(db):
    with db.write() as c:
        key = library.list_ids(c, Filter(), limit=1)[0]
        before = sessions.get_session(c, key)
        c.execute(update(sessions_table).where(sessions_table.c.id == key).values(title="moved elsewhere"))
        assert library.list_ids(c, Filter(query=parse("elsewhere"))) == [key]
        c.execute(update(sessions_table).where(sessions_table.c.id == key).values(title=before.title))
        assert library.list_ids(c, replace(Filter(), query=parse("elsewhere"))) == []
