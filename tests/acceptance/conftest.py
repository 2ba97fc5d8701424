"""A real server that recognises nothing, and its page in a real browser."""

import pytest

from tests.acceptance.chromium import chromium
from tests.acceptance.server import serving


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "data", engine="none") as server:
        yield server


@pytest.fixture
def page(server, tmp_path):
    with chromium(tmp_path / "profile") as page:
        yield page
