"""Everything that can go wrong, as one tree. The class says what the caller can do about it.

    LongtakeError
    ├── Rejected                 the request is at fault; sending it again changes nothing
    │   ├── NotFound             session_not_found, track_not_found, segment_not_found, …
    │   ├── Conflict             conflict
    │   │   ├── IllegalTransition    illegal_transition
    │   │   ├── MissingPermissions   missing_permissions
    │   │   ├── SegmentConflict      segment_conflict
    │   │   ├── AlreadyExists        already_exists
    │   │   ├── JobActive            job_active
    │   │   └── Trashed              trashed
    │   ├── Invalid              invalid_request
    │   │   ├── UnknownPhase         unknown_phase
    │   │   ├── DigestMismatch       digest_mismatch
    │   │   └── ShortBody            short_body
    │   ├── AudioDeleted         audio_deleted
    │   ├── TooLarge             too_large
    │   ├── Unsupported          unsupported_media
    │   ├── Forbidden            forbidden
    │   └── CostExceeded         cost_exceeded
    ├── Unavailable              nothing is wrong with the request: try again later
    │   ├── StorageFull          storage_full
    │   ├── StorageFailed        storage_failed
    │   ├── Overloaded           overloaded
    │   ├── NotReady             not_ready
    │   ├── DataFolderInUse      data_folder_in_use
    │   └── DatabaseOutdated     database_outdated
    ├── BytesDamaged             bytes_damaged: the disk has spoilt what was acknowledged
    ├── ProcessingFailed         a stage of the work on a recording failed; the originals are untouched
    │   ├── MediaError           media_damaged, media_unsupported, media_limit, segment_set_aside
    │   └── EngineError          engine_unavailable, engine_failed, segment_set_aside
    └── Cancelled                cancelled: somebody cancelled the job

`code` is stable: clients match on it. `fields` are the error's own, shown beside it in problem+json.
"""

from __future__ import annotations

from collections.abc import Sequence


