"""The door: hosts, other sites' pages, headers, and one question for every route."""

import anyio
import httpx
import pytest
from starlette.routing import Route

from longtake.access import Action
from longtake.server.app import create_app
from longtake.server.problems import ProblemResponse
from longtake.server.routes import flat
from longtake.server.security import PUBLIC, Allow, Guarded, without_port
from tests.server.conftest import serving


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2", "", "127.0.0.1@evil.example"])
def test_a_foreign_host_is_refused(idle, host):
    for path in ("/", "/api/sessions", "/healthz", "/static/page.js"):
        answer = idle.client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_every_name_of_loopback_is_answered(idle, host):
    assert idle.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("bound", "host"), [("127.0.0.2", "127.0.0.2:8000"), ("0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]")])
def test_the_host_that_is_listened_on_is_answered(tmp_path, bound, host):
    with serving(tmp_path / "data", with_engine=False, host=bound) as served:
        assert served.client.get("/", headers={"Host": host}).status_code == 200
        assert served.client.get("/", headers={"Host": "127.0.0.3"}).status_code == 421


def test_the_port_is_no_part_of_a_name():
    assert [without_port(host) for host in ("a", "a:1", "[::1]", "[::1]:1")] == ["a", "a", "[::1]", "[::1]"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[::1"},
    ],
)
def test_another_sites_page_changes_nothing(idle, headers):
    before = idle.client.get("/api/stats").json()["sessions"]["total"]
    answer = idle.client.post("/api/sessions", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert idle.client.get("/api/stats").json()["sessions"]["total"] == before


def test_our_own_page_may_change_things(idle):
    base = idle.client.base_url
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{base.host}:{base.port}"}
    assert idle.client.post("/api/sessions", json={}, headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/", "/api/sessions", "/api/sessions/nobody", "/nowhere"])
def test_every_answer_has_the_headers_that_browsers_obey(idle, path):
    headers = idle.client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_no_route_misses_the_question_who_may(idle):
    app = create_app(idle.runtime)
    unasked = set()
    for route in flat(app.routes):
        endpoint = getattr(route, "endpoint", None)
        dependant = getattr(route, "dependant", None)
        asked = isinstance(endpoint, Guarded) or (
            dependant is not None and any(isinstance(one.call, Allow) for one in dependant.dependencies)
        )
        if not asked:
            unasked.add(getattr(route, "path", str(route)))
    assert unasked == PUBLIC


def test_routes_that_change_things_do_not_ask_for_less_than_that(idle):
    app = create_app(idle.runtime)
    for route in flat(app.routes):
        assert isinstance(route, Route) or hasattr(route, "dependant")
        endpoint = getattr(route, "endpoint", None)
        dependant = getattr(route, "dependant", None)
        asks = [one.call.action for one in dependant.dependencies if isinstance(one.call, Allow)] if dependant else []
        if isinstance(endpoint, Guarded):
            asks = [endpoint.allow.action]
        if asks and getattr(route, "methods", set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            assert Action.READ not in asks, getattr(route, "path", "")


def test_what_nobody_foresaw_is_said_without_telling_what(idle):
    app = create_app(idle.runtime)

    @app.get("/broken")
    def broken():
        return 1 / 0

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get("/broken")

    answer = anyio.run(ask)
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "division" not in answer.text


def test_an_errors_own_fields_never_hide_the_common_ones():
    assert b'"status": 404' in ProblemResponse(status=404, code="x", detail="y", title="mine").body


def test_the_page_and_its_parts_are_served_and_nothing_else(idle):
    page = idle.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for name in ("page.js", "page.css", "hls.light.min.js"):
        assert f"/static/{name}" in page.text or name.startswith("hls")
        assert idle.client.get(f"/static/{name}").status_code == 200
    etag = page.headers["etag"]
    assert idle.client.get("/", headers={"If-None-Match": etag}).status_code == 304
    assert idle.client.get("/static/..%2fapp.py").status_code == 404
    assert idle.client.get("/static/page.html").status_code == 404
