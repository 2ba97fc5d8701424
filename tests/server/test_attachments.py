"""Attachments, deletion for good and collection over HTTP."""

import hashlib
import re

import httpx
import pytest

from longtake.model.errors import BytesDamaged
from longtake.storage.cache import MAX_ITEM_BYTES
from longtake.storage.catalog import blobs
from tests.server.conftest import serving, tone


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A server of its own that processes nothing: what it stores is counted."""
    with serving(tmp_path_factory.mktemp("attachments") / "data", with_engine=False) as found:
        yield found


def stored(served, *, hz=440.0, start_ms=None, seconds=0.5):
    """A session with one segment: its id, its track's, the receipt, the bytes."""
    session_id = served.create(title="attached")
    track_id = served.track(session_id, name="Ana")
    data = tone(seconds, hz=hz)
    receipt = served.put(session_id, track_id, 0, data, start_ms=0, duration_ms=round(1000 * seconds)).json()
    return session_id, track_id, receipt, data


def test_an_attachment_is_described_under_the_id_of_its_segment(quiet):
    session_id, track_id, receipt, data = stored(quiet, hz=441)
    answer = quiet.client.get(f"/api/attachments/{receipt['segment_id']}").json()
    assert answer["id"] == receipt["segment_id"]
    assert answer["content_hash"] == hashlib.sha256(data).hexdigest() == receipt["sha256"]
    assert (answer["type"], answer["mime_type"], answer["name"]) == ("audio", "audio/wav", "Ana 0.wav")
    assert (answer["size_bytes"], answer["duration_ms"]) == (len(data), 500)
    assert (answer["width"], answer["height"], answer["thumbnail"]) == (None, None, None)
    assert answer["ref_count"] == answer["referenced_by_total"] == 1
    assert answer["referenced_by"] == [
        {"kind": "segment", "session_id": session_id, "track_id": track_id, "index": 0, "name": None}
    ]
    assert answer["created_at"] == receipt["stored_at"]
    assert answer["last_accessed_at"] is None


