"""Make a two-person conversation whose truth is known exactly: what was said, by whom, when.

    python -m tools.make_conversation OUT --minutes 5 --seed 7

Each person has a track of their own (`mic`, `system`), cut into WAV segments as a recorder would send them. The voices
are those of flite (`apt-get install --no-install-recommends flite`). The same arguments and the same flite give the
same bytes. OUT then holds `truth.json`, `<track>/00000.wav` … and, with --mix, `mix.wav`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
TRACKS = ("mic", "system")
VOICES = ("rms", "kal16")
"""Voices of flite that the draft engine hears about equally well (word error rate 0.09; slt has 0.15)."""

# Plain dictionary words, numbers spelled as spoken: a word error rate needs no normalisation.
SLOTS = {
    "name": ["anna", "peter", "maria", "david", "laura", "michael", "sarah", "thomas"],
    "day": ["monday", "tuesday", "wednesday", "thursday", "friday"],
    "num": ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "thirty"],
    "doc": ["the report", "the contract", "the final plan", "the meeting notes", "the price list", "the letter"],
    "place": ["the kitchen", "the second floor", "the front door", "the parking lot", "the living room"],
}


@dataclass(frozen=True, slots=True)
class Topic:
    """What people say about one thing."""

    openings: list[str]
    statements: list[str]
    replies: list[str]


TOPICS = {
    "release plan": Topic(
        [
            "let us talk about the release plan for the new version",
            "the next point is the release of the new version",
        ],
        [
            "we still have {num} open problems in the test system",
            "the screen goes black when the battery is low",
            "the customers are waiting for the new version since {day}",
            "i think we should move the release to {day}",
            "the test team found a crash on older phones",
            "we can not ship this version before the crash is fixed",
        ],
        [
            "that sounds right to me",
            "how long will it take to fix the crash",
            "we could drop the dark screen from this version",
            "{name} knows that part of the program best",
        ],
    ),
    "hiring": Topic(
        ["now we come to the open positions in our team", "the second subject is hiring new people"],
        [
            "we talked to {num} people for the design position",
            "{name} has a lot of experience with large systems",
            "the salary is higher than we planned for this year",
            "the interview with {name} went very well",
            "we should make an offer before {day}",
        ],
        [
            "i liked the answers about team work",
            "did anybody call the last company",
            "i would invite {name} for a second interview",
            "we have money for {num} new people",
        ],
    ),
    "office move": Topic(
        ["let us look at the move to the new office", "the last point is the new office building"],
        [
            "the new desks arrive on {day}",
            "the rent in the old building ends in june",
            "there is still no door in the meeting room",
            "we need {num} more chairs for {place}",
            "the internet line is ready on {day}",
        ],
        [
            "who has the keys for the building",
            "the carpet in {place} looks very nice",
            "we should not pay for two buildings at the same time",
            "please do not forget the plants",
        ],
    ),
    "patient transport": Topic(
        ["this is the report for the patient transport", "we start with the call from this morning"],
        [
            "the patient is a man of sixty {num} years with chest pain",
            "he was found in {place} by his wife",
            "his blood pressure is one hundred forty over ninety",
            "we gave him {num} liters of oxygen on the way",
            "his skin was pale and cold when we arrived",
            "the pain started about {num} minutes before the call",
        ],
        [
            "is he awake and breathing normally",
            "does he take any medicine",
            "which hospital is ready for him",
            "we arrive at the hospital in {num} minutes",
        ],
    ),
    "money": Topic(
        ["we have to talk about the costs of last month", "the next subject is money"],
        [
            "we paid {num} thousand dollars more than in april",
            "most of the cost comes from old files",
            "the machines run all night without any work",
            "we keep every file {num} times",
            "the bill came on {day} and nobody could explain it",
        ],
        [
            "can we delete the old copies",
            "that is clearly too much",
            "we need a warning before the next bill",
            "how much would we save every month",
        ],
    ),
}
TASKS = [
    "i will send {doc} to {name} before {day}",
    "i will call {name} on {day}",
    "please write {doc} and send it to {name}",
    "i will check {doc} this afternoon",
    "please ask {name} to look at {doc}",
]
CLOSINGS = ["okay that is all for this point", "good then we are done with this subject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One thing that one person says; `start` and `end` are samples, once it has its place."""

    chapter: int
    topic: str
    person: int
    text: str
    is_task: bool
    stretch: float
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Two tracks of one length, and what is said on them."""

    turns: list[Turn]
    tracks: list[NDArray[np.float32]]

    def said_by(self, person: int) -> str:
        """All that a person says, in order."""
        return " ".join(turn.text for turn in self.turns if turn.person == person)


def dialogue(dice: random.Random) -> Iterator[Turn]:
    """Two people who go through the topics, again and again."""
    chapter = 0
    while True:
        for name in dice.sample(list(TOPICS), len(TOPICS)):
            person = dice.randrange(2)
            topic = TOPICS[name]
            statements = dice.sample(topic.statements, len(topic.statements))
            replies = dice.sample(topic.replies, len(topic.replies))
            lines = [(person, dice.choice(topic.openings), False)]
            for number, statement in enumerate(statements):
                lines.append((person, statement, False))
                person = 1 - person
                if number < len(replies):
                    lines.append((person, replies[number], False))
                if dice.random() < 0.35:
                    lines.append((person, dice.choice(TASKS), True))
            lines.append((1 - person, dice.choice(CLOSINGS), False))
            for who, text, is_task in lines:
                said = re.sub(r"\{(\w+)\}", lambda slot: dice.choice(SLOTS[slot[1]]), text)
                stretch = round(dice.uniform(0.95, 1.15), 3)
                yield Turn(chapter=chapter, topic=name, person=who, text=said, is_task=is_task, stretch=stretch)
            chapter += 1


def speak(voice: str, text: str, stretch: float = 1.0) -> NDArray[np.float32]:
    """Text spoken by a voice of flite, at 16 kHz, cut to what is audible, peaking at 0.3.

    Raises:
        FileNotFoundError: flite is not installed.
    """
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}", "-t", text, "-o", file.name]
        subprocess.run(command, check=True, capture_output=True)
        with wave.open(file.name) as sound:
            assert sound.getframerate() == RATE_HZ, f"the voice {voice} speaks at {sound.getframerate()} Hz"
            samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    pcm: NDArray[np.float32] = samples.astype(np.float32) / np.float32(32768)
    peak = float(np.abs(pcm).max())
    audible = np.flatnonzero(np.abs(pcm) > 0.01 * peak)
    pcm = (pcm[audible[0] : audible[-1] + 1] * (0.3 / peak)).astype(np.float32)
    ramp = np.linspace(0, 1, RATE_HZ // 200, dtype=np.float32)
    pcm[: ramp.size] *= ramp
    pcm[-ramp.size :] *= ramp[::-1]
    return pcm


def converse(
    *,
    minutes: float,
    seed: int,
    voices: tuple[str, str] = VOICES,
    overlap: float = 0.1,
    pause_chance: float = 0.04,
    pause_s: tuple[float, float] = (4.0, 20.0),
) -> Conversation:
    """Let two people talk.

    Args:
        minutes: Length of both tracks; a turn that would not end in time is left out.
        seed: Decides everything that is left to chance.
        voices: A voice of flite for each person.
        overlap: Chance that one starts before the other has finished.
        pause_chance: Chance of a long pause between two turns.
        pause_s: Shortest and longest such pause.
    """
    dice = random.Random(seed)
    size = round(minutes * 60 * RATE_HZ)
    turns: list[Turn] = []
    expected_s = 0.0
    for turn in dialogue(dice):
        turns.append(turn)
        expected_s += 0.28 * len(turn.text.split()) + 0.4
        if expected_s > minutes * 60 * 1.3 + 20:
            break
    with ThreadPoolExecutor() as pool:
        sounds = list(pool.map(lambda turn: speak(voices[turn.person], turn.text, turn.stretch), turns))

    placed: list[Turn] = []
    tracks = [np.zeros(size, np.float32) for _ in TRACKS]
    at_s = dice.uniform(0.4, 1.0)
    free_s = [0.0, 0.0]
    for turn, sound in zip(turns, sounds, strict=True):
        if placed:
            if dice.random() < pause_chance:
                at_s += dice.uniform(*pause_s)
            elif turn.person != placed[-1].person and dice.random() < overlap:
                at_s -= dice.uniform(0.2, 0.7)
            else:
                at_s += dice.uniform(0.25, 1.0)
        at_s = max(at_s, free_s[turn.person] + 0.15)
        start = round(at_s * RATE_HZ)
        end = start + sound.size
        if end > size:
            break
        tracks[turn.person][start:end] += sound
        placed.append(replace(turn, start=start, end=end))
        free_s[turn.person] = at_s = end / RATE_HZ
    return Conversation(turns=placed, tracks=tracks)


def spoil(
    conversation: Conversation, *, seed: int, snr_db: float | None = None, bleed_db: float | None = None
) -> Conversation:
    """The same conversation with white noise so far below the speech, or the second track heard in the first."""
    clean = conversation.tracks
    tracks = [track.copy() for track in clean]
    if bleed_db is not None:
        delay = round(0.03 * RATE_HZ)
        tracks[0][delay:] += clean[1][:-delay] * np.float32(10 ** (bleed_db / 20))
    if snr_db is not None:
        noise = np.random.default_rng(seed)
        for number, track in enumerate(clean):
            speech = track[np.abs(track) > 1e-4]
            level = float(np.sqrt(np.mean(np.square(speech)))) / 10 ** (snr_db / 20) if speech.size else 0.003
            tracks[number] += noise.normal(0, level, track.size).astype(np.float32)
    return Conversation(turns=conversation.turns, tracks=tracks)


def to_pcm(track: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in [-1, 1] as signed 16-bit."""
    return (np.clip(track, -1, 1) * 32767).astype(np.int16)


