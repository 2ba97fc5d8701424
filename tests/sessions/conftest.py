"""A store without anything that works on it."""

import pytest

from longtake.model.session import TrackKind
from longtake.sessions.manager import NewSession, NewTrack
from tests.enrichment.recording import Recording, running
from tests.sessions.watched import Stopped, World


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    with running(tmp_path_factory.mktemp("sessions"), with_engine=False) as runtime:
        yield runtime


@pytest.fixture
def recording(runtime):
    """A session with a microphone that has not begun."""
    session = runtime.sessions.create(NewSession(title="a test"))
    recording = Recording(runtime, session.id)
    recording.tracks.append(runtime.sessions.declare_track(session.id, NewTrack(kind=TrackKind.MICROPHONE)).id)
    return recording


@pytest.fixture
def world(tmp_path):
    """A store of its own, whose time passes when a test says so."""
    clock = Stopped()
    with running(tmp_path / "data", clock=clock, with_engine=False) as runtime:
        yield World(runtime, clock)
