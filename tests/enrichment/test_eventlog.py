"""log.csv: when things were said, on the clock of the wall, pauses included."""

import csv
from dataclasses import replace

from longtake.enrichment.eventlog import COLUMNS, recorded_stretches, wall_ms, write_log
from longtake.model.lifecycle import SessionState as S
from longtake.model.remarks import PhaseChange
from longtake.model.session import Mode, Participant, Session, Transition
from longtake.model.transcript import Entry

AT = 1_700_000_000_000
SESSION = Session(
    id="s",
    title='Interview, "first"',
    mode=Mode.SOLO,
    state=S.COMPLETED,
    created_at_ms=AT,
    started_at_ms=AT + 1000,
    ended_at_ms=AT + 60_000,
    last_activity_at_ms=AT,
    phase="icebreaker",
    participants=(Participant(id="p", role="A", name="Ana"),),
)


def step(at_ms: int, after: S) -> Transition:
    return Transition(at_ms=AT + at_ms, from_state=None, to_state=after, event="e", actor="owner")


HISTORY = [
    step(0, S.IDLE),
    step(1000, S.ACTIVE),
    step(11_000, S.PAUSED),
    step(31_000, S.ACTIVE),
    step(41_000, S.ENDING),
]


PHASES = [
    PhaseChange(phase="icebreaker", at_ms=AT, start_ms=0, actor="owner"),
    PhaseChange(phase=None, at_ms=AT + 32_000, start_ms=11_000, actor="owner"),
]


def entry(start_ms: int, text: str) -> Entry:
    return Entry(
        id=text, session_id="s", track_id=None, speaker="A", text=text, start_ms=start_ms, end_ms=start_ms, at_ms=AT
    )


def test_media_time_stands_still_in_a_pause_and_the_wall_clock_does_not():
    stretches = recorded_stretches(SESSION, HISTORY)
    assert stretches == [(0, AT + 1000), (10_000, AT + 31_000)]
    assert [wall_ms(stretches, ms) - AT for ms in (0, 9_999, 10_000, 15_000)] == [1000, 10_999, 31_000, 36_000]


def test_what_never_started_counts_from_its_creation():
    never = replace(SESSION, started_at_ms=None)
    assert recorded_stretches(never, HISTORY[:1]) == [(0, AT)]


def test_the_log_has_a_row_for_everything_in_order():
    text = write_log(SESSION, HISTORY, [entry(5000, "one, two"), entry(12_000, "three\nfour")], PHASES)
    rows = list(csv.reader(text.splitlines(keepends=True)))
    assert tuple(rows[0]) == COLUMNS
    assert [(speaker, said) for _, _, speaker, said in rows[1:]] == [
        ("SYSTEM", 'session created: Interview, "first"'),
        ("SYSTEM", "Ana joined as A"),
        ("SYSTEM", "phase: icebreaker"),
        ("A", "one, two"),
        ("SYSTEM", "phase: none"),
        ("A", "three\nfour"),
        ("SYSTEM", "session ended"),
    ]
    assert rows[4][0] == "2023-11-14T22:13:26.000Z"
    assert {row[1] for row in rows[1:]} == {"s"}
