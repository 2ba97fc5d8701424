"""Write the diagrams in `design/lifecycle.md` anew from the state tables: `python tools/draw_lifecycle.py`."""

from pathlib import Path

from longtake.model.lifecycle import JOB, SESSION, TRACK, JobState, SessionState, TrackState, diagram

NOTE = Path(__file__).resolve().parent.parent / "design" / "lifecycle.md"

DIAGRAMS = {
    "session": diagram(SESSION, [SessionState.IDLE, SessionState.WAITING]),
    "track": diagram(TRACK, [TrackState.IDLE, TrackState.ACTIVE]),
    "job": diagram(JOB, [JobState.PENDING]),
}


def drawn(text: str) -> str:
    """The note with every diagram as the tables say."""
    for name, lines in DIAGRAMS.items():
        before, after = f"<!-- {name} -->\n```mermaid\n", "```\n"
        if text.count(before) != 1:
            raise ValueError(f"the note has {text.count(before)} places for the diagram of the {name}")
        head, rest = text.split(before)
        text = head + before + lines + "\n" + rest[rest.index(after) :]
    return text


if __name__ == "__main__":
    NOTE.write_text(drawn(NOTE.read_text()))
