"""Fetches a model's files from the Hugging Face hub: resumable, with progress, silent on the terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from longtake.model.errors import Unavailable

POLL_S = 0.2
"""How often progress is reported."""


def fetch_snapshot(
    repo_id: str,
    folder: Path,
    patterns: Sequence[str],
    progress: Callable[[int, int], None],
    *,
    endpoint: str | None = None,
) -> None:
    """Bring a repository's files into a folder; what an earlier attempt left there is continued.

    Args:
        repo_id: `owner/name` on the hub.
        folder: Where the files go; partial ones lie in its `.cache`.
        patterns: Names of the files wanted; those the repository lacks are passed over.
        progress: Called with the bytes that are there and the bytes there will be, five times a second.
        endpoint: Another hub to ask, e.g. a mirror.

    Raises:
        Unavailable: The hub cannot be reached, or the download broke off.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    names = list(patterns)
    disable_progress_bars()
    try:
        # Asked apart because snapshot_download, when the hub is out of reach, returns a partial folder as if whole.
        files = snapshot_download(repo_id, local_dir=folder, allow_patterns=names, dry_run=True, endpoint=endpoint)
        total_bytes = sum(file.file_size or 0 for file in files)
        with _reported(folder, total_bytes, progress):
            snapshot_download(
                repo_id,
                revision=files[0].commit_hash,
                local_dir=folder,
                allow_patterns=names,
                endpoint=endpoint,
            )
    except Exception as error:  # the hub's client lets those of its HTTP library through, whichever that is
        cause = error.__cause__ or error
        raise Unavailable(str(cause).splitlines()[0] or type(cause).__name__) from error


@contextmanager
def _reported(folder: Path, total_bytes: int, progress: Callable[[int, int], None]) -> Iterator[None]:
    """Reports what lies in a folder while something else fills it."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_S):
            progress(min(_size_bytes(folder), total_bytes), total_bytes)

    watcher = threading.Thread(target=watch, name="model-download-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(total_bytes, total_bytes)


def _size_bytes(folder: Path) -> int:
    """Bytes of the model's files in a folder, whole or partial."""
    sizes = 0
    for file in folder.rglob("*"):
        try:
            is_model = file.parent == folder or file.suffix == ".incomplete"
            sizes += file.stat().st_size if is_model and file.is_file() else 0
        except FileNotFoundError:  # renamed meanwhile
            continue
    return sizes
