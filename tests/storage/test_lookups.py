"""What is looked up follows from the rows: after any changes, by anybody, in any order."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from longtake.model.lifecycle import JobState, SessionState, TrackHealth, TrackState
from longtake.model.session import Job, Mode, Participant, Priority, Session, Track, TrackKind
from longtake.model.transcript import Chapter, Entry, Outline, Task
from longtake.storage import lookups
from longtake.storage.blobs import Locator
from longtake.storage.catalog import blobs, jobs, library, sessions, tracks, transcript
from longtake.storage.catalog.library import WordCount
from longtake.storage.database import Database
from longtake.storage.tables import blobs as blobs_table
from longtake.storage.tables import entries, outlines
from longtake.storage.tables import jobs as jobs_table
from longtake.storage.tables import participants as participants_table
from longtake.storage.tables import tracks as tracks_table
from longtake.storage.tables_remarks import markers, summaries

IDS = st.sampled_from("abc")
WORDS = st.lists(st.sampled_from(["x", "Y", "ä", "two words"]), unique=True, max_size=3)
NUMBERS = st.integers(0, 3)
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), IDS, WORDS, WORDS),
    st.tuples(st.just("remove"), IDS),
    st.tuples(st.just("trash"), IDS, st.booleans()),
    st.tuples(st.just("state"), IDS, st.sampled_from(list(SessionState))),
    st.tuples(st.just("tags"), IDS, WORDS),
    st.tuples(st.just("topics"), IDS, WORDS),
    st.tuples(st.just("title"), IDS, st.text("abc \x00", max_size=5), st.none() | st.just("described")),
    st.tuples(st.just("track"), IDS, NUMBERS),
    st.tuples(st.just("count"), IDS, NUMBERS, st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), NUMBERS),
    st.tuples(st.just("untrack"), IDS, NUMBERS),
    st.tuples(st.just("job"), IDS, NUMBERS, st.sampled_from([JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])),
    st.tuples(st.just("move"), IDS, NUMBERS, st.sampled_from(list(JobState))),
    st.tuples(st.just("unjob"), IDS, NUMBERS),
    st.tuples(st.just("entry"), IDS, NUMBERS, st.text("ab ", min_size=1, max_size=4)),
    st.tuples(st.just("correct"), IDS, NUMBERS, st.text("cd ", min_size=1, max_size=4)),
    st.tuples(st.just("unentry"), IDS, NUMBERS),
    st.tuples(st.just("outline"), IDS, NUMBERS),
    st.tuples(st.just("marker"), IDS, NUMBERS, st.none() | st.just("here")),
    st.tuples(st.just("unmarker"), IDS, NUMBERS),
    st.tuples(st.just("summary"), IDS, st.just("what somebody wrote")),
    st.tuples(st.just("person"), IDS, NUMBERS, st.none() | st.just("Ana")),
    st.tuples(st.just("rename"), IDS, NUMBERS, st.just("Ben")),
    st.tuples(st.just("unperson"), IDS, NUMBERS),
    st.tuples(st.just("date"), IDS, NUMBERS),
    st.tuples(st.just("merge"), IDS, IDS),
    st.tuples(st.just("bytes"), NUMBERS, st.sampled_from(["packs", "files"])),
    st.tuples(st.just("unbytes"), NUMBERS),
)


def apply(c, operation):
    """Do one thing, as the catalogue or somebody's own statement does it; what is not there is passed over."""
    kind, *rest = operation
    if kind == "bytes":
        number, store = rest
        located = {"f" * 63 + str(number): Locator(store=store, key="k", offset=0, size_bytes=number)}
        (blobs.relocate_blobs if blobs.locate(c, list(located)) else blobs.insert_blobs)(c, located)
        return
    if kind == "unbytes":
        c.execute(delete(blobs_table).where(blobs_table.c.sha256 == "f" * 63 + str(rest[0])))
        return
    session, *rest = rest
    found = sessions.find_session(c, session)
    if kind == "create":
        if found is None:
            tags, topics = rest
            sessions.insert_session(c, new_session(session, tags, topics))
        return
    if found is None:
        return
    at = f"{session}{rest[0]}" if rest else ""
    if kind == "remove":
        sessions.delete_session(c, session)
    elif kind == "trash":
        sessions.update_session(c, session, trashed_at_ms=1 if rest[0] else None)
    elif kind == "state":
        sessions.update_session(c, session, state=rest[0])
    elif kind == "tags":
        sessions.set_tags(c, session, rest[0])
    elif kind == "topics":
        sessions.update_session(c, session, topics=rest[0])
    elif kind == "title":
        sessions.update_session(c, session, title=rest[0], description=rest[1])
    elif kind == "track" and tracks.find_track(c, at) is None:
        tracks.insert_track(c, new_track(at, session, rest[0]))
    elif kind == "count":
        names = ("n_pending", "n_processing", "n_completed", "n_failed")
        tracks.update_track(c, at, **dict(zip(names, rest[1], strict=True)), length_ns=rest[2])
    elif kind == "untrack":
        c.execute(delete(tracks_table).where(tracks_table.c.id == at))
    elif kind == "job" and not c.execute(select(jobs_table).where(jobs_table.c.id == at)).first():
        jobs.insert_job(c, new_job(at, session, rest[1]))
    elif kind == "move" and jobs.active_job(c, session) is None:
        jobs.update_job(c, at, status=rest[1])
    elif kind == "unjob":
        c.execute(delete(jobs_table).where(jobs_table.c.id == at))
    elif kind == "entry" and not c.execute(select(entries).where(entries.c.id == at)).first():
        transcript.insert_entries(c, [new_entry(at, session, rest[1])])
    elif kind == "correct":
        c.execute(update(entries).where(entries.c.id == at).values(text=rest[1], speaker="x"))
    elif kind == "unentry":
        transcript.delete_entries(c, [at])
    elif kind == "outline":
        transcript.put_outline(c, session, "d" * 64, new_outline(rest[0]))
    elif kind == "marker":
        row = {"id": at, "session_id": session, "start_ms": 5, "label": rest[1], "author": "o", "created_at_ms": 1}
        if c.execute(update(markers).where(markers.c.id == at).values(label=rest[1])).rowcount == 0:
            c.execute(insert(markers), row)
    elif kind == "unmarker":
        c.execute(delete(markers).where(markers.c.id == at))
    elif kind == "summary":
        c.execute(delete(summaries).where(summaries.c.session_id == session))
        c.execute(insert(summaries).values(session_id=session, text=rest[0], author="o", written_at_ms=1))
        c.execute(update(summaries).where(summaries.c.session_id == session).values(text=rest[0] + " twice"))
    elif kind == "person" and at not in {one.id for one in found.participants}:
        sessions.insert_participant(c, session, Participant(id=at, role="A", name=rest[1], device_id=device(rest[1])))
    elif kind == "rename":
        sessions.rename_participant(c, at, rest[1])
        c.execute(update(participants_table).where(participants_table.c.id == at).values(device_id=device(rest[1])))
        c.execute(update(tracks_table).where(tracks_table.c.id == at).values(device_id=device(rest[1])))
        sessions.update_session(c, session, device_id=device(rest[1]))
    elif kind == "date":
        sessions.update_session(c, session, created_at_ms=rest[0])
    elif kind == "merge":
        if sessions.find_session(c, rest[0]) is not None:
            for table in (tracks_table, entries, markers, participants_table):
                c.execute(update(table).where(table.c.session_id == rest[0]).values(session_id=session))
    elif kind == "unperson":
        c.execute(delete(participants_table).where(participants_table.c.id == at))


