"""What every command shares: options, settings from flags, output for people and for programs, logs, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from types import FrameType

    from longtake.settings import Settings

FAILED = 1

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\ud800-\udfff]")

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder; by default ./longtake-data.")
]
LanguageOption = Annotated[
    str | None,
    typer.Option("--language", metavar="CODE", help="What is spoken: a code such as en or de. [default: auto]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True, help="Recorded files."),
]
ServerOption = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="A running server; by default the data folder's owner.")
]
SessionArgument = Annotated[str, typer.Argument(metavar="ID", help="The session's id, or its first characters.")]


def settings_of(**flags: Any) -> Settings:
    """Settings with what flags say; None is no flag. A setting that makes no sense is misuse (exit code 2)."""
    import tomllib

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from longtake.settings import Settings

    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise typer.BadParameter(f"setting {name}: {first['msg']}") from error
    except SettingsError as error:
        raise typer.BadParameter(f'{error}: write it as JSON, like ["localhost"]') from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"longtake.toml: {error}") from error
    from longtake.cli import logs

    logs.configure(settings.log_level, settings.log_format)
    return settings


def print_json(value: object) -> None:
    """Print plain values as JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    typer.echo(_UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def say(text: str = "") -> None:
    """Print a line. Its titles, names and words come from anywhere: what would steer the terminal is made harmless."""
    typer.echo(harmless(text))


def harmless(text: str) -> str:
    """On one line, without control characters, bytes that are no text and what turns the direction of writing."""
    return _UNSAFE.sub(lambda found: " " if found[0].isspace() else "\N{REPLACEMENT CHARACTER}", text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings, as wide as they are: a terminal may cut them, a pipe must not."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(row[number]) for row in [columns, *rows]) for number in range(len(columns))]
    for row in [columns, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """Say something beside the output: on standard error."""
    typer.echo(harmless(text), err=True)


def clock(ms: int) -> str:
    """A length or a moment as h:mm:ss."""
    seconds = ms // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def quiet_logs() -> None:
    """No logs but at level debug: what goes wrong is told by the command itself."""
    if os.environ.get("LONGTAKE_LOG_LEVEL") != "debug":
        from longtake.cli import logs

        logs.configure("critical", "auto")


@contextmanager
def stoppable(what_remains: str) -> Iterator[None]:
    """Within, Ctrl-C (and SIGTERM) unwinds in order and says what remains; a second one ends the process at once.

    That is safe at every moment: what is done is durable, and child processes end with us.
    """
    count = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            os._exit(FAILED)
        with suppress(OSError):  # not `note`, within which the signal may have come: it is not re-entrant
            os.write(sys.stderr.fileno(), f"longtake: stopping. {what_remains}\n".encode())
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
