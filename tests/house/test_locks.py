"""The locks: what is installed is exactly what was declared and hashed, from wherever the machine's registry is."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ \\]+)((?:.*\\\n)*.*)$", re.MULTILINE)
EACH_LOCK = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)


def entries(lock: Path) -> list[tuple[str, str, str]]:
    """(name, version, continuation lines with the hashes); a name may stand once for each range of Pythons."""
    return ENTRY.findall(lock.read_text())


def versions(lock: Path) -> dict[str, set[str]]:
    """Name → its versions."""
    found: dict[str, set[str]] = {}
    for name, version, _ in entries(lock):
        found.setdefault(name, set()).add(version)
    return found


def declared(group: str) -> list[Requirement]:
    """The requirements of the project itself and of one dependency group, included groups resolved."""
    found = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    groups = [group]
    while groups:
        for line in PROJECT["dependency-groups"][groups.pop()]:
            if isinstance(line, dict):
                groups.append(line["include-group"])
            else:
                found.append(Requirement(line))
    return found


@EACH_LOCK
def test_a_lock_holds_no_address(lock):
    assert re.findall(r"https?://|file:|ssh:|git\+| @ ", lock.read_text()) == []


@EACH_LOCK
def test_every_entry_of_a_lock_has_hashes(lock):
    found = entries(lock)
    assert len(found) == len(re.findall(r"^[^\s#]", lock.read_text(), re.MULTILINE))
    assert [name for name, _, rest in found if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize(("lock", "group"), [(LOCKS[0], "build"), (LOCKS[1], "dev")], ids=["run", "dev"])
def test_a_lock_satisfies_every_declared_requirement(lock, group):
    found = versions(lock)
    for requirement in declared(group):
        locked = found[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version, prereleases=True) for version in locked), requirement


def test_both_locks_name_the_same_versions():
    run, dev = (versions(lock) for lock in LOCKS)
    shared = run.keys() & dev.keys()
    assert shared
    assert {name for name in shared if run[name] != dev[name]} == set()
