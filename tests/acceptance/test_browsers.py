"""Chromium and Firefox play and seek a three-hour session on the plain page."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import pytest

from tests.acceptance.chromium import chromium
from tests.acceptance.firefox import firefox
from tests.acceptance.server import serving

HOURS = 3
RATE_HZ = 8_000
BEEP_EVERY_S = 600
PLAYED = """(async () => {
  const player = document.getElementById("player"), wait = (ms) => new Promise((done) => setTimeout(done, ms));
  for (let n = 0; n < 600 && !document.querySelector("#sessions button"); n++) await wait(50);
  document.querySelector("#sessions button").click();
  for (let n = 0; n < 600 && !(player.duration > 0); n++) await wait(50);
  player.muted = true;
  const reached = [];
  for (const at of [0, 5405, 10750]) {
    player.currentTime = at;
    await player.play();
    for (let n = 0; n < 400 && !(player.currentTime > at + 0.5 && !player.seeking); n++) await wait(50);
    reached.push(player.currentTime - at);
  }
  player.pause();
  return { duration: player.duration, reached, error: player.error && player.error.message };
})()"""
"""Open the first session, play it from three places, and tell how far each went. Muted: a test machine has no sound
device, and Firefox pauses without one."""


class Page(Protocol):
    def evaluate(self, expression: str) -> Any: ...


def three_hours() -> bytes:
    """FLAC: silence with a beep every ten minutes."""
    beep = (np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ) * 8000).astype(np.int16)
    second = {True: beep, False: np.zeros(RATE_HZ, np.int16)}
    file = Path("long.flac")
    with av.open(str(file), "w", format="flac") as out:
        stream = out.add_stream("flac", rate=RATE_HZ, layout="mono")
        for n in range(HOURS * 3600):
            frame = av.AudioFrame.from_ndarray(second[n % BEEP_EVERY_S == 0][None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, n * RATE_HZ, Fraction(1, RATE_HZ)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.read_bytes()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browsers")
    with pytest.MonkeyPatch.context() as here, serving(folder / "data", engine="none") as server:
        here.chdir(folder)
        answer = server.http.post("/api/imports", params={"name": "long.flac"}, content=three_hours())
        ended = server.finished(answer.raise_for_status().json()["id"])
        assert ended["total_duration_ms"] == HOURS * 3600 * 1000
        yield str(server.http.base_url)


def assert_it_plays_anywhere(page: Page) -> None:
    played = page.evaluate(PLAYED)
    assert played["error"] is None
    assert played["duration"] == pytest.approx(HOURS * 3600, abs=0.05)
    assert all(0.5 < seconds < 10 for seconds in played["reached"]), played


@pytest.mark.needs("chromium")
def test_chromium_plays_and_seeks_three_hours(url, tmp_path):
    with chromium(tmp_path / "profile") as page:
        page.goto(url)
        assert_it_plays_anywhere(page)


@pytest.mark.needs("firefox-esr")
def test_firefox_plays_and_seeks_three_hours(url, tmp_path):
    with firefox(tmp_path / "profile") as page:
        page.goto(url)
        assert_it_plays_anywhere(page)
