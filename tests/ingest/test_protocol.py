"""What stands in an address and in headers: read, or refused."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.ingest.protocol import (
    MAX_DURATION_MS,
    MAX_INDEX,
    MAX_START_MS,
    Announcement,
    announce,
    check_size,
    sha256_of,
)
from longtake.model.errors import Invalid, TooLarge

DIGEST = hashlib.sha256(b"hello").digest()
TEXT = base64.b64encode(DIGEST).decode()
OTHER = base64.b64encode(hashlib.sha512(b"hello").digest()).decode()


@pytest.mark.parametrize(
    "header",
    [
        f"sha-256=:{TEXT}:",
        f"  sha-256=:{TEXT}:  ",
        f"sha-512=:{OTHER}:, sha-256=:{TEXT}:",
        f"sha-256=:{TEXT}:,sha-512=:{OTHER}:",
        f"sha-256=:{TEXT}:\t,\tunixsum=:AAA=:",
        f"sha-256=:{TEXT}:;q=1;x",
        f"sha-256=:{TEXT.rstrip('=')}:",
        f"sha-256=:AAAA:, sha-256=:{TEXT}:".replace("AAAA", base64.b64encode(bytes(32)).decode()),
    ],
)
def test_the_sha256_is_found_among_other_digests(header):
    assert sha256_of(header) == DIGEST.hex()


def test_other_digests_alone_are_not_checked():
    assert sha256_of(f"sha-512=:{OTHER}:") is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        f"sha-256=:{TEXT}:,",
        f"sha-256={TEXT}",
        f"SHA-256=:{TEXT}:",
        f"sha-256=:{TEXT}",
        f'sha-256="{TEXT}"',
        f"sha-256=:{TEXT[:-4]}:",
        "sha-256=::",
        "sha-256=:A:",
        "sha-256=:%%%%:",
        f"sha-256=:{OTHER}:",
        "sha-256",
        f"sha-256=:{TEXT}: sha-512=:{OTHER}:",
        f"sha-512=:$:, sha-256=:{TEXT}:",
        hashlib.sha256(b"hello").hexdigest(),
        f"sha-256=:{TEXT}:;=",
        f"sha-256=:{TEXT}:\n",
    ],
)
def test_a_malformed_digest_is_refused_rather_than_ignored(header):
    with pytest.raises(Invalid):
        sha256_of(header)


@given(st.text())
def test_any_text_is_a_digest_or_invalid(header):
    try:
        found = sha256_of(header)
    except Invalid:
        return
    assert found is None or len(found) == 64


@given(st.binary(min_size=32, max_size=32))
def test_every_sha256_is_read_back(digest):
    assert sha256_of(f"sha-256=:{base64.b64encode(digest).decode()}:") == digest.hex()


def test_an_announcement_is_read_from_an_address_a_query_and_headers():
    read = announce(
        track_id="t", index="7", start_ms="0", duration_ms="5000", repr_digest=f"sha-256=:{TEXT}:", content_length="9"
    )
    assert read == Announcement(track_id="t", index=7, start_ms=0, duration_ms=5000, digest=DIGEST.hex(), size_bytes=9)


def test_only_the_address_is_needed():
    assert announce(track_id="t", index=0) == Announcement(track_id="t", index=0)


def test_the_largest_of_each_is_taken():
    read = announce(track_id="t", index=MAX_INDEX, start_ms=MAX_START_MS, duration_ms=MAX_DURATION_MS)
    assert (read.index, read.start_ms, read.duration_ms) == (MAX_INDEX, MAX_START_MS, MAX_DURATION_MS)


@pytest.mark.parametrize(
    "value", ["-1", "", "1.5", "1e3", " 1", "1 ", "+1", "0x1", "١", "1_0", "NaN", "9" * 20, "9" * 9999]
)
@pytest.mark.parametrize("name", ["index", "start_ms", "duration_ms", "content_length"])
def test_what_is_no_whole_number_is_refused(name, value):
    with pytest.raises(Invalid):
        announce(**{"track_id": "t", "index": "0", name: value})


@pytest.mark.parametrize(
    ("name", "most"), [("index", MAX_INDEX), ("start_ms", MAX_START_MS), ("duration_ms", MAX_DURATION_MS)]
)
def test_what_is_out_of_range_is_refused_by_name(name, most):
    with pytest.raises(Invalid, match=name):
        announce(**{"track_id": "t", "index": "0", name: str(most + 1)})


@pytest.mark.parametrize("track_id", ["", "x" * 65])
def test_an_impossible_track_is_refused(track_id):
    with pytest.raises(Invalid):
        announce(track_id=track_id, index=0)


def test_a_size_is_refused_above_its_limit_only():
    check_size(None, 5)
    check_size(5, 5)
    with pytest.raises(TooLarge) as caught:
        check_size(6, 5)
    assert caught.value.fields == {"limit_bytes": 5}
