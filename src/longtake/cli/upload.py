"""`longtake upload`: recorded files to a running server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli.console import (
    FAILED,
    DataOption,
    FilesArgument,
    JsonOption,
    ServerOption,
    note,
    print_json,
    say,
    settings_of,
    stoppable,
)
from longtake.cli.progress import follow, stages

if TYPE_CHECKING:
    from longtake.settings import Settings

EXAMPLE = "Example: longtake upload interview.flac --server http://127.0.0.1:8000"
EVERY_S = 0.3


def upload(
    files: FilesArgument,
    server: ServerOption = None,
    data: DataOption = None,
    title: Annotated[
        str | None, typer.Option("--title", help="What the session is called; of one file. [default: its name]")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until they are processed.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Send recorded files to a running server.

    Each file becomes a session; its processing is followed to the end. One that is refused does not stop the others.
    """
    from longtake.cli.problems import line_of
    from longtake.client import Client, ServerError
    from longtake.model.session import ProcessingStatus

    if title is not None and len(files) > 1:
        raise typer.BadParameter("several files cannot have one title", param_hint="--title")
    settings = settings_of(data=data)
    done, refused = [], 0
    with Client(server or _server_of(settings)) as client, stoppable("What has arrived is processed all the same."):
        for file in files:
            try:
                with stages() as shown:
                    session = client.import_file(
                        file,
                        title=title,
                        progress=lambda sent, size: shown.show("upload", sent / size if size else 1.0),
                    )
                    job_id = session.enrichment.job_id
                    if wait and job_id is not None:
                        follow(partial(client.job, job_id), shown, every_s=EVERY_S)
            except ServerError as error:
                refused += 1
                note(line_of(error, str(file)))
                continue
            done.append(client.session(session.id))
            if not as_json:
                say(f"{session.id}  {done[-1].processing.value}  {file}")
    if as_json:
        print_json({"items": [session.model_dump(mode="json") for session in done]})
    failed = [s for s in done if s.processing is ProcessingStatus.FAILED or s.enrichment.status == "failed"]
    for session in failed:
        note(f"longtake: processing_failed: {session.title}: `longtake sessions show {session.id[:8]}` says more.")
    if failed or refused:
        raise typer.Exit(FAILED)


def _server_of(settings: Settings) -> str:
    """The server that holds the data folder, else where one would be by the settings."""
    from longtake.runtime import owner_url

    return owner_url(settings.data) or f"http://{settings.host}:{settings.port}"
