"""The typed client against a real server."""

import hashlib
import select
import socket
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest

from longtake.client import Client, ServerError, Unreachable
from longtake.model.session import TrackKind
from longtake.wire.sessions import AnnouncedTrack, SessionRequest
from longtake.wire.tracks import TrackRequest
from tests.cli.program import served, until, write_tone


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with served(tmp_path_factory.mktemp("client") / "data", "--engine", "none") as url, Client(url) as client:
        yield client


@pytest.fixture
def tone(tmp_path):
    return write_tone(tmp_path / "tone.wav", seconds=1)


@pytest.fixture
def recording(client):
    """A session that is being recorded, and its track."""
    session = client.create_session(SessionRequest(title="Recording"))
    track = client.declare_track(session.id, TrackRequest(kind=TrackKind.MICROPHONE, name="Ana"))
    client.start(session.id)
    return session.id, track.id


def test_a_segment_is_durable_once_and_known_the_second_time(client, recording, tone):
    session_id, track_id = recording
    body = tone.read_bytes()
    first = client.put_segment(session_id, track_id, 0, body, start_ms=0, duration_ms=1000)
    again = client.put_segment(session_id, track_id, 0, body, start_ms=0, duration_ms=1000)
    assert first.sha256 == hashlib.sha256(body).hexdigest()
    assert again.segment_id == first.segment_id


def test_a_recording_is_deleted_by_and_by_and_its_room_given_back(client, tmp_path):
    session = client.import_file(write_tone(tmp_path / "like-no-other.wav", seconds=1.25))
    until(lambda: client.session(session.id).enrichment.status == "completed")
    [segment] = client.segments(session.id).items
    found = client.attachment(segment.id)
    assert (found.content_hash, found.ref_count) == (segment.sha256, 1)
    assert client.delete_audio(session.id).audio_deleted_at is not None
    client.delete(session.id)
    assert client.restore(session.id).trashed_at is None
    client.delete(session.id, purge=True)
    with pytest.raises(ServerError) as error:
        client.restore(session.id)
    assert error.value.code == "session_not_found"
    would = client.collect(timedelta(0), dry_run=True)
    assert client.collect(timedelta(0)).deleted == would.deleted >= 1
    assert client.collect(timedelta(hours=24)).deleted == 0


def test_other_bytes_under_an_index_are_refused_with_a_code(client, recording, tone):
    session_id, track_id = recording
    client.put_segment(session_id, track_id, 0, tone.read_bytes())
    with pytest.raises(ServerError) as error:
        client.put_segment(session_id, track_id, 0, tone.read_bytes() + b"\0\0")
    assert error.value.code == "segment_conflict"
    assert error.value.http_status == 409
    assert error.value.fields["index"] == 0


def test_a_session_is_recorded_ended_and_taken_away(client, recording, tone, tmp_path):
    session_id, track_id = recording
    for index in range(2):
        client.put_segment(session_id, track_id, index, tone.read_bytes(), start_ms=1000 * index, duration_ms=1000)
    client.pause(session_id)
    client.resume(session_id)
    ended = client.end(session_id, [AnnouncedTrack(track_id=track_id, segments=3, duration_ms=3000)])
    until(lambda: client.job(ended.enrichment.job_id).finished_at is not None)
    coverage = client.coverage(session_id).tracks[0]
    assert (coverage.expected_ms, coverage.stored_ms, coverage.missing) == (3000, 2000, [2])
    assert [segment.index for segment in client.segments(session_id).items] == [0, 1]
    assert client.transcript(session_id).items == []
    assert "recording" in [one.file_type for one in client.artifacts(session_id).items]
    assert client.download(session_id, "recording", tmp_path / "out.wav") == (tmp_path / "out.wav").stat().st_size
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        client.download(session_id, "recording", tmp_path / "folder")
    assert not list(tmp_path.glob("*.partial"))


def test_a_list_is_read_page_by_page(client):
    made = {client.create_session().id for _ in range(3)}
    first = client.sessions(limit=2)
    second = client.sessions(limit=2, cursor=first.next_cursor)
    assert made <= {session.id for session in (*first.items, *second.items)}


