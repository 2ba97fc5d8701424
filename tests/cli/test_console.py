"""What commands share: how they end."""

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

ENDS_WITHIN_S = 30
HALF_FULL = 1 << 15
TALKING = """
from longtake.cli.console import note, stoppable
with stoppable("All of it is there."):
    while True:
        note("x" * 1000)
"""


def test_stopped_in_the_midst_of_a_line_it_unwinds_in_order():
    """Nobody reads what it says, so that the signal finds it waiting within a write."""
    command = [sys.executable, "-c", TALKING]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=buffered) as child:
        try:
            assert child.stderr is not None
            until_full(child.stderr.fileno())
            child.send_signal(signal.SIGINT)
            _, stderr = child.communicate(timeout=ENDS_WITHIN_S)
        finally:
            child.kill()
    assert "longtake: stopping. All of it is there." in stderr
    assert "KeyboardInterrupt" in stderr
    assert "reentrant" not in stderr


def until_full(fd: int) -> None:
    """Wait until a pipe takes no more, so that its writer waits."""
    end_s = time.monotonic() + ENDS_WITHIN_S
    before, held = -1, array.array("i", [0])
    while held[0] < HALF_FULL or held[0] != before:
        assert time.monotonic() < end_s
        before = held[0]
        time.sleep(0.2)
        fcntl.ioctl(fd, termios.FIONREAD, held)
