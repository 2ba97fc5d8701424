"""A session as a document: text, captions, JSON and notes. Each says what it was made by and what is missing.

Belongs here: how a document reads. Does not: which files there are (`files`), how captions are cut (`captions`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from longtake.enrichment.captions import plain, to_subrip, to_webvtt
from longtake.model.coverage import Cause, Coverage
from longtake.model.remarks import Marker, Written
from longtake.model.session import AUDIO_KINDS, Session
from longtake.model.timeline import ns_to_ms
from longtake.model.transcript import Entry, Outline

FORMAT = "longtake-session/1"

WHY = {
    Cause.MISSING: "never arrived",
    Cause.FAILED: "arrived, but could not be decoded",
    Cause.NOT_RECORDED: "was not recorded",
    Cause.TAIL: "the end never arrived",
    Cause.DELETED: "was deleted",
}

MOST_GAPS_LISTED = 20
"""Gaps of a track that are listed one by one."""

MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!])")
LIST_MARK = re.compile(r"^(?:([-+])|(\d+)([.)]))(?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a document is made of.

    `outline` is None while there is none, `written` where nobody wrote a summary; `coverage` has every audio track by
    its id.
    """

    session: Session
    entries: tuple[Entry, ...]
    outline: Outline | None
    coverage: Mapping[str, Coverage]
    written: Written | None = None
    markers: tuple[Marker, ...] = ()

    @property
    def duration_ms(self) -> int:
        """Length of what was recorded, on the session's media timeline."""
        return ns_to_ms(self.session.length_ns)

    @property
    def spoken(self) -> list[Entry]:
        """What people and agents said, in order."""
        said = [entry for entry in self.entries if entry.speaker != "SYSTEM" and entry.text.strip()]
        return sorted(said, key=lambda entry: (entry.start_ms, entry.end_ms, entry.id))

    @property
    def is_whole(self) -> bool:
        """Whether everything that should have been recorded is there and was processed."""
        return not self.session.counts.failed and all(one.is_whole for one in self.coverage.values())


def to_text(document: Document) -> str:
    """The transcript as plain text: a line for each entry."""
    head = [plain(document.session.title), f"{_started(document)}, {clock(document.duration_ms)}"]
    remarks = quality(document) + missing(document)
    lines = [f"[{clock(entry.start_ms)}] {plain(entry.speaker)}: {plain(entry.text)}" for entry in document.spoken]
    return "\n".join([*head, *([""] if remarks else []), *remarks, "", *lines, ""])


def to_srt(document: Document) -> str:
    """Captions as SubRip."""
    return to_subrip(document.spoken)


def to_vtt(document: Document) -> str:
    """Captions as WebVTT; its comments say what it was made by and what is missing."""
    return to_webvtt(document.spoken, quality(document) + missing(document))


def to_markdown(document: Document) -> str:
    """The notes: summary, chapters, tasks and topics, as Markdown."""
    blocks = [f"# {_md(document.session.title)}", f"{_started(document)} · {clock(document.duration_ms)}"]
    remarks = quality(document) + missing(document)
    if remarks:
        blocks.append("\n>\n".join(f"> {_md(remark)}" for remark in remarks))
    if document.written is not None:
        paragraphs = [_md(part) for part in document.written.text.split("\n") if part.strip()]
        blocks += ["## Summary", *paragraphs, f"*Written by {_md(document.written.author)}.*"]
    if document.markers:
        marked = [f"- {clock(one.at_ms)} {_md(one.label or 'Marked')} ({_md(one.author)})" for one in document.markers]
        blocks += ["## Markers", "\n".join(marked)]
    outline = document.outline
    if outline is None:
        return "\n\n".join([*blocks, "There is no outline yet.", ""])
    if outline.made_by == "outline":
        blocks.append("*An outline: the sentences are taken from what was said, by counting words.*")
    if outline.summary:
        title = "Summary" if document.written is None else "Extracts"
        blocks += [f"## {title}", "\n".join(f"- {_md(one)}" for one in outline.summary)]
    if outline.chapters:
        blocks.append("## Chapters")
        for chapter in outline.chapters:
            blocks += [f"### {clock(chapter.start_ms)} {_md(chapter.title)}", _md(chapter.summary)]
    if outline.tasks:
        tasks = [f"- [ ] {_md(t.text)} ({_md(t.speaker)}, {clock(t.at_ms)})" for t in outline.tasks]
        blocks += ["## Tasks", "\n".join(tasks)]
    if outline.topics:
        blocks += ["## Topics", ", ".join(_md(topic) for topic in outline.topics)]
    return "\n\n".join([*blocks, ""])


