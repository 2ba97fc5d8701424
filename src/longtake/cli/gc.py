"""`longtake gc`: give back the room of what was deleted."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from longtake.cli.console import DataOption, JsonOption, ServerOption, print_json, say

EXAMPLE = "Example: longtake gc --older-than 24h"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d{1,7})\s*([smhdw]?)")


def gc(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="For how long nothing refers to it: 90m, 24h, 7d.")
    ] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    data: DataOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove stored bytes that nothing refers to any more.

    Such are those of deleted sessions.
    """
    from longtake.cli.library import sessions_of

    age = duration(older_than)
    with sessions_of(data, server) as sessions:
        done = sessions.collect(age, dry_run=dry_run)
    if as_json:
        print_json(done.model_dump(mode="json"))
        return
    verb = "would be removed" if dry_run else "removed"
    say(f"{done.deleted} bodies of {done.bytes} bytes {verb}: {done.freed_bytes} bytes of the disk")


def duration(text: str) -> timedelta:
    """A time like 90m, 24h or 7d; a bare number is seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text} is no time: write it like 90m, 24h or 7d", param_hint="--older-than")
    return timedelta(**{UNITS[match[2] or "s"]: int(match[1])})
