"""Entries of a transcript, made up."""

import random

from longtake.model.transcript import Entry, Word
from tools.make_conversation import dialogue


def entry(text, start_ms=0, end_ms=None, speaker="Ana", **more):
    """An entry that takes 300 ms a word."""
    end_ms = start_ms + 300 * max(len(text.split()), 1) if end_ms is None else end_ms
    key = f"{start_ms:09}-{speaker}"
    fields = {"session_id": "s", "track_id": "t", "at_ms": 0, **more}
    return Entry(id=key, speaker=speaker, text=text, start_ms=start_ms, end_ms=end_ms, **fields)


def worded(text, start_ms=0, ms_a_word=300, **more):
    """An entry whose words have times and confidences."""
    words = tuple(
        Word(text=word, start_ms=start_ms + n * ms_a_word, end_ms=start_ms + (n + 1) * ms_a_word, confidence=0.9)
        for n, word in enumerate(text.split())
    )
    return entry(text, start_ms, words[-1].end_ms, words=words, **more)


def talk(*, seed, minutes):
    """What two people say about one subject after another: entries, and the chapter that each belongs to."""
    entries: list[Entry] = []
    chapters: list[int] = []
    at_ms = 0
    for turn in dialogue(random.Random(seed)):
        if at_ms > minutes * 60_000:
            return entries, chapters
        entries.append(entry(turn.text, at_ms, speaker=("Ben", "Ana")[turn.person]))
        chapters.append(turn.chapter)
        at_ms = entries[-1].end_ms + 400
    raise AssertionError("a dialogue does not end")