def to_json(document: Document) -> str:
    """All of it, for programs: entries with words, outline, engines, coverage."""
    session = document.session
    tracks = [
        {"id": track.id, "name": track.name, "kind": track.kind, **asdict(document.coverage[track.id])}
        for track in session.tracks
        if track.id in document.coverage
    ]
    whole = {
        "format": FORMAT,
        "session_id": session.id,
        "title": session.title,
        "description": session.description,
        "started_at": _iso(session.started_at_ms),
        "ended_at": _iso(session.ended_at_ms),
        "duration_ms": document.duration_ms,
        "tags": session.tags,
        "participants": [{"role": one.role, "name": one.name} for one in session.participants],
        "is_whole": document.is_whole,
        "remarks": quality(document) + missing(document),
        "failed_segments": session.counts.failed,
        "tracks": tracks,
        "engines": [
            {"engine": engine, "model": model, "is_draft": is_draft, "entries": count}
            for (engine, model, is_draft), count in _engines(document.entries).items()
        ],
        "entries": [_entry(entry) for entry in document.entries],
        "summary": None if document.written is None else _written(document.written),
        "markers": [
            {"at_ms": one.at_ms, "label": one.label, "author": one.author, "created_at": _iso(one.created_at_ms)}
            for one in document.markers
        ],
        "outline": None if document.outline is None else asdict(document.outline),
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def quality(document: Document) -> list[str]:
    """What must be known of how the text came to be."""
    engines = _engines(document.spoken)
    drafts = {key: count for key, count in engines.items() if key[2]}
    if drafts:
        names = ", ".join(f"{engine} ({model})" for engine, model, _ in drafts)
        part = "all" if sum(drafts.values()) == len(document.spoken) else f"{sum(drafts.values())}"
        remark = (
            f"Draft quality: {part} of {len(document.spoken)} entries were recognised by {names}, which gets many "
            "words wrong and knows English only. `longtake models install base` brings a better engine."
        )
        return [remark]
    tracks = [track for track in document.session.tracks if track.kind in AUDIO_KINDS]
    if tracks and all(track.speech_engine == "none" for track in tracks):
        return ["Speech was not transcribed: no engine was wanted."]
    return [] if document.spoken else ["No speech was recognised."]


def missing(document: Document) -> list[str]:
    """What should be there and is not, one remark for each track; empty when the document is whole."""
    remarks = []
    names = {track.id: track.name or track.kind.value for track in document.session.tracks}
    for track_id, coverage in document.coverage.items():
        if coverage.is_whole:
            continue
        gaps = [
            f"{clock(gap.start_ms)}–{clock(gap.end_ms)} ({WHY[gap.cause]})" for gap in coverage.gaps[:MOST_GAPS_LISTED]
        ]
        if len(coverage.gaps) > MOST_GAPS_LISTED:
            gaps.append(f"and {len(coverage.gaps) - MOST_GAPS_LISTED} more")
        if coverage.missing:
            gaps.append(f"{_count(len(coverage.missing), 'segment')} that never arrived")
        if coverage.damaged:
            gaps.append(f"what was damaged in {_count(len(coverage.damaged), 'segment')}")
        there = f"{clock(coverage.stored_ms)} of {clock(coverage.expected_ms)}"
        remarks.append(f"Not whole: of {names.get(track_id, track_id)}, {there} are there. Missing: {', '.join(gaps)}.")
    if failed := document.session.counts.failed:
        remarks.append(f"Not whole: {_count(failed, 'segment')} could not be processed; they are kept for a retry.")
    return remarks


def clock(ms: int) -> str:
    """Media time for people: `1:02:03`, `2:03`."""
    seconds = ms // 1000
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _engines(entries: Sequence[Entry]) -> Counter[tuple[str, str | None, bool]]:
    """How many entries each engine wrote; what people wrote or corrected is theirs."""
    return Counter((e.engine, e.model, e.is_draft) for e in entries if e.engine is not None and not e.corrected)


def _entry(entry: Entry) -> dict[str, object]:
    fields = asdict(entry)
    del fields["session_id"]
    fields["at"] = _iso(fields.pop("at_ms"))
    return fields


def _written(written: Written) -> dict[str, object]:
    return {"text": written.text, "author": written.author, "at": _iso(written.written_at_ms)}


def _iso(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _started(document: Document) -> str:
    session = document.session
    at_ms = session.started_at_ms or session.created_at_ms
    return f"{datetime.fromtimestamp(at_ms // 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _md(text: str) -> str:
    """Text that Markdown shows as it is."""
    escaped = MARKUP.sub(r"\\\1", plain(text)).replace("&", "&amp;")
    return LIST_MARK.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", escaped)
