"""Captions: what was said in pieces that a person can read while it is said, as SubRip and WebVTT.

At most two lines of 42 characters and seven seconds each. Pieces end with the words' own times where the engine gave
them, else with their share of the entry's time.

Sources: WebVTT, W3C Candidate Recommendation 2019, §4.1 and §4.2.2 (escapes, voice spans, NOTE). SubRip has no
standard and no escapes: what players take for markup is replaced by signs that look like it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from longtake.model.transcript import Entry, Word

LINE = 42
LINES = 2
LONGEST_MS = 7_000
SHORTEST_MS = 300
PAUSE_MS = 1_500
"""A pause between two words that ends a cue."""

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
LEAST_OF_A_SENTENCE = 30
"""Characters that a cue has before the end of a sentence ends it."""

LOOK_ALIKES = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One caption: one or two lines, and who says them."""

    start_ms: int
    end_ms: int
    speaker: str
    lines: tuple[str, ...]


def cues(entries: Iterable[Entry], *, with_speakers: bool) -> list[Cue]:
    """The captions of what was spoken, by their start; with the speaker's name in front if wanted."""
    made = []
    for entry in entries:
        label = f"{plain(entry.speaker)[: LINE // 2 - 3]}: " if with_speakers else ""
        made += _cues_of(entry, label)
    return sorted(made, key=lambda cue: (cue.start_ms, cue.end_ms))


def plain(text: str) -> str:
    """On one line, without control characters."""
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())


def to_subrip(entries: Sequence[Entry]) -> str:
    """A SubRip file; names stand in front where more than one person speaks."""
    with_speakers = len({entry.speaker for entry in entries}) > 1
    blocks = []
    for number, cue in enumerate(cues(entries, with_speakers=with_speakers), 1):
        text = "\n".join(line.translate(LOOK_ALIKES) for line in cue.lines)
        blocks.append(f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_webvtt(entries: Sequence[Entry], notes: Sequence[str]) -> str:
    """A WebVTT file with voice spans; notes are comments at its head."""
    blocks = ["WEBVTT\n"]
    blocks += [f"NOTE {plain(note).replace('-->', '→')}\n" for note in notes]
    for cue in cues(entries, with_speakers=False):
        text = _escaped("\n".join(cue.lines))
        blocks.append(
            f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n<v {_escaped(plain(cue.speaker))}>{text}</v>\n"
        )
    return "\n".join(blocks)


def _cues_of(entry: Entry, label: str) -> list[Cue]:
    made: list[Cue] = []
    piece: list[Word] = []
    for word in _timed_words(entry):
        if piece and not _belongs(piece, word, label):
            made.append(_cue(entry, piece, label))
            piece = []
        piece.append(word)
    if piece:
        made.append(_cue(entry, piece, label))
    for index, after in enumerate(made[1:]):
        if made[index].start_ms < after.start_ms < made[index].end_ms:
            made[index] = replace(made[index], end_ms=after.start_ms)
    return made


def _belongs(piece: Sequence[Word], word: Word, label: str) -> bool:
    """Whether a word still fits into a cue."""
    text = label + " ".join(w.text for w in piece)
    if piece[-1].text.endswith(SENTENCE_ENDS) and len(text) >= LEAST_OF_A_SENTENCE:
        return False
    if word.start_ms - piece[-1].end_ms >= PAUSE_MS or word.end_ms - piece[0].start_ms > LONGEST_MS:
        return False
    return len(_lines(f"{text} {word.text}")) <= LINES


def _cue(entry: Entry, piece: Sequence[Word], label: str) -> Cue:
    start_ms = piece[0].start_ms
    end_ms = min(max(piece[-1].end_ms, start_ms + SHORTEST_MS), start_ms + LONGEST_MS)
    lines = _lines(label + " ".join(w.text for w in piece))
    return Cue(start_ms=start_ms, end_ms=end_ms, speaker=entry.speaker, lines=tuple(lines))


def _lines(text: str) -> list[str]:
    """A text in lines of at most `LINE` characters: two of about the same length where two are enough."""
    if len(text) <= LINE:
        return [text]
    spaces = [place for place, ch in enumerate(text) if ch == " "]
    fit = [place for place in spaces if place <= LINE and len(text) - place - 1 <= LINE]
    if fit:
        place = min(fit, key=lambda p: abs(len(text) - 1 - 2 * p))
        return [text[:place], text[place + 1 :]]
    place = max((p for p in spaces if p <= LINE), default=LINE)
    return [text[:place], *_lines(text[place:].lstrip())]


def _timed_words(entry: Entry) -> list[Word]:
    """The words of an entry with their times, none longer than a line."""
    if entry.words and not entry.corrected:
        words = [replace(word, text=plain(word.text)) for word in entry.words]
    else:
        texts = plain(entry.text).split()
        length = max(sum(len(text) + 1 for text in texts), 1)
        span_ms = max(entry.end_ms - entry.start_ms, 0)
        words, place = [], 0
        for text in texts:
            start_ms = entry.start_ms + span_ms * place // length
            place += len(text) + 1
            words.append(Word(text=text, start_ms=start_ms, end_ms=entry.start_ms + span_ms * place // length))
    return [part for word in words if word.text for part in _short(word)]


def _short(word: Word) -> list[Word]:
    """A word in pieces of at most half a line: some scripts have no spaces, some words are addresses."""
    if len(word.text) <= LINE // 2:
        return [word]
    size, span_ms = LINE // 2, word.end_ms - word.start_ms
    return [
        replace(
            word,
            text=word.text[at : at + size],
            start_ms=word.start_ms + span_ms * at // len(word.text),
            end_ms=word.start_ms + span_ms * min(at + size, len(word.text)) // len(word.text),
        )
        for at in range(0, len(word.text), size)
    ]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(ms: int, point: str) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
