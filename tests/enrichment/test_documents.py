"""The documents of a session, and what other programs read in them."""

import html
import itertools
import json
from dataclasses import replace

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.enrichment.captions import cues
from longtake.enrichment.documents import Document, clock, to_json, to_markdown, to_srt, to_text, to_vtt
from longtake.enrichment.text import outline
from longtake.model.coverage import Cause, Coverage, Gap
from longtake.model.lifecycle import SessionState, TrackHealth, TrackState
from longtake.model.session import Counts, Mode, Participant, Session, Track, TrackKind
from tests.enrichment.talks import entry, talk, worded

TRACK = Track(
    id="t",
    session_id="s",
    kind=TrackKind.MICROPHONE,
    number=0,
    state=TrackState.STOPPED,
    health=TrackHealth.HEALTHY,
    length_ns=90_000_000_000,
    speech_engine="pocketsphinx",
)
SESSION = Session(
    id="s",
    title="Talk *with* Ana",
    mode=Mode.SOLO,
    state=SessionState.COMPLETED,
    created_at_ms=1_795_000_000_000,
    last_activity_at_ms=1_795_000_000_000,
    started_at_ms=1_795_000_000_000,
    participants=(Participant(id="p", role="A", name="Ana"),),
    tracks=(TRACK,),
)
WHOLE = {"t": Coverage(expected_ms=90_000, stored_ms=90_000, gaps=())}
PART = {
    "t": Coverage(
        expected_ms=90_000,
        stored_ms=75_000,
        gaps=(
            Gap(start_ms=30_000, end_ms=40_000, cause=Cause.MISSING),
            Gap(start_ms=85_000, end_ms=90_000, cause=Cause.TAIL),
        ),
        missing=(3,),
    )
}
WRITERS = [to_text, to_vtt, to_markdown, to_json]


def document(*entries, coverage=WHOLE, session=SESSION):
    return Document(
        session=session, entries=entries, outline=outline(entries, 90_000) if entries else None, coverage=coverage
    )


def heard(text, **more):
    return worded(text, engine="pocketsphinx", model="en-us", is_draft=True, **more)


@pytest.mark.parametrize("write", WRITERS)
def test_a_draft_says_so_and_names_the_engine_and_the_remedy(write):
    written = html.unescape(write(document(heard("hello there")))).replace("\\", "")

    assert "Draft quality: all of 1 entries were recognised by pocketsphinx (en-us)" in written
    assert "longtake models install base" in written


@pytest.mark.parametrize("write", WRITERS)
def test_good_or_corrected_text_is_no_draft(write):
    good = worded("hello", engine="whisper:base", model="base int8")

    assert "Draft" not in write(document(good, replace(heard("hello", start_ms=5_000), corrected=True)))


@pytest.mark.parametrize("write", WRITERS)
def test_a_part_is_never_shown_as_the_whole(write):
    written = write(document(heard("hello"), coverage=PART))

    assert "Not whole: of microphone, 1:15 of 1:30 are there" in written
    assert "0:30–0:40 (never arrived)" in written
    assert "1:25–1:30 (the end never arrived)" in written
    assert "Not whole" not in write(document(heard("hello")))


@pytest.mark.parametrize("write", WRITERS)
def test_failed_segments_are_mentioned(write):
    session = replace(SESSION, tracks=(replace(TRACK, counts=Counts(completed=3, failed=2)),))

    assert "2 segments could not be processed" in write(document(heard("hello"), session=session))


def test_silence_and_a_session_without_engine_are_told_apart():
    unheard = replace(SESSION, tracks=(replace(TRACK, speech_engine="none"),))

    assert "No speech was recognised." in to_text(document())
    assert "Speech was not transcribed" in to_text(document(session=unheard))


def test_text_has_a_line_for_each_entry_in_order():
    lines = to_text(document(entry("second\nline", 65_000, speaker="Ben"), entry("first", 1_000))).splitlines()

    assert lines[0] == "Talk *with* Ana"
    assert lines[1].endswith("UTC, 1:30")
    assert lines[-2:] == ["[0:01] Ana: first", "[1:05] Ben: second line"]


def test_notes_hold_summary_chapters_tasks_and_topics():
    entries = talk(seed=1, minutes=4)[0]

    notes = to_markdown(document(*entries))

    assert notes.startswith("# Talk \\*with\\* Ana\n")
    assert [line for line in notes.splitlines() if line.startswith("## ")] == [
        "## Summary", "## Chapters", "## Tasks", "## Topics"
    ]  # fmt: skip
    assert "*An outline:" in notes
    assert "- [ ] " in notes


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("# no heading", "\\# no heading"),
        ("<b>&amp;", "\\<b\\>&amp;amp;"),
        ("1. no list", "1\\. no list"),
        ("- x", "\\- x"),
    ],
)
def test_notes_show_markup_as_it_was_said(said, shown):
    made = replace(outline([entry("x")], 9), summary=(said,))

    assert f"- {shown}\n" in to_markdown(Document(session=SESSION, entries=(), outline=made, coverage=WHOLE))


