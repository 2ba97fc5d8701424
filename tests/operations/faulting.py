"""One run on a sound disk, as a program, so that calls of the system can be made to fail: `… faulting`, prints JSON."""

import hashlib
import json
import sys

from tests.operations.faults import FaultyDisk, run_with


def main() -> None:
    """Run, and say what became of it."""
    found = run_with(FaultyDisk())
    digest = hashlib.sha256(repr(found.content).encode()).hexdigest()
    said = {
        "lost_bytes": found.lost_bytes,
        "doubled": found.doubled,
        "stuck": found.stuck,
        "trouble": found.trouble,
        "refused": found.refused,
        "content": digest,
    }
    sys.stdout.write("\n" + json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
