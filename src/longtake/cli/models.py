"""`longtake models`: the speech models on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli.console import DataOption, JsonOption, print_json, print_table, say, settings_of
from longtake.cli.progress import stages

app = typer.Typer(
    help="List, install and remove speech models.",
    epilog="Example: longtake models install base",
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: longtake models list")
def list_models(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the speech engines.

    First those that can be used now, the best first; then those that can be installed.
    """
    from longtake.speech.models import CATALOG, engines, installed

    settings = settings_of(data=data)
    there = engines(settings.models)
    rest = [name for name in CATALOG if name not in installed(settings.models)]
    if as_json:
        items = [
            {"engine": info.name, "model": info.model, "installed": True, "is_draft": info.is_draft} for info in there
        ]
        items += [{"engine": f"whisper:{name}", "model": name, "installed": False, "is_draft": False} for name in rest]
        print_json({"items": items})
        return
    rows = [(info.name, "yes", "draft" if info.is_draft else "good") for info in there]
    rows += [(f"whisper:{name}", f"longtake models install {name}", "good") for name in rest]
    print_table(("ENGINE", "INSTALLED", "QUALITY"), rows)


@app.command("install", epilog="Example: longtake models install base")
def install_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="tiny, base, small, turbo, or the path of a folder.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Install a Whisper model.

    By download, which goes on where it was interrupted, or from a folder.
    """
    from longtake.speech.models import install

    settings = settings_of(data=data)
    if settings.models_folder is None:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)  # as whoever records makes it
    with stages() as shown:
        info = install(name, settings.models, lambda done, size: shown.show("install", done / size if size else 1.0))
    if as_json:
        print_json({"engine": info.name, "model": info.model, "installed": True, "is_draft": info.is_draft})
    else:
        say(f"{info.name} is installed; from now on it is used unless another is chosen.")


@app.command("remove", epilog="Example: longtake models remove tiny")
def remove_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as `longtake models list` says it.")],
    data: DataOption = None,
) -> None:
    """Remove an installed model."""
    from longtake.speech.models import remove

    settings = settings_of(data=data)
    short = name.removeprefix("whisper:")
    remove(short, settings.models)
    say(f"whisper:{short} is removed.")