def test_a_file_is_streamed_and_its_way_told(client, tone):
    told = []
    session = client.import_file(tone, title="A tone", progress=lambda sent, size: told.append((sent, size)))
    size = tone.stat().st_size
    assert told[-1] == (size, size)
    assert session.state == "completed"


@pytest.mark.parametrize("title", ["Interview 12.05", "A/B test", "Ü" * 500])
def test_a_title_of_ones_own_is_kept_as_it_is(client, tone, title):
    session = client.import_file(tone, title=title)
    assert (session.title, session.tracks[0].name) == (title, "tone")


def test_what_is_refused_says_why(client, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ServerError) as error:
        client.import_file(tmp_path / "notes.txt")
    assert error.value.code == "unsupported_media"


def test_a_session_that_is_not_there_is_not_found(client):
    with pytest.raises(ServerError) as error:
        client.session("00000000-0000-4000-8000-000000000000")
    assert error.value.code == "session_not_found"


def test_a_file_that_is_not_there_leaves_nothing(client, recording, tmp_path):
    with pytest.raises(ServerError):
        client.download(recording[0], "film", tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::1", "ftp://127.0.0.1"])
def test_nobody_there_is_said(url):
    with pytest.raises(Unreachable) as error, Client(url) as client:
        client.sessions()
    assert error.value.code == "server_unreachable"


class Cutting:
    """Passes bytes on to a server and back, but ends the first connections before their answer."""

    def __init__(self, url: str, cuts: int) -> None:
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self._cuts = cuts
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with near, socket.create_connection(self._to) as far:
                self._pass_on(near, far, is_cut=self.connections <= self._cuts)

    def _pass_on(self, near, far, *, is_cut):
        while True:
            ready, _, _ = select.select([near, far], [], [])
            for one in ready:
                data = one.recv(1 << 16)
                if not data or (is_cut and one is far):
                    return
                (far if one is near else near).sendall(data)


def test_what_broke_before_its_answer_is_sent_again_and_done_once(client, tone):
    with Cutting(client.url, cuts=1) as way, Client(way.url) as through:
        made = through.create_session(SessionRequest(title="Only once"))
    assert way.connections == 2
    assert [one.id for one in client.sessions(q="only once").items] == [made.id]


def test_a_file_is_sent_again_as_a_whole_and_imported_once(client, tmp_path):
    file = write_tone(tmp_path / "broken twice.wav", seconds=40)
    told = []
    with Cutting(client.url, cuts=1) as way, Client(way.url) as through:
        session = through.import_file(file, progress=lambda sent, _size: told.append(sent))
    assert [one.id for one in client.sessions(q="broken twice").items] == [session.id]
    assert told.count(file.stat().st_size) == 2


def test_a_connection_that_breaks_again_is_said(client):
    with Cutting(client.url, cuts=2) as way, Client(way.url) as through, pytest.raises(Unreachable):
        through.sessions()
    assert way.connections == 2


def test_a_deletion_is_not_sent_again(client):
    session = client.create_session()
    with Cutting(client.url, cuts=1) as way, Client(way.url) as through, pytest.raises(Unreachable):
        through.delete(session.id)
    assert way.connections == 1


class Stranger(BaseHTTPRequestHandler):
    """Answers everything, in its own way."""

    def do_GET(self):
        self.send_response(200 if "sessions" in self.path else 500)
        self.end_headers()
        self.wfile.write(b"<p>hello</p>")

    def log_message(self, *words):
        """Silent."""


def test_another_program_is_not_taken_for_longtake():
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            with pytest.raises(Unreachable):
                client.sessions()
            with pytest.raises(ServerError) as error:
                client.job("1")
        server.shutdown()
    assert error.value.code == "server_error"


def test_a_marked_moment_stands_on_the_timeline_and_is_found(client):
    session = client.create_session(SessionRequest(title="Marked"))
    marker = client.mark(session.id, "the albatross returns", at_ms=1500)
    assert [(item.kind, item.start_ms) for item in client.timeline(session.id).items] == [("marker", 1500)]
    [hit] = client.search("albatross").items
    assert (hit.session_id, hit.id, hit.start_ms) == (session.id, marker.id, 1500)
