"""Which permissions the chosen sources need, and which of them a recorder does not have."""

from __future__ import annotations

from collections.abc import Iterable

from longtake.model.lifecycle import Permission, TrackState
from longtake.model.session import Track, TrackKind

SCREEN = frozenset({"screen", "screen_recording", "display-capture"})

NEEDED = {
    TrackKind.MICROPHONE: frozenset({"microphone"}),
    TrackKind.SYSTEM: frozenset({"system", "system_audio", "display-capture"}),
    TrackKind.CAMERA: frozenset({"camera"}),
    TrackKind.SCREEN: SCREEN,
    TrackKind.WINDOW: SCREEN | {"window"},
    TrackKind.SCREENSHOTS: SCREEN | {"screenshots"},
    TrackKind.UPLOAD: frozenset[str](),
    TrackKind.MIX: frozenset[str](),
}
"""What a source needs, by the names that systems and browsers have for it; a recorder reports those that it knows."""


def lacking(tracks: Iterable[Track], word: Permission) -> list[str]:
    """The permissions that the sources of these tracks need and of which their recorders say this word, in order."""
    names = {
        name
        for track in tracks
        if track.state is not TrackState.STOPPED and track.permissions is not None
        for name, said in track.permissions.items()
        if said is word and name in NEEDED[track.kind]
    }
    return sorted(names)
