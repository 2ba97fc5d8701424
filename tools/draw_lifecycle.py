"""Write the diagrams in `design/lifecycle.md` anew from the state tables: `python tools/draw_lifecycle.py`."""

import re
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
        pattern = rf"(<!-- {name} -->\n```mermaid\n).*?(```\n)"
        text, count = re.subn(pattern, lambda found, lines=lines: f"{found[1]}{lines}\n{found[2]}", text, flags=re.S)
        if count != 1:
            raise ValueError(f"the note has {count} places for the diagram of the {name}")
    return text


if __name__ == "__main__":
    NOTE.write_text(drawn(NOTE.read_text()))
