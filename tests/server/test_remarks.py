"""Markers, phases, a summary of one's own, and the timeline, over HTTP."""

import pytest

from longtake.events import Event
from longtake.model.transcript import Chapter, Outline, Task
from longtake.storage.catalog import sessions, transcript
from tests.server.conftest import tone


def outlined(served, session_id):
    """Give a session an outline, as its job would."""
    made = Outline(
        made_by="outline",
        chapters=tuple(
            Chapter(title=f"Part {n}", start_ms=n * 10_000, end_ms=n * 10_000 + 10_000, summary="s") for n in range(3)
        ),
        summary=("An extract.",),
        topics=("bees",),
        tasks=(Task(text="I will call Ben", speaker="Ana", at_ms=12_000),),
    )  # fmt: skip
    with served.runtime.store.db.write() as c:
        transcript.put_outline(c, session_id, "d" * 64, made)


def test_markers_are_listed_by_time_and_can_be_removed(idle):
    session_id = idle.create()
    base = f"/api/sessions/{session_id}/markers"
    late = idle.client.post(base, json={"at_ms": 9000, "label": "  late "}).json()
    early = idle.client.post(base, json={"at_ms": 10}).json()
    assert (late["label"], late["author"], early["label"]) == ("late", "owner", None)
    first = idle.client.get(base, params={"limit": 1}).json()
    rest = idle.client.get(base, params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert first["items"] + rest["items"] == [early, late]
    assert rest["next_cursor"] is None
    assert idle.client.delete(f"{base}/{late['id']}").status_code == 204
    assert idle.client.get(base).json()["items"] == [early]
    gone = idle.client.delete(f"{base}/{late['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "marker_not_found")


def test_a_marker_without_a_time_is_now_on_the_media_timeline_without_pauses(idle):
    session_id = idle.create()
    base = f"/api/sessions/{session_id}"
    assert idle.client.post(f"{base}/markers", json={}).json()["at_ms"] == 0
    store = idle.runtime.store
    for step in ("start", "pause", "resume"):
        idle.client.post(f"{base}/{step}").raise_for_status()
    with store.db.write() as c:  # it was active for a minute, and is so again since ten seconds
        sessions.update_session(c, session_id, recorded_ms=60_000, active_since_ms=store.now_ms() - 10_000)
    at_ms = idle.client.post(f"{base}/markers", json={}).json()["at_ms"]
    assert 70_000 <= at_ms < 75_000
    idle.client.post(f"{base}/pause").raise_for_status()
    paused = [idle.client.post(f"{base}/markers", json={}).json()["at_ms"] for _ in range(2)]
    assert paused[0] == paused[1] >= at_ms


def test_a_marker_without_a_time_in_an_ended_session_is_at_its_end(served):
    session_id = served.recorded(tone(2.0))
    assert served.client.post(f"/api/sessions/{session_id}/markers", json={}).json()["at_ms"] == 2000


def test_a_session_moves_through_its_phases_and_remembers_when(idle):
    session_id = idle.create(phases=["icebreaker", "deep_dive"])
    base = f"/api/sessions/{session_id}/phase"
    begun = idle.client.get(base).json()
    assert (begun["phase"], begun["phases"]) == ("icebreaker", ["icebreaker", "deep_dive"])
    told: list[Event] = []
    unsubscribe = idle.runtime.store.bus.subscribe(told.append)
    for _ in range(2):  # twice is once
        moved = idle.client.put(base, json={"phase": "deep_dive"}).json()
    unsubscribe()
    assert [one["phase"] for one in moved["history"]] == ["icebreaker", "deep_dive"]
    assert idle.client.get(f"/api/sessions/{session_id}").json()["phase"] == "deep_dive"
    [event] = [event for event in told if event.name == "phase_changed"]
    assert (event.session_id, event.payload["phase"]) == (session_id, "deep_dive")
    left = idle.client.put(base, json={"phase": None}).json()
    assert (left["phase"], left["history"][-1]["phase"], left["history"][-1]["actor"]) == (None, None, "owner")


def test_an_unknown_phase_is_refused_and_changes_nothing(idle):
    session_id = idle.create(phases=["one"])
    refused = idle.client.put(f"/api/sessions/{session_id}/phase", json={"phase": "two"})
    assert (refused.status_code, refused.json()["code"], refused.json()["phases"]) == (422, "unknown_phase", ["one"])
    assert idle.client.get(f"/api/sessions/{session_id}/phase").json()["phase"] == "one"


def test_a_session_without_phases_of_its_own_may_be_in_any(idle):
    session_id = idle.create()
    assert idle.client.get(f"/api/sessions/{session_id}/phase").json() == {"phase": None, "phases": [], "history": []}
    assert (
        idle.client.put(f"/api/sessions/{session_id}/phase", json={"phase": "deep_dive"}).json()["phase"] == "deep_dive"
    )


def test_what_somebody_wrote_stands_beside_what_is_made(idle):
    session_id = idle.create()
    base = f"/api/sessions/{session_id}/summary"
    assert idle.client.get(base).status_code == 409
    told: list[Event] = []
    unsubscribe = idle.runtime.store.bus.subscribe(told.append)
    idle.client.put(base, json={"summary": "It was about *bees*."}).raise_for_status()
    unsubscribe()
    assert [(event.name, event.payload["summary"]) for event in told] == [("summary_updated", "It was about *bees*.")]
    alone = idle.client.get(base).json()
    assert (alone["written"]["text"], alone["written"]["author"]) == ("It was about *bees*.", "owner")
    assert (alone["made_by"], alone["summary"]) == (None, [])
    outlined(idle, session_id)
    both = idle.client.get(base).json()
    assert (both["written"], both["made_by"], both["summary"]) == (alone["written"], "outline", ["An extract."])
    notes = idle.client.get(f"/api/sessions/{session_id}/notes").json()["markdown"]
    assert notes.index("It was about \\*bees\\*.") < notes.index("owner") < notes.index("An extract.")
    idle.client.put(base, json={"summary": None}).raise_for_status()
    assert idle.client.get(base).json()["written"] is None


def test_the_timeline_has_everything_in_order(idle):
    session_id = idle.create(phases=["talk"])
    base = f"/api/sessions/{session_id}"
    outlined(idle, session_id)
    for at_ms in (11_000, 500):
        body = {"speaker": "Ana", "text": f"at {at_ms}", "start_ms": at_ms, "end_ms": at_ms + 100}
        idle.client.post(f"{base}/transcript", json=body).raise_for_status()
    idle.client.post(f"{base}/markers", json={"at_ms": 11_000, "label": "here"}).raise_for_status()
    items = idle.client.get(f"{base}/timeline").json()["items"]
    assert [(one["kind"], one["start_ms"], one["text"]) for one in items] == [
        ("chapter", 0, "Part 0"),
        ("phase", 0, "talk"),
        ("entry", 500, "at 500"),
        ("chapter", 10_000, "Part 1"),
        ("marker", 11_000, "here"),
        ("entry", 11_000, "at 11000"),
        ("task", 12_000, "I will call Ben"),
        ("chapter", 20_000, "Part 2"),
    ]
    some = idle.client.get(f"{base}/timeline", params={"from_ms": 500, "to_ms": 11_001, "kinds": ["entry", "marker"]})
    assert [(one["kind"], one["start_ms"]) for one in some.json()["items"]] == [
        ("entry", 500),
        ("marker", 11_000),
        ("entry", 11_000),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_timeline_comes_in_pages_each_thing_once(idle, limit):
    session_id = idle.create()
    base = f"/api/sessions/{session_id}"
    outlined(idle, session_id)
    for number in range(4):  # many things at the same moment
        idle.client.post(f"{base}/markers", json={"at_ms": 10_000, "label": str(number)})
        idle.client.post(f"{base}/transcript", json={"speaker": "A", "text": str(number), "start_ms": 10_000})
    whole = idle.client.get(f"{base}/timeline", params={"limit": 500}).json()["items"]
    found, cursor = [], None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = idle.client.get(f"{base}/timeline", params=params).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole
    assert len({(one["kind"], one["id"]) for one in whole}) == 12


def test_a_gap_stands_on_the_timeline_with_its_cause(served):
    session_id = served.create()
    track_id = served.track(session_id)
    served.client.post(f"/api/sessions/{session_id}/start").raise_for_status()
    served.put(session_id, track_id, 0, tone(1.0), start_ms=0, duration_ms=1000)
    served.put(session_id, track_id, 2, tone(1.0, hz=500), start_ms=2000, duration_ms=1000)
    served.client.post(f"/api/sessions/{session_id}/end").raise_for_status()
    served.wait_for_job(session_id)
    items = served.client.get(f"/api/sessions/{session_id}/timeline", params={"kinds": "gap"}).json()["items"]
    assert [(one["start_ms"], one["end_ms"], one["text"], one["track_id"]) for one in items] == [
        (1000, 2000, "missing", track_id)
    ]


@pytest.mark.parametrize("what", ["markers", "phase", "timeline", "summary"])
def test_of_a_session_that_is_not_there_nothing_is_shown(idle, what):
    answer = idle.client.get(f"/api/sessions/nobody/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
