"""What a check found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing has to be done
    WARNING = "warning"  # works, but not as well or as safely as it could
    WRONG = "wrong"  # something does not work, or does not go on by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing; `remedy` is a command to be copied, None where there is nothing to do."""

    check: str
    level: Level
    text: str
    remedy: str | None = None


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check=check, level=Level.OK, text=text)


def command(*words: str | Path) -> str:
    """A command line that a shell takes as it is."""
    return shlex.join(str(word) for word in words)
