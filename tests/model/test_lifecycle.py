"""The tables: complete, reachable, refusing; and what is drawn and derived from them."""

import itertools
from enum import StrEnum
from typing import Any

import pytest

from longtake.model import lifecycle
from longtake.model.errors import IllegalTransition
from longtake.model.lifecycle import (
    JOB,
    REQUESTS,
    SESSION,
    TRACK,
    JobEvent,
    JobState,
    SessionEvent,
    SessionState,
    TrackEvent,
    TrackState,
    follow,
    walk,
)
from longtake.model.session import (
    Counts,
    LaneStatus,
    ProcessingStatus,
    SegmentStatus,
    processing_status,
    segment_status,
)
from longtake.sessions.lifecycle import TRACK_WALKS
from tools.draw_lifecycle import DIAGRAMS, NOTE, drawn

TABLES: dict[str, tuple[Any, Any, Any, set[StrEnum]]] = {
    "session": (SESSION, SessionState, SessionEvent, {SessionState.IDLE, SessionState.WAITING}),
    "track": (TRACK, TrackState, TrackEvent, {TrackState.IDLE}),
    "job": (JOB, JobState, JobEvent, {JobState.PENDING}),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_state_has_a_row_and_can_be_reached(name):
    table, states, _, first = TABLES[name]
    assert set(table) == set(states)
    reached = set(first)
    while more := {after for state in reached for after in table[state].values()} - reached:
        reached |= more
    assert reached == set(states)


@pytest.mark.parametrize("name", TABLES)
def test_every_event_is_used_and_every_pair_that_is_not_listed_is_refused(name):
    table, states, events, _ = TABLES[name]
    assert {event for row in table.values() for event in row} == set(events)
    for state, event in itertools.product(states, events):
        if event in table[state]:
            assert follow(table, state, event) is table[state][event]
        else:
            with pytest.raises(IllegalTransition) as refused:
                follow(table, state, event)
            assert refused.value.state == state.value
            assert refused.value.allowed == [REQUESTS[listed] for listed in table[state] if listed in REQUESTS]


def test_what_can_be_asked_for_is_said_in_the_words_that_ask():
    for event in [*SessionEvent, *TrackEvent, *JobEvent]:
        word = REQUESTS.get(event)
        assert (word is not None) == (event.endswith("_requested") or event is SessionEvent.DISMISSED)
        assert word is None or event.startswith(word)
    with pytest.raises(IllegalTransition, match=r"^pause is not possible while idle; possible: start, end$"):
        follow(SESSION, SessionState.IDLE, SessionEvent.PAUSE_REQUESTED)


@pytest.mark.parametrize("name", ["session", "job"])
def test_from_every_state_an_end_can_be_reached(name):
    table, states, _, _ = TABLES[name]
    ends = {state for state in states if not table[state]}
    while more := {state for state in states if set(table[state].values()) & ends} - ends:
        ends |= more
    assert ends == set(states)


def test_what_was_recorded_can_always_be_ended():
    unfinished = set(SessionState) - {SessionState.ENDING, SessionState.COMPLETED}
    assert all(SESSION[state][SessionEvent.END_REQUESTED] is SessionState.ENDING for state in unfinished)


def test_any_unfinished_step_can_fail():
    for state in set(SessionState) - {SessionState.COMPLETED, SessionState.ERROR}:
        assert SESSION[state][SessionEvent.FAILED] is SessionState.ERROR


def test_the_walks_of_requests_go_where_they_should():
    walks = {
        SessionState.IDLE: (lifecycle.START_WALK, SessionState.ACTIVE),
        SessionState.ACTIVE: (lifecycle.PAUSE_WALK, SessionState.PAUSED),
        SessionState.PAUSED: (lifecycle.RESUME_WALK, SessionState.ACTIVE),
        SessionState.INTERRUPTED: (lifecycle.END_WALK, SessionState.COMPLETED),
    }
    for state, (events, goal) in walks.items():
        assert walk(SESSION, state, events)[-1] is goal


def test_a_walk_is_all_or_nothing():
    with pytest.raises(IllegalTransition) as refused:
        walk(SESSION, SessionState.ACTIVE, (SessionEvent.PAUSE_REQUESTED, SessionEvent.STARTED))
    assert refused.value.state == "pausing"


def test_the_walks_of_tracks_end_where_they_say():
    for target, by_state in TRACK_WALKS.items():
        for state, events in by_state.items():
            assert walk(TRACK, state, events)[-1] is target


def test_the_note_shows_the_tables():
    text = NOTE.read_text()
    assert drawn(text) == text
    for lines in DIAGRAMS.values():
        assert lines in text


def test_a_note_without_a_place_for_a_diagram_is_an_error():
    with pytest.raises(ValueError, match="session"):
        drawn("nothing")


@pytest.mark.parametrize(("media", "speech"), list(itertools.product(LaneStatus, LaneStatus)))
def test_a_segment_is_what_its_lanes_are(media: LaneStatus, speech: LaneStatus):
    status = segment_status(media, speech)
    assert (status is SegmentStatus.FAILED) == (LaneStatus.FAILED in (media, speech))
    assert (status is SegmentStatus.COMPLETED) == (media is speech is LaneStatus.DONE)
    if status in (SegmentStatus.PENDING, SegmentStatus.PROCESSING):
        assert (status is SegmentStatus.PENDING) == (media is LaneStatus.PENDING)


def expected_processing(counts: Counts, job: JobState | None) -> ProcessingStatus:
    if job is JobState.FAILED:
        if not counts.pending + counts.processing + counts.failed:
            return ProcessingStatus.COMPLETED
        some = counts.completed + counts.processing
        return ProcessingStatus.COMPLETED_WITH_ERRORS if some else ProcessingStatus.FAILED
    if counts.processing or job is JobState.PROCESSING:
        return ProcessingStatus.PROCESSING
    if counts.pending or job is JobState.PENDING:
        return ProcessingStatus.PENDING
    if counts.failed and counts.completed:
        return ProcessingStatus.COMPLETED_WITH_ERRORS
    return ProcessingStatus.FAILED if counts.failed else ProcessingStatus.COMPLETED


def test_the_processing_status_follows_from_the_counts_and_the_job():
    for pending, processing, completed, failed in itertools.product((0, 2), repeat=4):
        counts = Counts(pending=pending, processing=processing, completed=completed, failed=failed)
        assert counts.total == pending + processing + completed + failed
        for job in (None, *JobState):
            assert processing_status(counts, job) is expected_processing(counts, job)