def write_wav(path: Path, pcm: NDArray[np.int16]) -> None:
    """One mono WAV file at 16 kHz."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        sound.writeframes(pcm.tobytes())


def write(conversation: Conversation, out: Path, *, segment_s: float, with_mix: bool) -> dict[str, object]:
    """Write the segments of both tracks and `truth.json`, which is returned, too. Times there are seconds."""
    segments = []
    step = round(segment_s * RATE_HZ)
    for name, track in zip(TRACKS, conversation.tracks, strict=True):
        (out / name).mkdir(parents=True, exist_ok=True)
        for index, start in enumerate(range(0, track.size, step)):
            pcm = to_pcm(track[start : start + step])
            path = out / name / f"{index:05d}.wav"
            write_wav(path, pcm)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            place = {"start": start / RATE_HZ, "end": (start + pcm.size) / RATE_HZ}
            segments.append({"track": name, "index": index, "file": f"{name}/{path.name}", "sha256": digest, **place})
    if with_mix:
        write_wav(out / "mix.wav", to_pcm(conversation.tracks[0] + conversation.tracks[1]))
    turns = [
        {**asdict(turn), "track": TRACKS[turn.person], "start": turn.start / RATE_HZ, "end": turn.end / RATE_HZ}
        for turn in conversation.turns
    ]
    truth = {"duration": conversation.tracks[0].size / RATE_HZ, "turns": turns, "segments": segments}
    (out / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    return truth


def main() -> None:
    parser = argparse.ArgumentParser(prog="make_conversation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--segment-seconds", type=float, default=15)
    parser.add_argument("--overlap", type=float, default=0.1, help="chance that a turn overlaps the one before")
    parser.add_argument("--pause-chance", type=float, default=0.04, help="chance of a pause of 4 to 20 seconds")
    parser.add_argument("--snr", type=float, help="white noise this many dB below the speech")
    parser.add_argument("--bleed", type=float, help="the second track heard in the first at this gain in dB")
    parser.add_argument("--mix", action="store_true", help="also mix.wav")
    options = parser.parse_args()
    talk = converse(
        minutes=options.minutes, seed=options.seed, overlap=options.overlap, pause_chance=options.pause_chance
    )
    talk = spoil(talk, seed=options.seed, snr_db=options.snr, bleed_db=options.bleed)
    write(talk, options.out, segment_s=options.segment_seconds, with_mix=options.mix)
    chapters = talk.turns[-1].chapter + 1 if talk.turns else 0
    print(f"{len(talk.turns)} turns, {chapters} chapters -> {options.out}/truth.json")


if __name__ == "__main__":
    main()