def test_its_bytes_come_with_ranges_and_a_strong_etag_and_are_remembered_as_read(quiet):
    _, _, receipt, data = stored(quiet, hz=442)
    address = f"/api/attachments/{receipt['segment_id']}/content"
    whole = quiet.client.get(address)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["etag"] == f'"{receipt["sha256"]}"'
    assert whole.headers["content-type"] == "audio/wav"
    part = quiet.client.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    known = quiet.client.get(address, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    beyond = quiet.client.get(address, headers={"Range": f"bytes={len(data)}-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    answer = quiet.client.get(f"/api/attachments/{receipt['segment_id']}").json()
    assert answer["last_accessed_at"] >= answer["created_at"]
    quiet.runtime.attachments.write()
    with quiet.runtime.store.db.read() as c:
        query = "SELECT accessed_at_ms FROM blobs WHERE sha256 = ?"
        assert c.exec_driver_sql(query, (receipt["sha256"],)).scalar_one() is not None


def test_the_same_bytes_name_all_that_refer_to_them(quiet):
    first, _, receipt, _ = stored(quiet, hz=443)
    second, _, again, _ = stored(quiet, hz=443)
    answer = quiet.client.get(f"/api/attachments/{receipt['segment_id']}").json()
    assert answer["content_hash"] == again["sha256"]
    assert answer["ref_count"] == 2
    assert [one["session_id"] for one in answer["referenced_by"]] == [first, second]


def test_what_was_purged_is_nowhere(quiet):
    session_id, track_id, receipt, _ = stored(quiet, hz=444)
    address = f"/api/attachments/{receipt['segment_id']}"
    assert quiet.client.get(f"{address}/content").status_code == 200
    assert quiet.client.delete(f"/api/sessions/{session_id}", params={"purge": "true"}).status_code == 204
    for answer in (
        quiet.client.get(address),
        quiet.client.get(f"{address}/content"),
        quiet.client.get(f"/api/sessions/{session_id}"),
        quiet.client.post(f"/api/sessions/{session_id}/restore"),
        quiet.client.delete(f"/api/sessions/{session_id}", params={"purge": "true"}),
        quiet.client.get(f"/api/sessions/{session_id}/tracks/{track_id}/segments/0/media"),
        quiet.put(session_id, track_id, 1, tone(0.2)),
    ):
        assert answer.status_code == 404, answer.text
        assert answer.json()["code"].endswith("_not_found")


def test_the_cache_is_bounded_and_forgets_what_was_deleted(tmp_path):
    with serving(tmp_path / "data", with_engine=False, attachment_cache_bytes=100_000) as served:
        cache = served.runtime.attachments._cache
        receipts = [stored(served, hz=300 + n, seconds=1.0)[2] for n in range(5)]
        for receipt in receipts:
            served.client.get(f"/api/attachments/{receipt['segment_id']}/content").raise_for_status()
        assert 0 < cache.size_bytes <= 100_000
        assert [cache.get(r["sha256"]) is not None for r in receipts] == [False, False, True, True, True]
        session_id, *_ = stored(served, hz=999)
        served.client.delete(f"/api/sessions/{session_id}?purge=true")
        assert cache.size_bytes == 0


def test_what_was_deleted_is_collected_when_asked(tmp_path):
    with serving(tmp_path / "data", with_engine=False) as served:
        session_id, _, receipt, data = stored(served, hz=445)
        served.client.delete(f"/api/sessions/{session_id}?purge=true")
        kept = served.client.post("/api/gc", json={})
        assert kept.json() == {"deleted": 0, "bytes": 0, "freed_bytes": 0, "packs": 0}
        would = served.client.post("/api/gc", json={"older_than": "PT0S", "dry_run": True}).json()
        assert (would["deleted"], would["bytes"]) == (1, len(data))
        done = served.client.post("/api/gc", json={"older_than": 0}).json()
        assert (done["deleted"], done["bytes"]) == (1, len(data))
        for wrong in ({"older_than": "soon"}, {"older_than": -1}, {"older": 1}):
            answer = served.client.post("/api/gc", json=wrong)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert re.fullmatch("[0-9a-f]{64}", receipt["sha256"])


def test_recordings_are_deleted_and_what_was_said_stays(served):
    session_id = served.recorded(tone(2.0, hz=446))
    track_id = served.client.get(f"/api/sessions/{session_id}/tracks").json()["items"][0]["id"]
    answer = served.client.delete(f"/api/sessions/{session_id}/audio")
    assert answer.status_code == 200, answer.text
    session = answer.json()
    assert session["audio_deleted_at"] is not None
    assert session["total_duration_ms"] > 0
    assert session["coverage"] == {"expected_ms": 2000, "stored_ms": 0, "gap_count": 1}
    assert served.client.get(f"/api/sessions/{session_id}/segments").json()["items"] == []
    gaps = served.client.get(f"/api/sessions/{session_id}/coverage").json()["tracks"][0]["gaps"]
    assert gaps == [{"start_ms": 0, "end_ms": 2000, "cause": "deleted"}]
    for refused in (
        served.client.get(f"/api/sessions/{session_id}/media/audio.m3u8"),
        served.client.get(f"/api/sessions/{session_id}/media/audio"),
        served.client.get(f"/api/sessions/{session_id}/waveform"),
        served.client.get(f"/api/download/{session_id}/mp3"),
        served.client.get(f"/api/sessions/{session_id}/tracks/{track_id}/segments/0/media"),
        served.put(session_id, track_id, 7, tone(0.3)),
    ):
        assert (refused.status_code, refused.json()["code"]) == (410, "audio_deleted")
    assert served.client.get(f"/api/download/{session_id}/transcript").status_code == 200
    assert served.client.delete(f"/api/sessions/{session_id}/audio").status_code == 200


def test_recordings_of_a_running_session_are_not_deleted(quiet):
    session_id, *_ = stored(quiet, hz=447)
    answer = quiet.client.delete(f"/api/sessions/{session_id}/audio")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")


def spoil(served, sha256, at):
    """Flip a bit of stored bytes, as a disk does."""
    with served.runtime.store.db.read() as c:
        locator = blobs.get_locator(c, sha256)
    with served.runtime.store.blobs.path(locator).open("r+b") as file:
        file.seek(locator.offset + at)
        byte = file.read(1)[0]
        file.seek(locator.offset + at)
        file.write(bytes([byte ^ 1]))


def addresses(session_id, track_id, receipt):
    """Where an original can be had."""
    return (
        f"/api/attachments/{receipt['segment_id']}/content",
        f"/api/sessions/{session_id}/tracks/{track_id}/segments/0/media",
    )


def test_damaged_bytes_are_refused_until_they_are_sent_again(quiet):
    session_id, track_id, receipt, data = stored(quiet, hz=446)
    spoil(quiet, receipt["sha256"], 1000)
    for address in addresses(session_id, track_id, receipt):
        answer = quiet.client.get(address)
        assert (answer.status_code, answer.json()["code"]) == (500, "bytes_damaged")
        assert answer.json()["sha256"] == receipt["sha256"]
    quiet.put(session_id, track_id, 0, data, start_ms=0, duration_ms=500)
    assert [quiet.client.get(one).content for one in addresses(session_id, track_id, receipt)] == [data, data]


def test_of_large_damaged_bytes_nobody_gets_the_last(quiet):
    session_id, track_id, receipt, data = stored(quiet, hz=447, seconds=40.0)
    assert len(data) > MAX_ITEM_BYTES
    spoil(quiet, receipt["sha256"], 1000)
    found = quiet.runtime.attachments.open(receipt["segment_id"])
    half = len(data) // 2
    assert found.read(half, half + 10) == data[half : half + 10]
    assert found.read(0, half) != data[:half]
    with pytest.raises(BytesDamaged):
        found.read(half, len(data))
    for address in addresses(session_id, track_id, receipt):
        with pytest.raises(httpx.RemoteProtocolError):  # the body breaks off
            quiet.client.get(address)
    sound = quiet.runtime.attachments.open(stored(quiet, hz=448, seconds=40.0)[2]["segment_id"])
    assert hashlib.sha256(sound.read(0, half) + sound.read(half, sound.size_bytes)).hexdigest() == sound.etag


def test_bytes_that_are_gone_are_told_before_the_answer_begins(quiet):
    session_id, track_id, receipt, data = stored(quiet, hz=449, seconds=40.0)
    with quiet.runtime.store.db.read() as c:
        quiet.runtime.store.blobs.path(blobs.get_locator(c, receipt["sha256"])).unlink()
    for address in addresses(session_id, track_id, receipt):
        assert quiet.client.get(address).json()["code"] == "bytes_damaged"
    quiet.put(session_id, track_id, 0, data, start_ms=0, duration_ms=40_000)
    assert quiet.client.get(addresses(session_id, track_id, receipt)[0]).content == data
