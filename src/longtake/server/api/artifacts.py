"""The files of a session. Their bytes are sent by `server.streams`."""

from __future__ import annotations

from fastapi import APIRouter

from longtake.server.api.common import READ, SessionId, problems
from longtake.server.routing import ApiRoute, Run, Views
from longtake.wire.media import ArtifactAnswer, ArtifactsAnswer

router = APIRouter(route_class=ApiRoute, tags=["artifacts"])


@router.get("/api/sessions/{session_id}/artifacts", dependencies=READ, responses=problems(404))
def list_artifacts(session_id: SessionId, run: Run, views: Views) -> ArtifactsAnswer:
    """All files that the session has, and how far they are."""
    items = [
        ArtifactAnswer.model_validate(
            {
                "file_type": one.file_type,
                "name": one.name,
                "mime_type": one.mime_type,
                "state": one.state,
                "size_bytes": one.size_bytes,
                "progress": one.progress,
                "url": f"/api/download/{session_id}/{one.file_type}",
            }
        )
        for one in run.files.listing(session_id)
    ]
    return ArtifactsAnswer(items=items, complete=views.is_whole(run.sessions.get(session_id)))
