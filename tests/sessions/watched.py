"""A runtime whose time passes when a test says so, with the watch looking every few seconds of it."""

from dataclasses import dataclass

from longtake.model.lifecycle import SessionState, TrackHealth
from longtake.runtime import Runtime
from tests.enrichment.recording import Recording

TICK_MS = 5000
EPOCH_MS = 1_790_000_000_000


@dataclass
class Stopped:
    """A clock that stands still."""

    ms: int = EPOCH_MS

    def __call__(self) -> int:
        return self.ms


@dataclass
class World:
    """The runtime and its clock; signs of life are given while time passes."""

    runtime: Runtime
    clock: Stopped

    def passes(self, seconds: float) -> None:
        """Time passes, and the watch looks every 5 s of it, and at its end."""
        until = self.clock.ms + round(seconds * 1000)
        while self.clock.ms < until:
            self.clock.ms = min(until, self.clock.ms + TICK_MS)
            self.runtime.watch.look()

    def state(self, recording: Recording) -> SessionState:
        """Of a session."""
        return recording.session().state

    def health(self, recording: Recording, track: int = 0) -> TrackHealth:
        """Of a track."""
        return self.runtime.sessions.track(recording.id, recording.tracks[track]).health
