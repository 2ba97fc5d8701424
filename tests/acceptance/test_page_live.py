"""The plain page beside a session that goes on: what has not changed is not read or made again, in a real browser."""

import pytest

from tests.media.synth import tone, wav

READY = """window.wait = async (is) => {
  for (let n = 0; n < 400 && !is(); n++) await new Promise((done) => setTimeout(done, 50));
  return Boolean(is());
};
window.lines = () => document.querySelectorAll("#transcript li");
window.rows = () => document.querySelectorAll("#sessions li");
window.asked = (what) => performance.getEntriesByType("resource").filter((one) => one.name.includes(what)).length;
performance.setResourceTimingBufferSize(10000);
wait(() => rows().length)"""
OPENED = """(async () => {
  rows()[0].querySelector("button").click();
  const is = await wait(() => lines().length === 600);
  lines()[0].isFirst = lines()[599].isLast = true;
  return is;
})()"""
ASKED = """[asked("transcript?limit=500"), asked("limit=500&cursor"), asked("/coverage")]"""
GROWN = """(async () => [await wait(() => lines().length === 601), lines()[0].isFirst, lines()[599].isLast])()"""
LISTED = """(async () => {
  document.getElementById("more").click();
  return wait(() => rows().length === 60);
})()"""
RENAMED = """wait(() => rows()[0].textContent.includes("renamed")).then((is) => [is, rows().length])"""
JOINED = """wait(() => rows()[0].textContent.includes("another")).then((is) => [is, rows().length])"""
GONE = """wait(() => document.getElementById("open").hidden)
  .then((is) => [is, document.getElementById("notice").textContent])"""

STILL = """wait(() => rows().length === 1).then(() => refresh())
  .then(() => document.getElementById("notice").textContent)"""
SAID = "The session that was open is no longer there."


def say(server, session_id, text, at_ms):
    entry = {"speaker": "Ana", "text": text, "start_ms": at_ms, "end_ms": at_ms + 1}
    server.post(f"/api/sessions/{session_id}/transcript", entry)


@pytest.mark.needs("chromium")
def test_of_a_session_that_goes_on_only_the_end_of_the_transcript_is_read(server, page):
    session_id = server.post("/api/sessions", {"title": "long"})["id"]
    track_id = server.post(f"/api/sessions/{session_id}/tracks", {"kind": "microphone"})["id"]
    server.post(f"/api/sessions/{session_id}/start")
    for n in range(600):
        say(server, session_id, f"sentence {n}", n)
    page.goto(str(server.http.base_url))
    assert page.evaluate(READY)
    assert page.evaluate(OPENED)
    before = page.evaluate(ASKED)
    say(server, session_id, "the last one", 600)
    path = f"/api/sessions/{session_id}/tracks/{track_id}/segments/0"
    server.http.put(path, content=wav(tone(48_000)), params={"start_ms": 0}).raise_for_status()
    assert page.evaluate(GROWN) == [True, True, True]
    transcripts, ends, coverages = (after - asked for asked, after in zip(before, page.evaluate(ASKED), strict=True))
    assert transcripts == ends > 0
    assert coverages == 0


@pytest.mark.needs("chromium")
def test_what_show_more_added_stays(server, page):
    made = [server.post("/api/sessions", {"title": f"session {n}"})["id"] for n in range(60)]
    page.goto(str(server.http.base_url))
    assert page.evaluate(READY)
    assert page.evaluate(LISTED)
    server.http.patch(f"/api/sessions/{made[-1]}", json={"title": "renamed"}).raise_for_status()
    assert page.evaluate(RENAMED) == [True, 60]
    server.post("/api/sessions", {"title": "another"})
    assert page.evaluate(JOINED) == [True, 61]


@pytest.mark.needs("chromium")
def test_an_open_session_that_is_deleted_is_closed_with_a_word(server, page):
    session_id = server.post("/api/sessions", {"title": "short-lived"})["id"]
    server.post("/api/sessions", {"title": "kept"})
    page.goto(str(server.http.base_url))
    assert page.evaluate(READY)
    page.evaluate(f"open('{session_id}')")
    server.http.delete(f"/api/sessions/{session_id}", params={"purge": "true"}).raise_for_status()
    assert page.evaluate(GONE) == [True, SAID]
    assert page.evaluate(STILL) == SAID