def device(name):
    """The device of whoever is called so: some have none, some the same."""
    return f"device-{len(name or '')}" if name else None


def new_session(session, tags, topics):
    return Session(
        id=session,
        title="a title",
        mode=Mode.SOLO,
        state=SessionState.IDLE,
        created_at_ms=ord(session),
        last_activity_at_ms=0,
        tags=tuple(tags),
        topics=tuple(topics),
        device_id=device(session),
        participants=(Participant(id=f"{session}-first", role="A", name="Ana"),),
    )


def new_track(track, session, number):
    return Track(
        id=track,
        session_id=session,
        kind=TrackKind.MICROPHONE,
        number=number,
        state=TrackState.IDLE,
        health=TrackHealth.HEALTHY,
        device_id=(None, "device-3", "device-4")[number % 3],
    )


def new_job(job, session, status):
    return Job(id=job, session_id=session, status=status, priority=Priority.NORMAL, created_at_ms=1)


def new_entry(entry, session, text):
    return Entry(id=entry, session_id=session, track_id=None, speaker="Ana", text=text, start_ms=0, end_ms=1, at_ms=1)


def new_outline(size):
    chapters = tuple(Chapter(title=f"Chapter {n}", start_ms=n, end_ms=n + 1, summary="It's about") for n in range(size))
    tasks = tuple(Task(text=f"do {n}", speaker="Ana", at_ms=n) for n in range(size))
    summary = tuple(f"sentence {n}" for n in range(size))
    return Outline(made_by="outline", chapters=chapters, summary=summary, topics=(), tasks=tasks)


