"""The programs that tests call and pip cannot install.

`make test` runs this first: as root it installs what is missing, else it prints the line that would.
"""

import os
import shutil
import subprocess

PACKAGES = {
    "chromium": "chromium",
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "firefox-esr": "firefox-esr",
    "flite": "flite",
    "strace": "strace",
}
"""Program → Debian package that brings it. A test names the program: `@pytest.mark.needs("flite")`."""

APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")


def missing() -> list[str]:
    """The programs of the table that are not on the PATH, in order."""
    return [program for program in PACKAGES if shutil.which(program) is None]


def remedy(programs: list[str]) -> str:
    """The line that installs these programs."""
    return "apt-get install -y --no-install-recommends " + " ".join(sorted({PACKAGES[name] for name in programs}))


def install(programs: list[str]) -> None:
    """Install these programs quietly.

    Raises:
        subprocess.CalledProcessError: apt-get failed; its own words are on stderr.
    """
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NOWARNINGS": "yes"}
    packages = sorted({PACKAGES[name] for name in programs})
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run([*APT, "-qq", *step], env=quiet, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Install what is missing, or say how; a failure leaves the tests in question to be skipped with the reason."""
    programs = missing()
    if not programs:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(
            f"longtake: without {', '.join(programs)} some tests are skipped; as root: {remedy(programs)}", flush=True
        )
        return
    print(f"longtake: installing for the tests: {remedy(programs)}", flush=True)
    try:
        install(programs)
    except subprocess.CalledProcessError as error:
        print(f"longtake: apt-get ended with {error.returncode}; without {', '.join(missing())} some tests are skipped")


if __name__ == "__main__":
    main()
