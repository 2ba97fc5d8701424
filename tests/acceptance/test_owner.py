"""Two processes on one data folder: the second is refused and told by whom, until the first is gone."""

import os
import subprocess

from longtake.runtime import Runtime
from longtake.settings import Settings
from tests.acceptance.server import LONGTAKE, LongtakeServer


def refused(data):
    """What a second server on a data folder says, and how it ends."""
    command = [str(LONGTAKE), "serve", "--port", "0", "--data", str(data)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=data.parent)
    return run.returncode, run.stderr.strip().splitlines()[-1]


def test_the_second_process_is_refused_and_told_by_whom_until_the_first_is_killed(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    server = LongtakeServer(data, engine="none")
    server.start()
    try:
        code, said = refused(data)
        assert code == 1
        assert said.startswith("longtake: data_folder_in_use: ")
        assert f"(process {server.pid}) at {server.http.base_url}".rstrip("/") in said
        server.kill()
        with Runtime.open(Settings.model_validate({"data": data, "engine": "none"})) as runtime:
            assert not (data / "owner.json").exists()  # nobody answers there any more
            assert runtime.work.queue() == {}
            assert f"(process {os.getpid()})" in refused(data)[1]
    finally:
        server.stop()