def derived(c):
    """All that is derived, in an order of its own; a tally of nothing is none."""
    texts = "SELECT session_id, kind, key, at_ms, start_ms, head, body FROM search_texts ORDER BY 1, 2, 3"
    words = "SELECT kind, word, created_at_ms, session_id FROM session_words ORDER BY 1, 2, 3, 4"
    tallies = "SELECT kind, word, count, total FROM tallies WHERE count <> 0 OR total <> 0 ORDER BY 1, 2"
    followed = "SELECT id, processing, length_ns FROM sessions ORDER BY 1"
    return [c.exec_driver_sql(query).all() for query in (texts, words, tallies, followed)]


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    db = Database(tmp_path_factory.mktemp("lookups") / "longtake.db")
    db.migrate()
    yield db
    db.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, max_size=40))
def test_whatever_changes_what_is_looked_up_is_what_would_be_made_anew(db, operations):
    with db.write() as c:
        for session in "abc":
            sessions.delete_session(c, session)
        c.execute(delete(blobs_table))
        lookups.rebuild(c)  # nothing is left of the example before this one, not even a tally of nothing
        for session in "ab":
            sessions.insert_session(c, new_session(session, ["x"], ["Y"]))
            tracks.insert_track(c, new_track(f"{session}0", session, 0))
    for operation in operations:
        with db.write() as c:
            apply(c, operation)
    with db.write() as c:
        assert lookups.is_in_step(c)
        kept = derived(c)
        shown = sessions.get_sessions(c, list("abc"))
        assert kept[3] == [(one.id, one.processing, one.length_ns) for one in shown]
        lookups.rebuild(c)
        assert derived(c) == kept


def test_words_that_a_session_got_in_the_trash_count_when_it_is_restored(db):
    with db.write() as c:
        sessions.delete_session(c, "a")
        apply(c, ("create", "a", [], []))
        apply(c, ("trash", "a", True))
        apply(c, ("tags", "a", ["in the trash"]))
        apply(c, ("topics", "a", ["nowhere else"]))
        apply(c, ("trash", "a", False))
        tags, topics = (library.count_words(c, kind, limit=500) for kind in ("tag", "topic"))
    assert WordCount(word="in the trash", sessions=1) in tags
    assert WordCount(word="nowhere else", sessions=1) in topics


def test_an_index_that_says_something_else_is_noticed_and_made_anew(db):
    with db.write() as c:
        apply(c, ("create", "a", [], []))
        c.exec_driver_sql("INSERT INTO search_index (rowid, head, body) VALUES (1000, 'gone', '')")
        assert not lookups.is_in_step(c)
        lookups.rebuild(c)
        assert lookups.is_in_step(c)


def test_a_database_that_lost_a_trigger_gets_it_back_with_what_it_missed(db):
    with db.write() as c:
        apply(c, ("create", "a", [], []))
        c.exec_driver_sql("DROP TRIGGER tr_tags_added")
        sessions.set_tags(c, "a", ["missed"])
    db.migrate()
    with db.read() as c:
        found = c.exec_driver_sql("SELECT session_id FROM session_words WHERE word = 'missed'").scalars().all()
    assert found == ["a"]


def test_starting_again_makes_nothing_anew(db):
    with db.write() as c:
        c.exec_driver_sql("INSERT INTO tallies VALUES ('mine', 'stays', 1, 1)")
    db.migrate()
    with db.write() as c:
        assert c.exec_driver_sql("DELETE FROM tallies WHERE kind = 'mine'").rowcount == 1


def test_an_outline_that_says_less_takes_its_texts_away(db):
    with db.write() as c:
        apply(c, ("create", "z", [], []))
        apply(c, ("outline", "z", 3))
        c.execute(update(outlines).values(outline=json.loads('{"chapters": [], "summary": [], "tasks": []}')))
        kinds = c.exec_driver_sql("SELECT kind FROM search_texts WHERE session_id = 'z' ORDER BY kind").scalars().all()
    assert kinds == ["session", "summary"]
