"""The C heap of a process that works on sound for weeks: what was freed goes back to the system.

glibc has a heap for each thread, by default eight for each core, and keeps there what is freed. Sound comes and goes in
pieces of megabytes, in many threads: over hours each heap grows to the most that its thread ever held.

Source: mallopt(3), malloc_trim(3). Other C libraries lack them, and do not need them.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_ARENA_MAX = -8
HEAPS = 2
"""Who allocates waits for who does so in the same one, which is next to nothing."""


def share() -> None:
    """Have all threads share a few heaps; to be called before there are any."""
    libc = glibc()
    if libc is not None:
        libc.mallopt(M_ARENA_MAX, HEAPS)


def give_back() -> None:
    """Return to the system what is free in all heaps; takes some milliseconds."""
    libc = glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
