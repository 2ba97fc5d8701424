"""Every error can be sent to another process: benchmarks and children hand them back."""

import pickle
import re

import pytest

from longtake.model import errors
from longtake.model.errors import (
    DigestMismatch,
    IllegalTransition,
    LongtakeError,
    MediaError,
    NotFound,
    ProcessingFailed,
    StorageFull,
)
from tests.conftest import ROOT


def test_the_tree_names_every_error_and_every_code_of_its_own():
    kinds: list[type[LongtakeError]] = []
    waiting: list[type[LongtakeError]] = [LongtakeError]
    while waiting:
        found = [one for one in waiting.pop().__subclasses__() if one.__module__ == errors.__name__]
        kinds, waiting = kinds + found, waiting + found
    tree = set(re.findall(r"\w+", str(errors.__doc__)))
    assert {one.__name__ for one in kinds} <= tree
    assert {one.code for one in kinds if not one.__subclasses__()} - {"not_found"} <= tree
    words = set(re.findall(r"[a-z]+_[a-z_]+", str(errors.__doc__)))
    assert words <= set(re.findall(r"`(\w+)`", (ROOT / "docs/ref/errors.md").read_text()))


@pytest.mark.parametrize(
    "error",
    [
        NotFound("session", "s-1"),
        DigestMismatch(expected="a", received="b"),
        IllegalTransition(state="idle", event="pause", allowed=["start"]),
        StorageFull("3 bytes are left", free_bytes=3),
        MediaError("cut off", code="media_limit", retryable=True),
    ],
)
def test_an_error_is_the_same_in_another_process(error: LongtakeError):
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("error", "is_retryable"),
    [
        (NotFound("session", "s-1"), False),
        (StorageFull("3 bytes are left"), True),
        (MediaError("cut off"), False),
        (MediaError("killed", retryable=True), True),
        (ProcessingFailed("nobody knows why"), True),
    ],
)
def test_an_error_says_whether_trying_again_may_help(error: LongtakeError, is_retryable: bool):
    assert error.is_retryable is is_retryable
