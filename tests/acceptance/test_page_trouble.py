"""The plain page when something goes wrong or is too long, in a real browser."""

import json

import pytest

from tests.media.synth import encoded, tone, wav

READY = """window.wait = async (is) => {
  for (let n = 0; n < 400 && !is(); n++) await new Promise((done) => setTimeout(done, 50));
  return Boolean(is());
};
window.$$ = (selector) => [...document.querySelectorAll(selector)];
window.wav = (name) => new File([Uint8Array.from(%s)], name);
player.muted = true;
wait(() => $$("#notice:not([hidden]), #sessions li").length)"""
REFUSED = """(async () => {
  [new File(["this is no sound"], "first.txt"), wav("second.wav"), new File(["nor this"], "third.txt")].forEach(upload);
  const isDone = await wait(() => !$$("#uploads progress").length);
  const texts = (selector) => $$(selector).map((one) => one.textContent.split(":")[0]);
  return [isDone, texts("#uploads li"), texts("#sessions strong")];
})()"""
LOST = """(async () => {
  upload(wav("lost.wav"));
  const isSaid = await wait(() => $$("#uploads .failed").length && !$$("#notice[hidden]").length);
  return [isSaid, $$("#uploads li")[0].textContent.split(".")[1]];
})()"""
AGAIN = """(async () => {
  refresh();
  await wait(() => $$("#notice[hidden]").length);
  const isKept = Boolean($$("#uploads .failed").length);
  $$("#uploads button")[0].click();
  return [isKept, await wait(() => $$("#sessions strong")[0]?.textContent === "lost"), $$("#uploads li").length];
})()"""
PLAYING = """(async () => {
  $$("#sessions button")[0].click();
  await wait(() => player.duration > 290);
  player.play();
  return wait(() => player.currentTime > 0.3);
})()"""
STALLED = """(async () => {
  window.fatal = 0;
  hls.config.fragLoadPolicy.default.errorRetry.maxNumRetry = 0;  // else it gives up after half a minute
  hls.on("hlsError", (_, error) => (fatal += error.fatal));
  player.currentTime = 250;
  return wait(() => fatal);
})()"""
GOES_ON = "wait(() => player.currentTime > 250.3)"
HELD = """window.held = $$("#sessions button").at(-1), held.focus()"""
KEPT = """wait(() => $$("#sessions")[0].textContent.includes("renamed"))
  .then((is) => [is, $$("#sessions button").at(-1) === held, document.activeElement === held])"""
WIDTHS = """(async () => {
  $$("#sessions button")[0].click();
  await wait(() => $$("#title")[0].textContent);
  return [document.documentElement.scrollWidth <= innerWidth, $$("#sessions strong")[0].clientHeight];
})()"""
MARKED = """(async () => {
  $$("#sessions button")[0].click();
  await wait(() => entries.length === 3);
  const found = [];
  for (const at of [0.5, 2.5, 3.5, 4.5]) {
    Object.defineProperty(player, "currentTime", { value: at, configurable: true });
    player.dispatchEvent(new Event("timeupdate"));
    found.push($$("#transcript [aria-current=true]").map((button) => button.textContent.slice(-1)).join(""));
  }
  return found;
})()"""


def opened(server, page):
    page.goto(str(server.http.base_url))
    assert page.evaluate(READY % json.dumps(list(wav(tone(4_800)))))


def come_back(server):
    """Start the server anew where it was."""
    url = server.http.base_url
    server.start(url.port)
    assert server.http.base_url == url


@pytest.mark.needs("chromium")
def test_what_was_not_imported_stays_said_beside_what_was(server, page):
    opened(server, page)
    said = ["first.txt was not imported", "third.txt was not imported"]
    assert page.evaluate(REFUSED) == [True, said, ["second"]]


@pytest.mark.needs("chromium")
def test_an_import_that_a_lost_server_cut_is_not_forgotten_when_the_server_returns(server, page):
    opened(server, page)
    server.kill()
    assert page.evaluate(LOST) == [True, "wav was not imported: the connection was lost"]
    come_back(server)
    assert page.evaluate(AGAIN) == [True, True, 0]


@pytest.mark.needs("chromium")
def test_playing_goes_on_when_a_lost_server_returns(server, page):
    sound = encoded(tone(300 * 8_000, channels=1, rate_hz=8_000), container="flac", codec="flac", rate_hz=8_000)
    answer = server.http.post("/api/imports", params={"name": "long.flac"}, content=sound)
    server.finished(answer.raise_for_status().json()["id"])
    opened(server, page)
    assert page.evaluate(PLAYING)
    server.kill()
    assert page.evaluate(STALLED)
    come_back(server)
    assert page.evaluate(GOES_ON)


@pytest.mark.needs("chromium")
def test_a_session_in_the_list_is_the_same_button_after_others_changed(server, page):
    made = [server.post("/api/sessions", {"title": title})["id"] for title in ("first", "second")]
    opened(server, page)
    page.evaluate(HELD)
    server.http.patch(f"/api/sessions/{made[1]}", json={"title": "renamed"}).raise_for_status()
    assert page.evaluate(KEPT) == [True, True, True]


@pytest.mark.needs("chromium")
def test_a_long_title_without_a_space_stays_on_the_page(server, page):
    server.post("/api/sessions", {"title": "neverending" * 40})
    opened(server, page)
    fits, height = page.evaluate(WIDTHS)
    assert fits
    assert height < 60


@pytest.mark.needs("chromium")
def test_all_lines_that_are_spoken_now_are_marked_and_no_other(server, page):
    session_id = server.post("/api/sessions", {"title": "talk"})["id"]
    for text, start_ms, end_ms in [("a", 0, 4000), ("b", 2000, 3000), ("c", 3200, 5000)]:
        entry = {"speaker": "Ana", "text": text, "start_ms": start_ms, "end_ms": end_ms}
        server.post(f"/api/sessions/{session_id}/transcript", entry)
    opened(server, page)
    assert page.evaluate(MARKED) == ["a", "ab", "ac", "c"]
