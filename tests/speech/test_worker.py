"""The child that hears: it dies, and the next request is answered."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from longtake.model.errors import EngineError
from longtake.speech.engine import NOTHING
from longtake.speech.pocketsphinx import PocketsphinxEngine
from longtake.speech.silero import Silero
from longtake.speech.whisper import WhisperEngine
from longtake.speech.worker import SpeechWorker
from tests.speech.sounds import DATA, noise


def child_of(models_dir, process=None):
    """The child of the worker with this models folder, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in (process or psutil.Process()).children():
            if child.cmdline()[-2:-1] == [str(models_dir)]:
                return child
        time.sleep(0.01)
    raise AssertionError("the worker has no child")


@pytest.fixture
def own_worker(tmp_path):
    """A worker that a test may maltreat."""
    worker = SpeechWorker(tmp_path)
    yield worker
    worker.close()


def test_the_worker_hears_what_the_engine_hears(worker, jfk):
    pcm = jfk[2560:38400]

    assert worker.recognise("pocketsphinx", pcm) == PocketsphinxEngine().recognise(pcm)


def test_the_worker_rates_as_the_detector_does(worker, jfk):
    assert np.array_equal(worker.speech_probabilities(jfk), Silero()(jfk))
    assert worker.speech_probabilities(jfk[:100]).shape == (1,)


def test_a_model_that_is_there_is_used(worker, jfk):
    assert worker.recognise("whisper:tiny-whisper", jfk[2560:38400]).words


@pytest.mark.parametrize("engine", ["pocketsphinx", "whisper:tiny-whisper"])
@pytest.mark.parametrize(
    "pcm", [np.zeros(48_000, np.int16), np.ones(9, np.int16), noise(3, level=3), noise(3, level=3000)]
)
def test_no_engine_invents_words_where_nobody_speaks(worker, engine, pcm):
    assert worker.recognise(engine, pcm) == NOTHING


def test_without_the_worker_engines_do_invent_words():
    silence = np.zeros(48_000, np.int16)

    assert WhisperEngine(DATA / "tiny-whisper").recognise(silence).text
    assert PocketsphinxEngine().recognise(silence[:16_000]).text


@pytest.mark.parametrize(
    ("engine", "remedy"),
    [
        ("whisper:base", "run `longtake models install base`"),
        ("whisper:mine", "run `longtake models install /path/to/mine`"),
        ("sphinx", "choose one of: pocketsphinx, whisper:tiny, whisper:base, whisper:small, whisper:turbo"),
    ],
)
def test_an_engine_that_is_not_there_says_what_to_do(worker, jfk, engine, remedy):
    with pytest.raises(EngineError, match=remedy) as caught:
        worker.recognise(engine, jfk)
    with pytest.raises(EngineError, match=remedy):
        worker.info(engine)

    assert (caught.value.code, caught.value.is_retryable) == ("engine_unavailable", False)


def test_a_child_killed_over_an_utterance_is_a_clear_error_and_the_next_call_works(own_worker, tmp_path, jfk):
    own_worker.recognise("pocketsphinx", jfk[2560:38400])
    child = child_of(tmp_path)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(own_worker.recognise, "pocketsphinx", np.tile(jfk, 2))
        before = child.cpu_times().user
        while child.cpu_times().user < before + 0.1:  # it is at work
            time.sleep(0.01)
        child.kill()
        with pytest.raises(EngineError, match=r"died over an utterance \(by SIGKILL\)") as caught:
            answer.result()

    assert (caught.value.code, caught.value.is_retryable) == ("engine_failed", True)
    assert own_worker.recognise("pocketsphinx", jfk[2560:38400]).text
    assert child_of(tmp_path).pid != child.pid


def test_a_child_that_died_while_idle_is_replaced_unnoticed(own_worker, tmp_path, jfk):
    own_worker.speech_probabilities(jfk)
    child = child_of(tmp_path)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its last thread is gone, and its status still there

    assert own_worker.speech_probabilities(jfk).shape == (344,)


def test_a_child_that_gives_no_answer_is_ended(tmp_path, jfk):
    worker = SpeechWorker(tmp_path, patience_s=1.0)
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(worker.speech_probabilities, jfk[:1600])
            child = child_of(tmp_path)
            child.suspend()
            with pytest.raises(EngineError, match="gave no answer"):
                answer.result()
        assert not child.is_running()
    finally:
        worker.close()


def test_many_threads_share_one_child(own_worker, jfk):
    pieces = [jfk[n * 8000 : (n + 1) * 8000] for n in range(20)]
    detector = Silero()

    with ThreadPoolExecutor(20) as pool:
        rated = list(pool.map(own_worker.speech_probabilities, pieces))

    assert all(np.array_equal(values, detector(piece)) for values, piece in zip(rated, pieces, strict=True))


def test_the_child_outlives_the_thread_that_asked_first(own_worker, tmp_path, jfk):
    first = threading.Thread(target=own_worker.speech_probabilities, args=(jfk,))
    first.start()
    first.join()
    child = child_of(tmp_path)

    own_worker.speech_probabilities(jfk)

    assert child.is_running()


def test_closing_fails_what_is_under_way_and_leaves_no_process(tmp_path, jfk):
    worker = SpeechWorker(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(worker.recognise, "pocketsphinx", np.tile(jfk, 2)) for _ in range(4)]
        child = child_of(tmp_path)
        worker.close()
        for answer in answers:
            with pytest.raises(EngineError):
                answer.result()
    worker.close()

    assert not child.is_running()
    with pytest.raises(EngineError, match="closed"):
        worker.speech_probabilities(jfk)


def test_the_child_gives_way_to_everything_else(own_worker, tmp_path, jfk):
    own_worker.speech_probabilities(jfk)

    assert child_of(tmp_path).nice() >= 10


def test_the_child_dies_with_its_parent(tmp_path):
    program = (
        "import sys, time, numpy as np, pathlib\n"
        "from longtake.speech.worker import SpeechWorker\n"
        "worker = SpeechWorker(pathlib.Path(sys.argv[1]))\n"
        "worker.speech_probabilities(np.ones(512, np.int16))\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        child = child_of(tmp_path, psutil.Process(parent.pid))
        os.kill(parent.pid, signal.SIGKILL)

    psutil.wait_procs([child], timeout=10)

    assert not child.is_running()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_the_service_does_not_reach_the_child(own_worker, tmp_path, jfk, how):
    own_worker.speech_probabilities(jfk)
    child = child_of(tmp_path)

    child.send_signal(how)

    assert own_worker.speech_probabilities(jfk).shape == (344,)
    assert child.is_running()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_the_service_does_not_reach_a_child_that_has_just_begun(own_worker, tmp_path, jfk, how):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(own_worker.speech_probabilities, jfk)
        child = child_of(tmp_path)
        for _ in range(20):  # while the interpreter starts, and while it imports
            child.send_signal(how)
            time.sleep(0.02)

        assert answer.result().shape == (344,)
    assert child.is_running()


def test_detecting_speech_loads_no_recogniser(own_worker, tmp_path, jfk):
    own_worker.speech_probabilities(jfk)

    loaded = {mapped.path for mapped in child_of(tmp_path).memory_maps()}

    assert any("onnxruntime" in path for path in loaded)
    assert not any("ctranslate2" in path or "pocketsphinx" in path for path in loaded)
