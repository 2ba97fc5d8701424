"""The disk fails at every call by which bytes reach it, and at calls of the system under the database.

A whole session is recorded, processed and downloaded each time; who is refused tries again; then all must be as on a
disk that never failed. A control that says it wrote and did not must lose something, or the sweep sees nothing.
"""

import errno
import shutil

from bench.figures import Figure
from tests.operations.faults import Call, LyingDisk, run_traced, sweep, undisturbed

CODES = (errno.EIO, errno.ENOSPC)
CALLS = {"pwrite64": (5, 20, 60, 150, 300), "fdatasync": (2, 5, 12, 20), "ftruncate": (1,), "write": (40,)}
"""Calls of the system, and which of each thread's fail."""


def run(smoke: bool) -> list[Figure]:
    """Sweep."""
    sound = undisturbed()
    points = range(4, sound.calls, 60) if smoke else range(sound.calls)
    found = sweep(points, sound.content, codes=CODES[:1] if smoke else CODES)
    control = sweep(range(10, sound.calls, 60 if smoke else 5), sound.content, codes=CODES[:1], kind=LyingDisk)
    hit = [verdict for verdict in found if verdict.failed]
    lost = sum(verdict.lost_bytes for verdict in found)
    troubles = [f"{v.failed} {v.code}: {v.trouble}" for v in found if v.trouble]
    doubled, stuck = sum(v.doubled for v in found), sum(v.stuck for v in found)
    is_traced = shutil.which("strace") is not None
    calls = [Call(name, n, code) for name, ns in CALLS.items() for n in ns for code in ("EIO", "ENOSPC")]
    system = [run_traced(call) for call in (calls[:1] if smoke else calls)] if is_traced else []
    expected = run_traced(None)["content"] if is_traced else ""
    system_hit = [one for one in system if one["failed"]]
    lost += sum(int(one["lost_bytes"]) for one in system)
    doubled += sum(int(one["doubled"]) for one in system)
    stuck += sum(int(one["stuck"]) for one in system)
    troubles += [str(one["trouble"]) for one in system if one["trouble"]]
    troubles += ["another content" for one in system if one["content"] != expected and not one["trouble"]]
    detail = f"{len(hit)} failures of {sound.calls} calls, {len(system_hit)} runs with failing calls of the system"
    return [
        Figure(name="sites at which the disk was made to fail", value=len(hit), target="≥ 60", unit="", detail=detail),
        Figure(name="acknowledged bytes lost over all failures", value=lost, target="= 0", unit="bytes", detail=detail),
        Figure(name="effects that happened twice, or not", value=doubled, target="= 0", unit="", detail=detail),
        Figure(
            name="failures after which something is stuck or another",
            value=stuck + len(troubles),
            target="= 0",
            unit="",
            detail="; ".join(troubles[:3]) or detail,
        ),
        Figure(
            name="failures of the control that were seen",
            value=sum(bool(v.lost_bytes or v.trouble) for v in control),
            target="≥ 1",
            unit="",
            detail=f"of {len(control)} writes that were said and not done",
        ),
    ]