class LongtakeError(Exception):
    """Base of all errors that longtake raises on purpose."""

    code: str = "internal_error"
    http_status: int = 500
    is_retryable: bool = True
    """Whether trying again may help."""

    def __init__(self, detail: str, /, **fields: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields

    def __reduce__(self) -> tuple[object, ...]:
        """Errors go between processes, whatever their constructor asks for."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[LongtakeError], args: tuple[object, ...], state: dict[str, object]) -> LongtakeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class Rejected(LongtakeError):
    """The request is at fault; sending it again changes nothing."""

    code = "rejected"
    http_status = 400
    is_retryable = False


class NotFound(Rejected):
    """What was asked for does not exist (or no longer does)."""

    code = "not_found"
    http_status = 404

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(f"there is no {kind.replace('_', ' ')} {key}", **{f"{kind}_id": key})
        self.code = f"{kind}_not_found"


class Conflict(Rejected):
    """It contradicts what is stored."""

    code = "conflict"
    http_status = 409


class IllegalTransition(Conflict):
    """The thing is not in a state that allows this; `allowed` are the words of what can be asked for instead."""

    code = "illegal_transition"

    def __init__(self, *, state: str, event: str, allowed: list[str]) -> None:
        super().__init__(
            f"{event} is not possible while {state}; possible: {', '.join(allowed) or 'nothing'}",
            state=state,
            allowed=allowed,
        )
        self.state = state
        self.allowed = allowed


class MissingPermissions(Conflict):
    """The recorders of the chosen sources may not record them; `permissions` names what they lack."""

    code = "missing_permissions"


class SegmentConflict(Conflict):
    """Other bytes are already stored under this index."""

    code = "segment_conflict"

    def __init__(self, *, index: int, stored: str, received: str) -> None:
        super().__init__(
            f"segment {index} is {stored[:12]}, not {received[:12]}", index=index, stored=stored, received=received
        )


class AlreadyExists(Conflict):
    """The id is taken by something else."""

    code = "already_exists"


class JobActive(Conflict):
    """The session already has a job that is pending or running."""

    code = "job_active"


class Trashed(Conflict):
    """It lies in the trash: restore it first."""

    code = "trashed"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} lies in the trash: restore it first", session_id=session_id)


class AudioDeleted(Rejected):
    """The session's recordings have been deleted: there is no sound, and no more is taken."""

    code = "audio_deleted"
    http_status = 410

    def __init__(self, session_id: str, at_ms: int) -> None:
        super().__init__(f"the recordings of session {session_id} have been deleted", session_id=session_id)
        self.at_ms = at_ms


class Invalid(Rejected):
    """The request does not make sense."""

    code = "invalid_request"
    http_status = 422


class UnknownPhase(Invalid):
    """The session has no such phase."""

    code = "unknown_phase"

    def __init__(self, phase: str, phases: Sequence[str]) -> None:
        super().__init__(f"{phase!r} is none of the session's phases: {', '.join(phases)}", phases=list(phases))


class DigestMismatch(Invalid):
    """The bytes that arrived are not the bytes that were sent."""

    code = "digest_mismatch"

    def __init__(self, *, expected: str, received: str) -> None:
        super().__init__(
            f"the body's SHA-256 is {received[:12]}…, the header says {expected[:12]}…",
            expected=expected,
            received=received,
        )


class ShortBody(Invalid):
    """The body ended before its announced length."""

    code = "short_body"


class TooLarge(Rejected):
    """More bytes than allowed."""

    code = "too_large"
    http_status = 413


class Unsupported(Rejected):
    """Not a kind of media that longtake takes."""

    code = "unsupported_media"
    http_status = 415


class Forbidden(Rejected):
    """The caller may not do this."""

    code = "forbidden"
    http_status = 403


class Unavailable(LongtakeError):
    """Nothing is wrong with the request: try again later."""

    code = "unavailable"
    http_status = 503


class StorageFull(Unavailable):
    """The disk is full: nothing was stored, nothing was lost."""

    code = "storage_full"
    http_status = 507


class StorageFailed(Unavailable):
    """The disk refused a write or a flush: nothing was acknowledged."""

    code = "storage_failed"
    http_status = 503


class Overloaded(Unavailable):
    """More arrives than can be stored; the sender keeps its copy and comes back."""

    code = "overloaded"
    http_status = 429


class NotReady(Unavailable):
    """It is being made; `fields` say how far it is."""

    code = "not_ready"
    http_status = 409


class DataFolderInUse(Unavailable):
    """Another process owns the data folder."""

    code = "data_folder_in_use"
    http_status = 503


class DatabaseOutdated(Unavailable):
    """A folder's database does not know of the recordings beside it: it is lost, or of an earlier time."""

    code = "database_outdated"
    http_status = 503


class BytesDamaged(LongtakeError):
    """What is stored is not what was acknowledged any more; sending the same bytes again heals it."""

    code = "bytes_damaged"
    is_retryable = False

    def __init__(self, sha256: str) -> None:
        super().__init__(f"the stored bytes are not those of {sha256[:12]}… that were acknowledged", sha256=sha256)


class ProcessingFailed(LongtakeError):
    """A stage of the work on a recording failed; the originals are untouched."""

    code = "processing_failed"


class MediaError(ProcessingFailed):
    """The bytes could not be probed or decoded. `code` is media_damaged, media_unsupported, media_limit or
    segment_set_aside. `died` says that the decoder did not survive them; `sha256` is theirs, where it is known."""

    code = "media_damaged"
    sha256: str | None = None

    def __init__(
        self, detail: str, *, code: str = "media_damaged", retryable: bool = False, died: bool = False
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.is_retryable = retryable
        self.died = died


class EngineError(ProcessingFailed):
    """The speech engine could not do it. `code` is engine_unavailable (then the request names it), engine_failed or
    segment_set_aside. `died` says that the recogniser did not survive what it heard."""

    code = "engine_failed"
    http_status = 422

    def __init__(self, detail: str, *, code: str = "engine_failed", retryable: bool = True, died: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.is_retryable = retryable
        self.died = died


class CostExceeded(Rejected):
    """The estimated cost is above the limit that was set."""

    code = "cost_exceeded"
    http_status = 422


class Cancelled(LongtakeError):
    """Somebody cancelled the job."""

    code = "cancelled"
    http_status = 409
