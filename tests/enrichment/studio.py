"""A session whose lanes are run by hand, and an engine that says which sound it heard."""

import hashlib
import threading

import numpy as np

from longtake.enrichment.cost import Prices
from longtake.enrichment.lanes.media import MediaLane
from longtake.enrichment.lanes.speech import SpeechLane
from longtake.enrichment.lanes.timelines import Timelines
from longtake.enrichment.sources import Sources
from longtake.media.decoded import DecodedSegments
from longtake.model.errors import EngineError
from longtake.speech.engine import EngineInfo, Recognition
from longtake.speech.vad import FRAME
from tests.enrichment.recording import RATE_HZ, Recording, cut, tone, wait_for

SEGMENT_S = 2.0


class Ear:
    """An engine that says which sound it heard, and to which a test can do something while it listens."""

    def __init__(self):
        self.name = "ear"
        self.heard = 0
        self.is_deaf = False
        self.meanwhile = None

    def info(self, name):
        if name != self.name:
            raise EngineError(f"{name} is not here", code="engine_unavailable", retryable=False)
        return EngineInfo(name=self.name, model="1", is_draft=False, languages=("en",))

    def speech_probabilities(self, pcm):
        frames = pcm.astype(np.float32).reshape(-1, FRAME)
        return (np.abs(frames).mean(axis=1) > 300).astype(np.float32)

    def recognise(self, name, pcm, language=None):
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        self.heard += 1
        text = "" if self.is_deaf else hashlib.sha256(pcm.tobytes()).hexdigest()[:8]
        return Recognition(text=text, words=(), confidence=None)


class Studio:
    """A session whose lanes are run by hand."""

    def __init__(self, runtime, sandbox):
        self.ear = Ear()
        self.stopping = threading.Event()
        self._runtime = runtime
        self._sandbox = sandbox
        self.recording = Recording.begin(runtime)
        self.track = self.recording.tracks[0]
        self.restart()

    def restart(self, engine="ear"):
        """Forget what is only in memory."""
        store = self._runtime.store
        timelines = Timelines(store)
        pcm = DecodedSegments(self._sandbox, Sources(store))
        self.media = MediaLane(store, timelines, pcm, self.stopping)
        told_nothing = Prices({}), lambda _: None
        # an ear is no worker with a child process, but answers what the lane asks one
        self.speech = SpeechLane(store, timelines, pcm, self.ear, lambda: engine, self.stopping, *told_nothing)  # type: ignore[arg-type]

    def send(self, *indices):
        for index in indices:
            self.recording.send(index, BODIES[index])
        self.make()

    def send_body(self, index, body, start_ms):
        self.recording.send(index, body, start_ms=start_ms)
        self.make()

    def make(self):
        """Run the media lane until it rests, or waits for a segment."""
        while self.media.run(self.track) and not self.recording.session().tracks[0].media_settled:
            pass

    def hear(self):
        """Run the lanes until they rest."""

        def is_settled():
            self.speech.run(self.track)
            self.media.run(self.track)
            [track] = self.recording.session().tracks
            return track.speech_settled and track.media_settled

        wait_for(is_settled, self.recording.session)
        return self.recording.words()

    def end(self):
        self.recording.end()
        self.make()


def talk():
    """Half a minute of bursts and pauses, cut into segments without regard to them."""
    sound = tone(30.0, hz=300)
    silent = (np.arange(len(sound)) % (3 * RATE_HZ)) > 1.7 * RATE_HZ
    sound[silent] = 0
    return cut(sound, SEGMENT_S)


BODIES = talk()
ALL = range(len(BODIES))
