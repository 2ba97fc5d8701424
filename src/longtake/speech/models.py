"""The speech models on this machine: what is installed, and how one gets there.

A model is a folder `whisper-<name>` in the models folder, complete or absent: it is fetched beside (`.partial`, which a
later attempt continues) and renamed when whole.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from longtake.model.errors import EngineError, Invalid, NotFound, Unavailable
from longtake.speech import pocketsphinx, whisper
from longtake.speech.download import Progress, fetch_snapshot
from longtake.speech.engine import EngineInfo

CATALOG = {
    "tiny": "Systran/faster-whisper-tiny",
    "base": "Systran/faster-whisper-base",
    "small": "Systran/faster-whisper-small",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""What can be installed by name, from the smallest to the best: repositories of CTranslate2 models."""

NEEDED = ("config.json", "model.bin", "tokenizer.json")
WANTED = (*NEEDED, "preprocessor_config.json", "vocabulary.json", "vocabulary.txt")


def folder_of(name: str, models_dir: Path) -> Path:
    """Where a model lies, or would."""
    return models_dir / f"whisper-{name}"


def installed(models_dir: Path) -> list[str]:
    """The names of the models that are there and whole, the best first: the larger it is, the better."""
    there = [f for f in models_dir.glob("whisper-*") if all((f / n).is_file() for n in NEEDED)]
    there.sort(key=lambda f: (-(f / "model.bin").stat().st_size, f.name))
    return [f.name.removeprefix("whisper-") for f in there if f.suffix != ".partial"]


def engines(models_dir: Path) -> list[EngineInfo]:
    """All that can be used now, the best first."""
    return [*(whisper.whisper_info(folder_of(n, models_dir)) for n in installed(models_dir)), pocketsphinx.INFO]


def engine_info(name: str, models_dir: Path) -> EngineInfo:
    """What an engine is.

    Raises:
        EngineError: `engine_unavailable`: unknown, or its model is not installed; says what to do.
    """
    if name == pocketsphinx.INFO.name:
        return pocketsphinx.INFO
    model = name.removeprefix(whisper.PREFIX)
    if model != name and model in installed(models_dir):
        return whisper.whisper_info(folder_of(model, models_dir))
    if model != name and model in CATALOG:
        detail = f"the speech model {model} is not installed: run `longtake models install {model}`"
    elif model != name:
        detail = f"the speech model {model} is not installed: run `longtake models install /path/to/{model}`"
    else:
        known = ", ".join([pocketsphinx.INFO.name, *(whisper.PREFIX + n for n in CATALOG)])
        detail = f"there is no speech engine {name}; choose one of: {known}"
    raise EngineError(detail, code="engine_unavailable", retryable=False)


def install(name: str, models_dir: Path, progress: Progress) -> EngineInfo:
    """Put a model there: one of the catalogue by download, or any CTranslate2 Whisper model from a folder.

    Args:
        name: A name of `CATALOG`, or the path of a folder (with a `/`, or beginning with a dot).
        models_dir: Where models lie; made if missing.
        progress: Called while bytes arrive.

    Returns:
        The engine that can be used from now on.

    Raises:
        Invalid: Not a name of the catalogue, or the folder is no such model.
        Unavailable: The download failed; what arrived stays, the next attempt goes on from there.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    is_folder = "/" in name or os.sep in name or name.startswith(".")
    if not is_folder and name not in CATALOG:
        raise Invalid(f"there is no speech model {name}; choose one of {', '.join(CATALOG)}, or give a folder's path")
    source = Path(name).expanduser().resolve()
    short = source.name.removeprefix("faster-").removeprefix("whisper-") if is_folder else name
    target, partial = folder_of(short, models_dir), _partial_of(short, models_dir)
    if is_folder:
        _copy(source, partial, progress)
    else:
        _download(name, partial, progress)
    missing = [n for n in NEEDED if not (partial / n).is_file()]
    if missing:
        shutil.rmtree(partial)
        raise Invalid(f"{name} is not a CTranslate2 Whisper model: it has no {', '.join(missing)}")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return whisper.whisper_info(target)


def remove(name: str, models_dir: Path) -> None:
    """Delete an installed model, or what is left of an attempt to install it.

    Raises:
        NotFound: There is nothing of that name.
    """
    folders = [folder_of(name, models_dir), _partial_of(name, models_dir)]
    there = [f for f in folders if f.is_dir() and f.parent == models_dir]
    if not there:
        raise NotFound("speech_model", name)
    for folder in there:
        shutil.rmtree(folder)


def _partial_of(name: str, models_dir: Path) -> Path:
    """Where a model lies while it arrives; a name may have dots, as base.en."""
    folder = folder_of(name, models_dir)
    return folder.with_name(f"{folder.name}.partial")


def _copy(source: Path, partial: Path, progress: Progress) -> None:
    """Copy the model's files from a folder; others stay behind."""
    if not source.is_dir():
        raise Invalid(f"there is no folder {source}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    files = [source / n for n in WANTED if (source / n).is_file()]
    size_bytes = sum(f.stat().st_size for f in files)
    done_bytes = 0
    for file in files:
        shutil.copyfile(file, partial / file.name)
        done_bytes += file.stat().st_size
        progress(done_bytes, size_bytes)


def _download(name: str, partial: Path, progress: Progress) -> None:
    """Fetch a model of the catalogue; continues what an earlier attempt left."""
    try:
        fetch_snapshot(CATALOG[name], partial, WANTED, progress)
    except Unavailable as error:
        raise Unavailable(
            f"the speech model {name} could not be downloaded ({error}). Try again when this machine is online, or "
            f"fetch the folder {CATALOG[name]} elsewhere and run `longtake models install /path/to/{name}`"
        ) from error
