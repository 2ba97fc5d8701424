"""The rules of tests/conftest.py, kept by the run that reads this."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from pytest_socket import SocketConnectBlockedError

from tests.conftest import ROOT, is_left, is_ours
from tests.programs import PACKAGES, remedy

NEEDS_FLITE = '@pytest.mark.needs("flite")\ndef test_speech():\n    assert True\n'
NEEDS_UNLISTED = '@pytest.mark.needs("no-such-program")\ndef test_it():\n    assert True\n'
TWO = "@pytest.mark.acceptance\ndef test_slow():\n    pass\n\n\ndef test_fast():\n    pass\n"
LEAK = 'import subprocess\n\n\ndef test_leak():\n    subprocess.Popen(["sleep", "60"])\n'


def run_pytest(folder: Path, text: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of its own with this house's rules over one test file."""
    (folder / "test_it.py").write_text(f"import pytest\n\n\n{text}")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    return subprocess.run(
        [*command, "-p", "tests.conftest", *options, "test_it.py"],
        cwd=folder,
        env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "CI": "", **environment},
        capture_output=True,
        text=True,
    )


def test_a_missing_program_skips_its_test_and_names_the_remedy(tmp_path):
    run = run_pytest(tmp_path, NEEDS_FLITE)
    assert run.returncode == 0, run.stdout
    assert f"needs flite: {remedy(['flite'])}" in run.stdout


def test_a_missing_program_fails_its_test_in_ci(tmp_path):
    run = run_pytest(tmp_path, NEEDS_FLITE, CI="true")
    assert run.returncode == 1
    assert remedy(["flite"]) in run.stdout


def test_a_program_that_the_table_lacks_fails_its_test(tmp_path):
    run = run_pytest(tmp_path, NEEDS_UNLISTED)
    assert run.returncode == 1
    assert "not in tests/programs.py: no-such-program" in run.stdout


def test_acceptance_tests_come_last(tmp_path):
    run = run_pytest(tmp_path, TWO, "-v")
    assert run.stdout.index("test_fast") < run.stdout.index("test_slow")


def test_the_same_seed_gives_the_same_order(tmp_path):
    text = "".join(f"def test_{n}():\n    pass\n\n\n" for n in range(20))
    first, again, other = (
        [line for line in run_pytest(tmp_path, text, "-v", f"--shuffle={seed}").stdout.splitlines() if "PASSED" in line]
        for seed in (1, 1, 2)
    )
    names = [[line.split()[0] for line in lines] for lines in (first, again, other)]
    assert len(names[0]) == 20
    assert names[0] == names[1] != names[2]


def test_a_process_left_behind_fails_the_run(tmp_path):
    run = run_pytest(tmp_path, LEAK, PATH="/bin:/usr/bin")
    for process in psutil.process_iter():
        if process.name() == "sleep" and process.cwd() == str(tmp_path):
            process.kill()
    assert run.returncode == 1
    assert "name='sleep'" in run.stdout


def test_processes_of_this_run_are_known_and_others_are_not():
    with subprocess.Popen(["sleep", "60"]) as child, subprocess.Popen(["sleep", "60"], env={}) as stranger:
        known = [is_ours(psutil.Process(process.pid)) for process in (child, stranger)]
        child.kill()
        stranger.kill()
    assert known == [True, False]


def test_only_a_thread_that_keeps_the_program_alive_counts_as_left():
    release = threading.Event()
    threads = [threading.Thread(target=release.wait, daemon=daemon) for daemon in (False, True)]
    for thread in threads:
        thread.start()
    left = [is_left(thread) for thread in threads]
    release.set()
    threads[0].join()
    assert left == [True, False]


@pytest.mark.filterwarnings("ignore:A test tried to use")
def test_the_network_ends_at_loopback():
    with socket.socket() as out, pytest.raises(SocketConnectBlockedError):
        out.connect(("192.0.2.1", 80))


def test_loopback_is_open():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_home_is_a_folder_of_the_run():
    assert Path.home().name.startswith("longtake-home-")
    assert not [name for name in os.environ if name.startswith(("LONGTAKE_", "XDG_"))]


def test_each_program_is_installed_by_one_line():
    assert remedy(list(PACKAGES)).count("ffmpeg") == 1
