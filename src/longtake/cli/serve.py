"""`longtake serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli.console import DataOption, LanguageOption, say, settings_of

EXAMPLE = "Example: longtake serve --port 8080"


def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; only loopback. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one. [default: 8000]")
    ] = None,
    data: DataOption = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="auto, none, pocketsphinx or whisper:NAME. [default: auto]")
    ] = None,
    language: LanguageOption = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", help="json, text, or auto: text on a terminal. [default: auto]")
    ] = None,
) -> None:
    """Serve the web page and the API.

    The URL is printed when requests are answered. Ctrl-C ends it in order.
    """
    settings = settings_of(host=host, port=port, data=data, engine=engine, language=language, log_format=log_format)
    from longtake.server.serve import serve as run

    run(settings, on_ready=lambda url: say(f"longtake is ready: {url}"))