def test_json_is_complete():
    entries = (heard("please write the report"), entry("joined", speaker="SYSTEM"))
    whole = json.loads(to_json(document(*entries, coverage=PART)))

    assert whole["entries"][0]["words"][1] == {"text": "write", "start_ms": 300, "end_ms": 600, "confidence": 0.9}
    assert whole["entries"][0]["at"] == "1970-01-01T00:00:00.000Z"
    assert whole["entries"][1]["speaker"] == "SYSTEM"
    assert whole["engines"] == [{"engine": "pocketsphinx", "model": "en-us", "is_draft": True, "entries": 1}]
    assert whole["outline"]["tasks"][0]["text"] == "Please write the report."
    assert whole["outline"]["chapters"][0]["end_ms"] == 90_000
    assert (whole["is_whole"], whole["tracks"][0]["missing"], whole["duration_ms"]) == (False, [3], 90_000)
    assert whole["tracks"][0]["gaps"][1] == {"start_ms": 85_000, "end_ms": 90_000, "cause": "tail"}


NASTY = "a --> b & <i>c</i> &lt; {x}\n\n\nnew\x00\u2028block"


def test_webvtt_escapes_what_would_be_markup():
    vtt = to_vtt(document(entry(NASTY, speaker="A<na> & co")))

    header, cue, *_ = (block for block in vtt.split("\n\n") if not block.startswith("NOTE"))
    assert header == "WEBVTT"
    timing, *text = cue.splitlines()
    assert timing == "00:00:00.000 --> 00:00:02.700"
    assert html.unescape("".join(text)).startswith("<v A<na> & co>a --> b & <i>c</i>")
    assert "-->" not in "".join(text)
    assert vtt.count(" --> ") == 1


def test_subrip_survives_what_would_break_it():
    (event,) = pysubs2.SSAFile.from_string(to_srt(document(entry(NASTY))), format_="srt")

    assert event.plaintext.replace("\n", " ").startswith("a --› b & ‹i›c‹/i› &lt; (x) new block")
    assert (event.start, event.end) == (0, 2_700)


@pytest.mark.parametrize(("write", "form"), [(to_srt, "srt"), (to_vtt, "vtt")])
def test_other_programs_read_the_captions(write, form):
    entries = talk(seed=2, minutes=3)[0]

    events = pysubs2.SSAFile.from_string(write(document(*entries)), format_=form)

    words = " ".join(event.plaintext.replace("\n", " ") for event in events)
    for said in entries:
        assert said.text in words.replace("Ana: ", "").replace("Ben: ", "")
    assert events[0].start == entries[0].start_ms
    assert events[-1].end == entries[-1].end_ms


def test_names_stand_in_front_only_where_several_speak():
    both = to_srt(document(entry("hello"), entry("hi", 5_000, speaker="Ben")))

    assert "Ana: hello" in both
    assert "Ben: hi" in both
    assert "Ana:" not in to_srt(document(entry("hello")))


def test_a_long_entry_becomes_cues_at_its_own_words():
    (said,) = (worded("one two three four five six seven eight nine ten " * 6),)

    made = cues([said], with_speakers=False)

    assert len(made) > 2
    assert " ".join(line for cue in made for line in cue.lines) == said.text.strip()
    assert {cue.start_ms for cue in made} <= {word.start_ms for word in said.words}
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(made))


def test_a_pause_and_the_end_of_a_sentence_end_a_cue():
    first, second = worded("one two", 0), worded("three four", 3_000)
    said = entry("one two three four", 0, second.end_ms, words=first.words + second.words)

    assert [cue.lines for cue in cues([said], with_speakers=False)] == [("one two",), ("three four",)]
    assert [cue.lines for cue in cues([worded("This is a sentence of its own. And on.")], with_speakers=False)] == [
        ("This is a sentence of its own.",), ("And on.",)
    ]  # fmt: skip


def test_corrected_text_is_shown_instead_of_the_words_that_were_heard():
    said = replace(worded("hollow word", engine="pocketsphinx"), text="hello world", corrected=True)

    (cue,) = cues([said], with_speakers=False)

    assert (cue.lines, cue.start_ms, cue.end_ms) == (("hello world",), 0, 600)


@given(st.lists(st.tuples(st.text(max_size=150), st.integers(0, 60_000), st.booleans()), max_size=8), st.booleans())
def test_every_cue_can_be_read(texts, with_speakers):
    entries, at_ms = [], 0
    for text, length_ms, has_words in texts:
        has_words = has_words and bool(text.split())
        entries.append(worded(text, at_ms) if has_words else entry(text, at_ms, at_ms + length_ms))
        at_ms = entries[-1].end_ms

    for cue in cues(entries, with_speakers=with_speakers):
        assert 1 <= len(cue.lines) <= 2
        assert all(line and len(line) <= 42 and line.isprintable() for line in cue.lines)
        assert cue.start_ms < cue.end_ms <= cue.start_ms + 7_000


@pytest.mark.parametrize(
    ("ms", "shown"), [(0, "0:00"), (61_999, "1:01"), (3_600_000, "1:00:00"), (36_061_000, "10:01:01")]
)
def test_a_clock_reads_like_a_clock(ms, shown):
    assert clock(ms) == shown
