"""The plain page finds sessions by what is typed, in a real browser."""

import json

import pytest

from tests.acceptance.chromium import chromium
from tests.acceptance.server import serving

TYPED = """(async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms)), q = document.getElementById("q");
  const titles = () => [...document.querySelectorAll("#sessions strong")].map((one) => one.textContent).join();
  const notice = document.getElementById("notice");
  const found = [];
  for (const [typed, expected, said] of %s) {
    q.value = typed;
    q.dispatchEvent(new Event("input"));
    for (let n = 0; n < 200 && (titles() !== expected || !notice.textContent.includes(said)); n++) await wait(50);
    found.push([typed, titles(), notice.textContent.includes(said)]);
  }
  return found;
})()"""


STEPS = [
    ["", "second,first", ""],
    ["FIR*", "first", ""],
    ["nothing", "", "Nothing is found"],
    ["-x", "", "name at least one word"],
    ["", "second,first", ""],
]
"""What is typed, the titles that are listed then, and what is said."""


@pytest.mark.needs("chromium")
def test_what_is_typed_narrows_the_list(tmp_path):
    with serving(tmp_path / "data", engine="none") as server, chromium(tmp_path / "profile") as page:
        for title in ("first", "second"):
            server.http.post("/api/sessions", json={"title": title}).raise_for_status()
        page.goto(str(server.http.base_url))
        assert page.evaluate(TYPED % json.dumps(STEPS)) == [[typed, titles, True] for typed, titles, _ in STEPS]
