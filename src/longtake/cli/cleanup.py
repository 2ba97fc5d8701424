"""`longtake cleanup`: end what lies idle."""

from __future__ import annotations

from longtake.cli.console import DataOption, JsonOption, ServerOption, note, print_json, say

EXAMPLE = "Example: longtake cleanup"


def cleanup(data: DataOption = None, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """End the sessions that lie idle; the empty ones go to the trash.

    What is being recorded is left alone, and nothing that was acknowledged is deleted.
    """
    from longtake.cli.library import Local, sessions_of

    with sessions_of(data, server) as sessions:
        done = sessions.clean_up()
        waits = isinstance(sessions, Local)
    if as_json:
        print_json(done.model_dump(mode="json"))
    else:
        say(f"{len(done.ended)} sessions ended, {len(done.removed)} empty ones put into the trash")
    if waits and done.ended:
        note("They are processed when `longtake serve` runs.")
