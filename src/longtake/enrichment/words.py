"""Words that carry meaning: what an outline counts, compares and puts into titles.

Belongs here: words of a text. Does not: chapters (`segmentation`), extracts and tasks (`text`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")

EMPTY = """
subject subjects look looks topic topics question questions idea ideas okay
a about above actually after again against ago all almost along already also although always am an and another any
anybody anyone anything anyway are aren't around as ask asked at away back basically be because been before being
below best better between big bit both but by bye call came can can't cannot come comes coming could couldn't course
did didn't different do does doesn't doing don't done down each either else end enough even ever every everybody
everyone everything exactly far feel few find fine first for found from get gets getting give gave go goes going gone
gonna good got gotta great guess guys had hadn't happen happens has hasn't have haven't having he he'd he'll he's
hello hey hi him himself her here hers herself his hmm how however i i'd i'll i'm i've if in inside instead into is
isn't it it'd it'll it's its itself just keep kind knew know known knows last later least left less let let's like
likely little long longer look looked looking lot lots made make makes making many maybe me mean means might mine more
most much must my myself need needs never new next nice no nobody none nope nor not nothing now of off oh ok okay old
on once one ones only onto or other others ought our ours ourselves out over own part people perhaps please point
probably put quite rather really right said same saw say saying says second see seem seems seen set shall she she'd
she'll she's should shouldn't since so some somebody somehow someone something sometimes soon sorry sort still stuff
such sure take taken takes talk talked talking tell than thank thanks that that's the their theirs them themselves
then there there's these they they'd they'll they're they've thing things think this those though thought three
through till time times to today together told tomorrow too took toward tried try trying two uh uhm um under until up
upon us use used using usually very want wanted wants was wasn't way we we'd we'll we're we've welcome well went were
weren't what what's when where whether which while who whole whom whose why will with within without won't would
wouldn't yeah year years yep yes yesterday yet you you'd you'll you're you've your yours yourself four five six seven
eight nine ten eleven twelve twenty thirty forty fifty sixty hundred thousand million monday tuesday wednesday
thursday friday saturday sunday morning afternoon evening night day days week weeks month months minute minutes hour
hours ready
aber alle als auch auf aus bei bin bis bist da dann das dass dein dem den der des dich die dir doch du ein eine einem
einen einer eines er es euch für ganz gar gibt hab habe haben hat hatte hier ich ihm ihn ihr im ist ja jetzt kann kein
keine mal man mehr mein mich mir mit muss nach nein nicht noch nur ob oder schon sehr sein sich sie sind über und uns
vom von vor war weil wenn wer werden wie wieder wir wird wo wurde zu zum zur
ai alors au aussi aux avec avez avons bien c'est ce ces cette comme d'un d'une dans de donc elle en est et être fait
il ils j'ai je la le les leur lui mais même moi mon ne nos notre nous ont ou où par pas peut plus pour qu'il qu'on que
qui sa sans se ses si son sont sur ta te tout tous très tu un une vos votre vous y
al así bueno como con cuando cuál del desde donde el ella ellos entre era esa ese eso esta este esto está están fue
hay las lo los más mi muy nada ni o para pero por porque pues qué ser sí sin sobre su sus también tengo tiene todo una
uno ya yo ao com dos e ela ele eu foi isso isto mas meu muito na nas não os pela pelo quando quem são sem seu sua
também tem uma você vocês che chi ci cosa cui dei della delle di è gli ha hai hanno ho io lei loro ma molto nel nella
noi non nostro perché per più poi quello questa questo sei sia siamo sono sta suo tutto voi
"""
"""Words that say nothing of what a talk is about: spoken English, German, French, Spanish, Portuguese, Italian."""

STOP = frozenset(EMPTY.split())

VOCABULARY = 1_500
"""Words that vectors have room for: the most widespread ones."""


def sentences(text: str) -> list[str]:
    """The sentences of a text; all of it where it has no punctuation."""
    return [part for part in (piece.strip() for piece in SENTENCE_END.split(text)) if part]


def stem(word: str) -> str:
    """A word without its plural."""
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def words(text: str) -> list[str]:
    """All words, in lower case, in order."""
    return WORD.findall(text.lower().replace("’", "'"))


def tells(word: str) -> bool:
    """Whether a word says something of what the talk is about."""
    return word not in STOP and (len(word) > 2 or not word.isascii())


def total(bags: Iterable[Counter[str]]) -> Counter[str]:
    """All bags in one."""
    made: Counter[str] = Counter()
    for bag in bags:
        made.update(bag)
    return made


def vectors(bags: Sequence[Counter[str]]) -> NDArray[np.float64]:
    """TF-IDF vectors of bags of words.

    Returns:
        (len(bags), ≤ VOCABULARY) of length 1; zero where a bag has no word that another has, too.
    """
    spread = Counter(word for bag in bags for word in bag)
    shared = [word for word, count in spread.items() if count > 1]
    known = sorted(shared, key=lambda word: (-spread[word], word))[:VOCABULARY]
    place = {word: column for column, word in enumerate(known)}
    made = np.zeros((len(bags), max(len(known), 1)))
    for row, bag in enumerate(bags):
        for word, count in bag.items():
            if (column := place.get(word)) is not None:
                made[row, column] = (1 + math.log(count)) * math.log(1 + len(bags) / spread[word])
    return of_length_1(made)


def of_length_1(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows scaled to length 1; zero stays zero."""
    scaled: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


def rank(similar: NDArray[np.float64]) -> NDArray[np.float64]:
    """How central each text is among others: LexRank without a threshold.

    Args:
        similar: (n, n) cosines, not negative.

    Returns:
        (n,) ranks that sum to 1.

    Source: Erkan and Radev, LexRank, JAIR 22 (2004), §3.3.
    """
    size = len(similar)
    links = similar - np.diag(np.diag(similar))
    links = links / np.maximum(links.sum(axis=1, keepdims=True), 1e-12)
    ranks = np.full(size, 1 / size)
    for _ in range(30):
        ranks = 0.15 / size + 0.85 * ranks @ links
        ranks = ranks / ranks.sum()
    return ranks
