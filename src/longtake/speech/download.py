"""Fetches a model's files from the Hugging Face hub; a download that broke off goes on where it was.

The hub's own client lists the files. It does not carry them: it forgets what it had of a file when it is interrupted
(huggingface_hub#4228), and a model is one large file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.model.errors import Unavailable

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
"""How long the hub may be silent."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be."""


def fetch_snapshot(
    repo_id: str, folder: Path, names: Collection[str], progress: Progress, *, endpoint: str | None = None
) -> None:
    """Bring a repository's files into a folder; what an earlier attempt left there is used.

    Args:
        repo_id: `owner/name` on the hub.
        folder: Where the files go; made if missing. Those that are not whole end with `.part`.
        names: The files wanted; those that the repository lacks are passed over.
        progress: Called as bytes arrive.
        endpoint: Another hub to ask, e.g. a mirror.

    Raises:
        Unavailable: The hub cannot be reached, or the download broke off.
    """
    import httpx
    from huggingface_hub import HfApi, hf_hub_url

    folder.mkdir(parents=True, exist_ok=True)
    try:
        about = HfApi(endpoint=endpoint).model_info(repo_id, files_metadata=True, timeout=TIMEOUT_S)
        wanted = [file for file in about.siblings or () if file.rfilename in names]
        total_bytes = sum(file.size or 0 for file in wanted)
        before_bytes = 0
        with httpx.Client(follow_redirects=True, timeout=TIMEOUT_S) as client:
            for file in wanted:
                url = hf_hub_url(repo_id, file.rfilename, revision=about.sha, endpoint=endpoint)
                sha256 = file.lfs.sha256 if file.lfs else None
                path, part = folder / file.rfilename, folder / f"{file.rfilename}.{(file.blob_id or '')[:12]}.part"
                if not path.is_file():
                    for there_bytes in _fetch(client, url, part, file.size or 0):
                        progress(before_bytes + there_bytes, total_bytes)
                    _verify(part, file.rfilename, sha256)
                    part.rename(path)
                before_bytes += file.size or 0
                progress(before_bytes, total_bytes)
    except Unavailable:
        raise
    except Exception as error:  # the hub's client lets those of its HTTP library through, whichever that is
        cause = error.__cause__ or error
        raise Unavailable((str(cause).splitlines() or [type(cause).__name__])[0]) from error
    for leftover in folder.glob("*.part"):  # of a version that the repository no longer has
        leftover.unlink()


def _fetch(client: httpx.Client, url: str, part: Path, size_bytes: int) -> Iterator[int]:
    """Fetch what is missing of a file, again as long as some of it comes; yields how much is there."""
    import httpx

    there_bytes = part.stat().st_size if part.exists() else 0
    while there_bytes < size_bytes:
        before_bytes = there_bytes
        try:
            headers = {"Range": f"bytes={there_bytes}-", "Accept-Encoding": "identity"}
            with client.stream("GET", url, headers=headers) as answer:
                answer.raise_for_status()
                is_rest = answer.status_code == httpx.codes.PARTIAL_CONTENT
                with part.open("ab" if is_rest else "wb") as out:
                    for piece in answer.iter_raw():
                        out.write(piece)
                        there_bytes = out.tell()
                        yield there_bytes
        except httpx.TransportError:
            if there_bytes <= before_bytes:
                raise
        if there_bytes <= before_bytes:  # what answers sends its beginning again, whatever is asked for
            raise Unavailable(f"{url} arrived incomplete")
    part.touch()


def _verify(part: Path, name: str, sha256: str | None) -> None:
    """Compare a file with the digest that the hub knows; one that differs is deleted.

    Raises:
        Unavailable: It differs.
    """
    if sha256 is None:
        return
    with part.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
            return
    part.unlink()
    raise Unavailable(f"{name} arrived damaged")
