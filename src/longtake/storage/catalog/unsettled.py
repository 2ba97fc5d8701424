"""How much work lanes may have: counted by the indices that lanes look it up with."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from longtake.storage.tables import sessions, tracks


def count(c: Connection) -> dict[str, int]:
    """Lane → tracks (for `mix`: sessions) that are not at rest, the trash included."""
    found = {
        lane: select(func.count()).select_from(tracks).where(tracks.c[f"{lane}_settled"].is_(False))
        for lane in ("media", "speech")
    } | {"mix": select(func.count()).select_from(sessions).where(sessions.c.mix_settled.is_(False))}
    return {lane: c.execute(query).scalar_one() for lane, query in found.items()}
