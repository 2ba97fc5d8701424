"""What holds for every test: order, needed programs, a home of its own, nothing left behind."""

import os
import random
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from tests.programs import PACKAGES, remedy

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI", "false") not in ("", "0", "false")
GRACE_S = 5.0
"""How long a process may take to go after the test that started it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", metavar="SEED", help="run modules, and the tests in them, in a random order")


def pytest_configure(config: pytest.Config) -> None:
    """Cut the run off from the person's settings, files and models; children inherit it."""
    home = tempfile.mkdtemp(prefix="longtake-home-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [name for name in os.environ if name.startswith(("LONGTAKE_", "XDG_"))]:
        del os.environ[name]
    os.environ.update(HOME=home, HF_HUB_OFFLINE="1", TEST_RUN=uuid.uuid4().hex)
    if not CI:  # there Hypothesis chooses its reproducible profile by itself
        hypothesis.settings.register_profile("longtake", deadline=None)
        hypothesis.settings.load_profile("longtake")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first; shuffled when asked, module by module so that their fixtures are built once."""
    if seed := config.getoption("--shuffle"):
        dice = random.Random(seed)
        modules = sorted({item.path for item in items})
        place = dict(zip(modules, dice.sample(range(len(modules)), len(modules)), strict=True))
        dice.shuffle(items)
        items.sort(key=lambda item: place[item.path])
    for item in items:
        if item.path.is_relative_to(ROOT / "tests/acceptance"):
            item.add_marker("acceptance")
    items.sort(key=lambda item: item.get_closest_marker("acceptance") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, visibly and with the remedy, what needs a missing program; in CI that is a failure."""
    needed = [program for mark in item.iter_markers("needs") for program in mark.args]
    if unlisted := [program for program in needed if program not in PACKAGES]:
        pytest.fail(f"not in tests/programs.py: {', '.join(unlisted)}", pytrace=False)
    if lacking := [program for program in needed if shutil.which(program) is None]:
        reason = f"needs {', '.join(lacking)}: {remedy(lacking)}"
        if CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No process, thread or file outlives the run; a leak is an error of the last test."""
    files = files_of_the_checkout()
    yield
    left = [str(process) for process in processes_left()]
    left += [f"thread {thread.name}" for thread in threading.enumerate() if is_left(thread)]
    left += [f"file {name}" for name in sorted(files_of_the_checkout() - files)]
    assert not left, "left behind by the tests:\n" + "\n".join(left)


def processes_left() -> list[psutil.Process]:
    """The processes that this run started, adopted ones included, and that do not end by themselves."""
    _, alive = psutil.wait_procs([process for process in psutil.process_iter() if is_ours(process)], timeout=GRACE_S)
    return [process for process in alive if is_ours(process)]


def is_ours(process: psutil.Process) -> bool:
    """Whether this run started it; Python's own helper of `multiprocessing` goes with us."""
    try:
        if process.pid == os.getpid() or process.environ().get("TEST_RUN") != os.environ["TEST_RUN"]:
            return False
        return not any("multiprocessing.resource_tracker" in word for word in process.cmdline())
    except (psutil.Error, OSError):
        return False


def is_left(thread: threading.Thread) -> bool:
    """Whether a thread would keep the program from ending."""
    return thread.is_alive() and not thread.daemon and thread is not threading.main_thread()


def files_of_the_checkout() -> set[str]:
    """What git finds beside the tracked files; only where nobody works in the checkout meanwhile."""
    if not CI:
        return set()
    found = subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=ROOT, capture_output=True, text=True)
    return {line for line in found.stdout.splitlines() if not line.endswith(("__pycache__/", ".hypothesis/"))}
