"""Every error can be sent to another process: benchmarks and children hand them back."""

import pickle

import pytest

from longtake.model.errors import DigestMismatch, IllegalTransition, LongtakeError, MediaError, NotFound, StorageFull


@pytest.mark.parametrize(
    "error",
    [
        NotFound("session", "s-1"),
        DigestMismatch(expected="a", received="b"),
        IllegalTransition(state="idle", event="ended", allowed=["start_requested"]),
        StorageFull("3 bytes are left", free_bytes=3),
        MediaError("cut off", code="media_limit", retryable=True),
    ],
)
def test_an_error_is_the_same_in_another_process(error: LongtakeError):
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))
