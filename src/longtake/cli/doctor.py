"""`longtake doctor`: what is not as it should be, each with the command that mends it."""

from __future__ import annotations

from dataclasses import asdict

import typer

from longtake.cli.console import FAILED, DataOption, JsonOption, print_json, quiet_logs, say, settings_of

EXAMPLE = "Example: longtake doctor --data /srv/longtake"


def doctor(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Look at the machine, the disk, the stores and what is stuck.

    Changes nothing; each finding has the command that mends it. Exit code 1 when something is wrong.
    """
    from longtake.cli.checks.environment import environment
    from longtake.cli.checks.finding import Level
    from longtake.cli.checks.store import stores

    settings = settings_of(data=data)
    quiet_logs()
    found = [*environment(settings), *stores(settings)]
    wrong = sum(one.level is Level.WRONG for one in found)
    if as_json:
        print_json({"wrong": wrong, "findings": [asdict(one) for one in found]})
    else:
        for one in found:
            say(f"{one.level.value:<8}{one.check}: {one.text}")
            if one.remedy is not None:
                say(f"{'':<8}$ {one.remedy}")
        say("Nothing is wrong." if not wrong else f"{wrong} things are wrong.")
    if wrong:
        raise typer.Exit(FAILED)
