"""Playing and downloading: whole or not at all, by range, with tags that tell when something changed."""

import io
import re
import socket
import wave
from contextlib import ExitStack

import av
import pytest

from tests.server.conftest import tone, wait_for


@pytest.fixture(scope="module")
def recorded(served):
    """A session of 24 s in three segments."""
    return served.recorded(tone(8), tone(8, hz=550), tone(8, hz=660))


def media(served, session_id, what="audio"):
    return f"/api/sessions/{session_id}/media/{what}"


def settled(answer):
    return None if answer.status_code == 409 else answer


def samples_of(data):
    with av.open(io.BytesIO(data), "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def frames_of(data):
    with wave.open(io.BytesIO(data)) as found:
        return found.readframes(10**6)


def test_the_file_has_the_exact_length(served, recorded):
    answer = served.client.get(media(served, recorded))
    assert answer.headers["content-type"] == "audio/mp4"
    with av.open(io.BytesIO(answer.content)) as container:
        assert container.streams.audio[0].duration == 24 * 48_000


def test_the_same_recording_plays_by_hls(served, recorded):
    playlist = served.client.get(media(served, recorded, "audio.m3u8"))
    lines = playlist.text.splitlines()
    uris = [line for line in lines if not line.startswith("#")]
    [init] = re.findall(r'URI="([^"]+)"', playlist.text)
    parts = [served.client.get(media(served, recorded, uri)) for uri in [init, *uris]]
    assert playlist.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in lines
    assert lines[-1] == "#EXT-X-ENDLIST"
    assert len(uris) == 3
    assert all(part.status_code == 200 for part in parts)
    assert samples_of(b"".join(part.content for part in parts)) == pytest.approx(24 * 48_000, abs=2048)


def test_any_range_is_that_part_of_the_whole(served, recorded):
    whole = served.client.get(media(served, recorded)).content
    for start, end in [(0, 1), (10, 500), (1000, 150_000), (len(whole) - 7, len(whole))]:
        part = served.client.get(media(served, recorded), headers={"Range": f"bytes={start}-{end - 1}"})
        assert part.status_code == 206
        assert part.content == whole[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    assert served.client.get(media(served, recorded), headers={"Range": "bytes=-9"}).content == whole[-9:]
    assert served.client.get(media(served, recorded), headers={"Range": "bytes=100-"}).content == whole[100:]


@pytest.mark.parametrize("value", ["bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,4-5", f"bytes={'9' * 5000}-"])
def test_a_range_that_is_none_gets_everything(served, recorded, value):
    assert served.client.get(media(served, recorded), headers={"Range": value}).status_code == 200


@pytest.mark.parametrize("value", ["bytes=99999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(served, recorded, value):
    size = len(served.client.get(media(served, recorded)).content)
    answer = served.client.get(media(served, recorded), headers={"Range": value})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{size}"


def test_what_the_client_has_is_not_sent_again(served, recorded):
    etag = served.client.get(media(served, recorded)).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        assert served.client.get(media(served, recorded), headers={"If-None-Match": known}).status_code == 304
    assert served.client.get(media(served, recorded), headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_download_that_goes_on_with_other_bytes_is_stopped(served, recorded):
    url = media(served, recorded)
    etag = served.client.get(url).headers["etag"]
    for same in (etag, "*", f'"other", {etag}'):
        answer = served.client.get(url, headers={"If-Match": same, "Range": "bytes=2-3"})
        assert (answer.status_code, len(answer.content)) == (206, 2)
    for other in ('"other"', f"W/{etag}"):
        answer = served.client.get(url, headers={"If-Match": other, "Range": "bytes=2-3"})
        assert (answer.status_code, answer.json()["code"], answer.json()["etag"]) == (412, "precondition_failed", etag)


def test_a_range_of_something_else_is_not_mixed_in(served, recorded):
    etag = served.client.get(media(served, recorded)).headers["etag"]
    same = served.client.get(media(served, recorded), headers={"Range": "bytes=0-9", "If-Range": etag})
    other = served.client.get(media(served, recorded), headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    assert (same.status_code, other.status_code) == (206, 200)


def test_head_says_what_get_would(served, recorded):
    get = served.client.get(media(served, recorded))
    head = served.client.head(media(served, recorded))
    assert head.content == b""
    for name in ("etag", "content-length", "content-type", "accept-ranges"):
        assert head.headers[name] == get.headers[name]


def test_a_late_segment_gives_another_tag_and_the_longer_file(served):
    session_id = served.create()
    track_id = served.track(session_id)
    served.put(session_id, track_id, 0, tone(12))
    served.client.post(f"/api/sessions/{session_id}/end")
    served.wait_for_job(session_id)
    before = served.client.get(media(served, session_id))
    served.put(session_id, track_id, 1, tone(3)).raise_for_status()
    served.wait_for_job(session_id)
    after = served.client.get(media(served, session_id))
    assert before.headers["etag"] != after.headers["etag"]
    with av.open(io.BytesIO(after.content)) as container:
        assert container.streams.audio[0].duration == 15 * 48_000


def test_while_recording_hls_grows_and_files_wait(served):
    session_id = served.create()
    track_id = served.track(session_id)
    served.client.post(f"/api/sessions/{session_id}/start")
    early = served.client.get(media(served, session_id, "audio.m3u8"))
    served.put(session_id, track_id, 0, tone(12))
    playlist = None
    while playlist is None or playlist.status_code != 200:
        playlist = served.client.get(media(served, session_id, "audio.m3u8"))
    waiting = served.client.get(media(served, session_id))
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in playlist.text
    assert "#EXT-X-ENDLIST" not in playlist.text
    assert (waiting.status_code, waiting.json()["code"]) == (409, "not_ready")
    assert waiting.json()["state"] == "active"
    assert waiting.headers["retry-after"]
    served.client.post(f"/api/sessions/{session_id}/end")
    served.wait_for_job(session_id)
    assert "#EXT-X-ENDLIST" in served.client.get(media(served, session_id, "audio.m3u8")).text


def test_a_track_plays_by_its_own_id(served, recorded):
    track_id = served.client.get(f"/api/sessions/{recorded}/tracks").json()["items"][0]["id"]
    assert served.client.get(media(served, recorded, track_id)).status_code == 200
    assert served.client.get(media(served, recorded, f"{track_id}.m3u8")).status_code == 200
    assert served.client.get(media(served, recorded, "nobody")).json()["code"] == "media_not_found"


def test_a_block_that_is_no_longer_there_is_not_found(served, recorded):
    gone = served.client.get(media(served, recorded, "audio.m4s"), params={"block": 0, "revision": 99})
    assert (gone.status_code, gone.json()["code"]) == (404, "block_not_found")
    assert served.client.get(media(served, recorded, "audio.m4s"), params={"block": "x"}).status_code == 422
    assert served.client.get(media(served, recorded, "audio.init.mp4"), params={"channels": 9}).status_code == 422


def test_a_session_without_sound_has_no_media(served):
    session_id = served.create()
    served.client.post(f"/api/sessions/{session_id}/end")
    answer = wait_for(lambda: settled(served.client.get(media(served, session_id))))
    assert (answer.status_code, answer.json()["code"]) == (404, "media_not_found")


def test_the_waveform_shows_where_it_is_loud(served):
    session_id = served.recorded(tone(6), tone(6, hz=0))
    found = served.client.get(f"/api/sessions/{session_id}/waveform", params={"points": 12}).json()
    part = served.client.get(
        f"/api/sessions/{session_id}/waveform", params={"from_ms": 7000, "to_ms": 12000, "points": 5}
    ).json()
    assert found["duration_ms"] == 12_000
    assert len(found["peaks"]) == 12
    assert all(high > 30 for _, high in found["peaks"][:5])
    assert all(high <= 1 for _, high in found["peaks"][7:])
    assert [high <= 1 for _, high in part["peaks"]] == [True] * 5


def test_a_balance_is_set_and_checked(served, recorded):
    url = f"/api/sessions/{recorded}/mix"
    assert served.client.put(url, json={"balance": 0.25}).json() == {"balance": 0.25}
    served.client.put(url, json={"balance": 0.5})
    assert served.client.put(url, json={"balance": 1.5}).status_code == 422


def test_the_wav_has_the_very_samples_that_were_recorded(served):
    session_id = served.recorded(tone(2, rate_hz=48_000), tone(2, hz=550, rate_hz=48_000))
    sent = b"".join(frames_of(tone(2, hz=hz, rate_hz=48_000)) for hz in (440, 550))
    answer = served.client.get(f"/api/download/{session_id}/recording")
    assert answer.status_code == 200, answer.text
    with wave.open(io.BytesIO(answer.content)) as found:
        assert (found.getframerate(), found.getnchannels()) == (48_000, 1)
        assert found.readframes(10**6) == sent
    part = served.client.get(f"/api/download/{session_id}/recording", headers={"Range": "bytes=1001-300000"})
    assert part.content == answer.content[1001:300_001]


def test_an_mp3_is_made_once_and_kept(served):
    session_id = served.recorded(tone(3))
    listed = {
        one["file_type"]: one for one in served.client.get(f"/api/sessions/{session_id}/artifacts").json()["items"]
    }
    first = wait_for(lambda: settled(served.client.get(f"/api/download/{session_id}/mp3")))
    assert first.status_code == 200, first.text
    again = served.client.get(f"/api/download/{session_id}/mp3", headers={"If-None-Match": first.headers["etag"]})
    kept = {one["file_type"]: one for one in served.client.get(f"/api/sessions/{session_id}/artifacts").json()["items"]}
    assert listed["mp3"]["state"] == "on_request"
    assert samples_of(first.content) == 3 * 48_000
    assert again.status_code == 304
    assert (kept["mp3"]["state"], kept["mp3"]["size_bytes"]) == ("ready", len(first.content))


def test_a_download_is_an_attachment_with_a_speaking_name(served):
    session_id = served.create(device_id="tablet-42-abcdef")
    served.put(session_id, served.track(session_id), 0, tone(1))
    served.client.post(f"/api/sessions/{session_id}/end")
    served.wait_for_job(session_id)
    answer = served.client.get(f"/api/download/{session_id}/audio")
    [name] = re.findall(r'filename="([^"]+)"', answer.headers["content-disposition"])
    assert re.fullmatch(r"tablet-4_\d{14}_audio\.m4a", name)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("file_type", ["transcript", "srt", "vtt", "json", "notes", "log", "audio", "mp3", "recording"])
def test_every_listed_file_can_be_downloaded(served, recorded, file_type):
    listed = {one["file_type"]: one for one in served.client.get(f"/api/sessions/{recorded}/artifacts").json()["items"]}
    answer = wait_for(lambda: settled(served.client.get(listed[file_type]["url"])))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == listed[file_type]["mime_type"]


@pytest.mark.parametrize("file_type", ["video", "archive", "../../etc/passwd", "nonsense"])
def test_a_file_that_there_is_not_is_not_found(served, recorded, file_type):
    assert served.client.get(f"/api/download/{recorded}/{file_type}").status_code == 404


def test_files_wait_for_the_end(idle):
    session_id = idle.create()
    answer = idle.client.get(f"/api/download/{session_id}/transcript")
    states = {one["state"] for one in idle.client.get(f"/api/sessions/{session_id}/artifacts").json()["items"]}
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    assert states == {"waiting"}


def test_the_log_tells_what_happened(served, recorded):
    served.client.post(f"/api/sessions/{recorded}/transcript", json={"speaker": "Ana", "text": "=1+1", "start_ms": 50})
    served.wait_for_job(recorded)
    rows = served.client.get(f"/api/download/{recorded}/log").text.splitlines()
    assert rows[0] == "timestamp,session_id,speaker,text"
    assert "SYSTEM" in rows[1] and "session created" in rows[1]
    assert any(row.endswith("Ana,=1+1") for row in rows)
    assert rows[-1].endswith("SYSTEM,session ended")


def test_all_files_are_written_into_a_folder_whole(served, recorded, tmp_path):
    paths = served.runtime.files.write_all(recorded, tmp_path / "out")
    assert len(paths) == 9
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert (
        next(path for path in paths if path.suffix == ".m4a").read_bytes()
        == served.client.get(media(served, recorded)).content
    )


def test_readers_that_stopped_reading_keep_nobody_waiting(idle):
    session = idle.client.post("/api/imports", content=tone(60, rate_hz=48_000)).json()
    path = f"/api/sessions/{session['id']}/tracks/{session['tracks'][0]['id']}/segments/0/media"
    with ExitStack() as stuck:
        for _ in range(40):
            connection = stuck.enter_context(
                socket.create_connection((idle.client.base_url.host, idle.client.base_url.port))
            )
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            connection.recv(10)
        assert idle.client.get("/api/sessions").status_code == 200
        assert len(idle.client.get(path).content) == len(tone(60, rate_hz=48_000))
