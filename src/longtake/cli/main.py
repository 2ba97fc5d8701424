"""The command line: one application from all groups of commands, and one line for whatever goes wrong.

Exit codes: 0 done, 1 failed (or stopped by Ctrl-C), 2 misuse. Rooms that are heavy to import are imported by the
command that needs them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

import longtake
from longtake.cli import cleanup, demo, doctor, gc, models, process, rebuild, serve, sessions, upload, verify
from longtake.cli.console import FAILED, note, say
from longtake.cli.problems import line_of, line_of_misuse, line_of_surprise, line_of_system
from longtake.model.errors import LongtakeError

STOPPED_BY_USER = 130
"""What Typer makes of Ctrl-C."""

app = typer.Typer(
    name="longtake",
    help="Record sessions that can never be made again: durable from the moment they are acknowledged.",
    epilog="Example: longtake process interview.flac",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("process", epilog=process.EXAMPLE)(process.process)
app.command("serve", epilog=serve.EXAMPLE)(serve.serve)
app.command("upload", epilog=upload.EXAMPLE)(upload.upload)
app.command("demo", epilog=demo.EXAMPLE)(demo.demo)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)
app.command("verify", epilog=verify.EXAMPLE)(verify.verify)
app.command("rebuild", epilog=rebuild.EXAMPLE)(rebuild.rebuild)
app.command("cleanup", epilog=cleanup.EXAMPLE)(cleanup.cleanup)
app.command("gc", epilog=gc.EXAMPLE)(gc.gc)
app.add_typer(sessions.app, name="sessions")
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"longtake {longtake.__version__}")
        raise typer.Exit


@app.callback()
def _everything(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    assert not version  # its callback has ended the program


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. What goes wrong is one line on standard error."""
    command = typer.main.get_command(app)
    try:
        code = command.main(list(arguments) or ["--help"], prog_name="longtake", standalone_mode=False)
    except Abort:  # Ctrl-C or Ctrl-D instead of an answer
        return FAILED
    except TyperException as error:
        return _fail(line_of_misuse(error), error.exit_code)
    except LongtakeError as error:
        return _fail(line_of(error), FAILED)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _fail(line_of_system(error), FAILED)
    except Exception as error:
        if os.environ.get("LONGTAKE_LOG_LEVEL") == "debug":
            raise
        return _fail(line_of_surprise(error), FAILED)
    if code == STOPPED_BY_USER:
        return FAILED
    return int(code or 0)


def main() -> None:
    """The program `longtake`."""
    sys.exit(run(sys.argv[1:]))


def _fail(line: str, code: int) -> int:
    note(line)
    return code
