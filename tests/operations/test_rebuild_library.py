"""A lost database comes back with what people remarked, and everything in it is found again."""

from longtake.model.remarks import ItemKind
from longtake.runtime import new_id, now_ms
from longtake.sessions.manager import NewSession
from longtake.storage import lookups
from longtake.storage.catalog import library
from longtake.storage.catalog.library import Filter
from longtake.storage.disk import Disk
from longtake.storage.rebuild.run import rebuild
from longtake.storage.search import Where, find, parse
from tests.enrichment.recording import running
from tests.operations.test_rebuild import lose


def told(runtime, session_id):
    """What people remarked, and where it is found."""
    items, _ = runtime.remarks.timeline(session_id, kinds=[ItemKind.MARKER, ItemKind.PHASE])
    with runtime.store.db.write() as c:
        assert lookups.is_in_step(c)
        hits = {(one.kind, one.snippet) for one in find(c, parse("bees"), Where(), limit=50)}
        tagged = library.list_ids(c, Filter(tag="field", topic="honey", participant="Ana"))
        return items, runtime.remarks.phases(session_id), runtime.remarks.written(session_id), hits, tagged


def test_markers_phases_and_a_written_summary_return_and_are_found(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        new = NewSession(title="Of bees", tags=["field"], topics=["honey"], phases=["in", "out"], participant="Ana")
        session_id = runtime.sessions.create(new).id
        kept = runtime.remarks.mark(session_id, at_ms=500, label="the bees swarm", author="Ana")
        gone = runtime.remarks.mark(session_id, at_ms=900, label="bees, a mistake", author="Ana")
        runtime.remarks.unmark(session_id, gone.id)
        runtime.remarks.set_phase(session_id, "out", actor="Ana")
        runtime.remarks.write_summary(session_id, "Bees came and went.", author="Ana")
        before = told(runtime, session_id)
        assert [item.id for item in before[0] if item.kind is ItemKind.MARKER] == [kept.id]
        assert {kind for kind, _ in before[3]} == {"session", "marker", "summary"}
        assert before[4] == [session_id]
    lose(data)
    rebuild(data, disk=Disk(), now_ms=now_ms, new_id=new_id)
    with running(data, with_engine=False) as runtime:
        assert told(runtime, session_id) == before
