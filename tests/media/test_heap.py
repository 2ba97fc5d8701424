"""What a process has freed goes back to the system; its threads share a few heaps."""

import subprocess
import sys

import pytest

from longtake.media.heap import glibc

pytestmark = pytest.mark.skipif(glibc() is None, reason="only glibc keeps what is freed")

PROGRAM = """
import ctypes, sys, threading
import numpy as np
from pathlib import Path
from longtake.media import heap

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

if sys.argv[1] == "share":
    heap.share()
kept, freed = [], []
barrier = threading.Barrier(16)

def work():
    barrier.wait()
    for _ in range(100):
        freed.append(np.ones(8000))  # 64 KB: below what is mapped apart
        kept.append(np.ones(100))
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
freed.clear()
before = resident_mib()
heap.give_back()
libc = ctypes.CDLL(None)
print(before - resident_mib(), flush=True)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.fixture
def run():
    def run(mode):
        done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
        first, _, info = done.stdout.partition("\n")
        return int(first), info.count("<heap nr=")

    return run


def test_what_is_free_between_what_is_kept_goes_back(run):
    given_back_mib, _ = run("apart")
    assert given_back_mib > 50  # of 100


def test_threads_share_a_few_heaps(run):
    assert run("apart")[1] > 2
    assert run("share")[1] <= 2
