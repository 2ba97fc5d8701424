"""An outline of a talk without a language model: chapters, extracts, topics and tasks.

Everything in it was said by somebody: it is an outline, not prose, and is labelled so. Chapters come from
`segmentation`, titles from the words that set a chapter apart (c-TF-IDF), extracts are the most central sentences
(LexRank) that do not repeat one another (MMR), tasks are sentences in which somebody commits to something or asks for
it (in English). The same entries always give the same outline.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from longtake.enrichment.segmentation import divide
from longtake.enrichment.words import rank, sentences, stem, tells, total, vectors, words
from longtake.model.transcript import Chapter, Entry, Outline, Task

MADE_BY = "outline"
SHORTEST_CHAPTER_MS = 30_000
MOST_CHAPTERS = 40
"""A chapter is at least this part of the session."""

LEAST_CONFIDENCE = 0.3
"""A word that the engine was less sure of counts nowhere."""

COMPARED = 150
"""Sentences of a chapter that LexRank compares: those with the most telling words."""

EXTRACT_WORDS = (5, 45)
"""A sentence of fewer or more words makes no extract where there is another."""

COMMITMENT = re.compile(
    r"\b(?:i|we)(?: will|'ll| am going to|'m going to| are going to|'re going to)(?: \w+ly| also| then)? "
    r"(?!not\b|never\b|be\b|see\b|have\b|say\b|think\b|know\b|probably\b|always\b|get to\b|need\b|want\b)\w+"
    r"|\b(?:can|could|would|will) you (?:please )?(?!hear|see|imagine|believe|tell|say|guess|explain|repeat|think)\w+"
    r"|(?:^|\b(?:and|so|then|okay|ok|but) )please (?!note\b|wait\b|help yourself\b)\w+"
    r"|\b(?:make sure|remember to|do not forget to|don't forget to) \w+",
    re.IGNORECASE,
)
TASK_WORDS = 24
"""A longer sentence is shown from where somebody commits to something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A sentence. `bag` are the telling words in it, `terms` those and pairs of neighbours, both by their stems."""

    text: str
    speaker: str
    at_ms: int
    size: int
    bag: Counter[str]
    terms: Counter[str]


def outline(entries: Sequence[Entry], duration_ms: int) -> Outline:
    """Outline what was said.

    Args:
        entries: In any order; messages of `SYSTEM` are passed over.
        duration_ms: Length of the session on its media timeline.

    Returns:
        Chapters that cover the session from 0 to its end, two extracts in each, up to seven for all of it; nothing
        where nobody said a word.
    """
    spoken = sorted((e for e in entries if e.speaker != "SYSTEM" and e.text.strip()), key=lambda e: (e.start_ms, e.id))
    if not spoken:
        return Outline(made_by=MADE_BY, chapters=(), summary=(), topics=(), tasks=())
    surfaces: Counter[tuple[str, str]] = Counter()
    said = [one for entry in spoken for one in _sentences_of(entry, surfaces)]
    end_ms = max(duration_ms, max(entry.end_ms for entry in spoken))
    firsts = divide(
        [one.bag for one in said],
        [one.at_ms for one in said],
        end_ms=end_ms,
        least_ms=max(SHORTEST_CHAPTER_MS, end_ms // MOST_CHAPTERS),
    )
    parts = [said[a:b] for a, b in zip(firsts, [*firsts[1:], len(said)], strict=True)]
    phrases = _telling_phrases(parts, _spelling(surfaces))
    picked = [_central(part, 2) for part in parts]
    starts = [0, *(part[0].at_ms for part in parts[1:])]
    chapters = tuple(
        Chapter(title=title, start_ms=start, end_ms=end, summary=" ".join(_in_order(extracts)))
        for title, start, end, extracts in zip(_titles(phrases), starts, [*starts[1:], end_ms], picked, strict=True)
    )
    best = _central([one for extracts in picked for one in extracts], min(7, 2 + len(parts)))
    topics = dict.fromkeys(
        phrase for rank_in_part in range(3) for part in phrases for phrase in part[rank_in_part:][:1]
    )
    return Outline(
        made_by=MADE_BY,
        chapters=chapters,
        summary=tuple(_in_order(best)),
        topics=tuple(topics)[:8],
        tasks=tuple(task for one in said if (task := _task(one)) is not None),
    )


def _sentences_of(entry: Entry, surfaces: Counter[tuple[str, str]]) -> Iterable[Said]:
    """The sentences of an entry, placed by their share of its text. Words heard with doubt do not count."""
    doubt = {} if entry.corrected else {w: x.confidence for x in entry.words for w in words(x.text)}
    place, length = 0, max(len(entry.text), 1)
    for text in sentences(entry.text):
        spoken = words(text)
        bag: Counter[str] = Counter()
        terms: Counter[str] = Counter()
        before = ""
        for word in spoken:
            heard = doubt.get(word)
            if not tells(word) or (heard is not None and heard < LEAST_CONFIDENCE):
                before = ""
                continue
            root = stem(word)
            surfaces[root, word] += 1
            bag[root] += 1
            terms[root] += 1
            if before:
                terms[f"{before} {root}"] += 1
            before = root
        at_ms = entry.start_ms + (entry.end_ms - entry.start_ms) * place // length
        place += len(text)
        yield Said(text=text, speaker=entry.speaker, at_ms=at_ms, size=len(spoken), bag=bag, terms=terms)


def _spelling(surfaces: Counter[tuple[str, str]]) -> dict[str, str]:
    """How each stem is spelled most often."""
    best: dict[str, str] = {}
    for (root, word), _ in sorted(surfaces.items(), key=lambda item: (item[1], item[0]), reverse=True):
        best.setdefault(root, word)
    return best


def _telling_phrases(parts: Sequence[Sequence[Said]], spelling: dict[str, str]) -> list[list[str]]:
    """The phrases that set each part apart, the most telling first: c-TF-IDF, pairs of words before single ones.

    Source: Grootendorst, BERTopic (2022), §3.3.
    """
    counted = [total(one.terms for one in part) for part in parts]
    overall = total(counted)
    mean = sum(overall.values()) / len(parts)
    found = []
    for counts in counted:
        worth = {
            term: count * math.log(1 + mean / overall[term]) * (1.5 if " " in term else 1.0)
            for term, count in counts.items()
            if count > 1 or " " not in term
        }
        chosen: list[str] = []
        used: set[str] = set()
        for term in sorted(worth, key=lambda t: (-worth[t], t)):
            if not used.intersection(term.split()):
                used.update(term.split())
                chosen.append(" ".join(spelling[root] for root in term.split()))
            if len(chosen) == 6:
                break
        found.append(chosen)
    return found


def _titles(phrases: Sequence[Sequence[str]]) -> list[str]:
    """A title for each part, made of its phrases; different ones."""
    titles: list[str] = []
    for number, chosen in enumerate(phrases, 1):
        candidates = [", ".join(chosen[:size]) for size in range(2, len(chosen) + 1)] or list(chosen)
        title = next((c for c in map(_capital, candidates) if c not in titles), f"Part {number}")
        titles.append(title)
    return titles


def _central(said: Sequence[Said], most: int) -> list[Said]:
    """The sentences that say best what all say, without repeating one another."""
    fit = [one for one in said if EXTRACT_WORDS[0] <= one.size <= EXTRACT_WORDS[1] and one.bag]
    fit = fit or [one for one in said if one.bag] or list(said)
    spread = Counter(root for one in fit for root in one.bag)
    fit = sorted(fit, key=lambda one: (-sum(spread[root] for root in one.bag), one.at_ms))[:COMPARED]
    rows = vectors([one.bag for one in fit])
    similar = rows @ rows.T
    ranks = rank(similar)
    worth = ranks / ranks.max()
    chosen: list[int] = []
    nearest = np.zeros(len(fit))
    while len(chosen) < min(most, len(fit)):
        left = 0.7 * worth - 0.3 * nearest
        left[chosen] = -np.inf
        chosen.append(int(np.argmax(left)))
        nearest = np.maximum(nearest, similar[chosen[-1]])
    return [fit[index] for index in chosen]


def _in_order(said: Iterable[Said]) -> list[str]:
    """As sentences, in the order they were said, each once."""
    return list(dict.fromkeys(_as_sentence(one.text) for one in sorted(said, key=lambda one: one.at_ms)))


def _task(said: Said) -> Task | None:
    """The task in a sentence, if somebody takes one on or gives one."""
    text = said.text.replace("’", "'")
    if (found := COMMITMENT.search(text)) is None:
        return None
    if said.size > TASK_WORDS:
        rest = text[found.start() :].split()
        text = " ".join(rest[:TASK_WORDS]) + (" …" if len(rest) > TASK_WORDS else "")
    return Task(text=_as_sentence(text), speaker=said.speaker, at_ms=said.at_ms)


def _capital(text: str) -> str:
    """With a capital first letter; the rest as it is."""
    return text[:1].upper() + text[1:]


def _as_sentence(text: str) -> str:
    """Speech that came without capitals and punctuation, written as a sentence."""
    if text == text.lower():
        text = re.sub(r"\bi(?=\b)(?!\.)", "I", text) if text.isascii() else text
    text = _capital(text)
    return text if text.endswith((".", "!", "?", "…", "。", "！", "？")) else text + "."
