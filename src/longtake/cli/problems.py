"""Errors for people at a terminal: one line each, with the stable code and a way out."""

from __future__ import annotations

from typer.exceptions import TyperException

from longtake.model.errors import LongtakeError

WAYS_OUT = {
    "already_exists": "Name another folder with --out.",
    "bytes_damaged": "Send or upload the same recording again: that heals it. `longtake verify` names all damage.",
    "data_folder_in_use": "Use that one or end it, or name another folder.",
    "data_folder_not_found": "Start with `longtake serve` or `longtake demo`, or name a folder with --data.",
    "database_outdated": "`longtake rebuild` makes it anew from the recordings; nothing is lost.",
    "digest_mismatch": "Send it again.",
    "engine_failed": "Run it again; another engine can be chosen with --engine.",
    "illegal_transition": "`longtake sessions show ID` says where the session is.",
    "internal_error": "LONGTAKE_LOG_LEVEL=debug shows where it happened; please report it.",
    "media_damaged": "See whether another player opens the file, and export it from its source again.",
    "media_limit": "Convert the file to FLAC or WAV first.",
    "media_unsupported": "Convert it to FLAC, WAV, MP3, M4A, Ogg or WebM first.",
    "overloaded": "Try again in a moment.",
    "server_unreachable": "Start it with `longtake serve`; `longtake process FILE` needs no server.",
    "session_not_found": "`longtake sessions list` shows what there is, with `--trash` what was deleted.",
    "speech_model_not_found": "`longtake models list` shows what there is.",
    "storage_failed": "See whether the disk is there and writable, then run it again: nothing is lost.",
    "storage_full": "Make room on the disk, then run it again: nothing is lost.",
    "too_large": "Raise LONGTAKE_MAX_IMPORT_BYTES.",
    "unsupported_media": "Convert it to FLAC or WAV first.",
}
"""What a person can do, by code. A code that is not here says it in its own words."""


def line_of(error: LongtakeError, about: str = "") -> str:
    """One of our errors, and what it is about where it does not say so itself."""
    return _line(error.code, f"{about}: {error.detail}" if about else error.detail, WAYS_OUT.get(error.code, ""))


def line_of_misuse(error: TyperException) -> str:
    """A command line that makes no sense."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "longtake"
    return _line("misuse", error.format_message(), f"`{path} --help` says how.")


def line_of_system(error: OSError) -> str:
    """The system refused a file or a folder."""
    where = f"{error.filename}: " if error.filename else ""
    return _line("system_error", f"{where}{error.strerror or error}", "")


def line_of_surprise(error: Exception) -> str:
    """An error that nobody foresaw."""
    return _line("internal_error", f"{type(error).__name__}: {error}", WAYS_OUT["internal_error"])


def _line(code: str, detail: str, way_out: str) -> str:
    said = " ".join(detail.split()).rstrip(".")
    return f"longtake: {code}: {said}. {way_out}".rstrip()
