"""A sandbox for the room's tests: one for all that leave it whole."""

import pytest

from longtake.media.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox
