"""Real speech, a real model small enough for the repository, and one worker for all tests of this room."""

from pathlib import Path

import pytest

from longtake.speech import models
from longtake.speech.worker import SpeechWorker
from tests.speech.sounds import DATA, load


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    models.install(str(DATA / "tiny-whisper"), folder, lambda there, total: None)
    return folder


@pytest.fixture(scope="session")
def worker(models_dir: Path):
    worker = SpeechWorker(models_dir)
    yield worker
    worker.close()


@pytest.fixture(scope="session")
def jfk():
    return load(DATA / "jfk.flac")
