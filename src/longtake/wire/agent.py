"""What a client says of its agent: JSON of any shape, as small and as flat as every answer can show it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from longtake.wire.base import is_unicode

MAX_AGENT_BYTES = 1500
MAX_DEPTH = 20
"""Levels of lists and objects, the outermost counted: nothing that writes JSON refuses so few."""


def _small_json(value: dict[str, object]) -> dict[str, object]:
    if depth_of(value) > MAX_DEPTH:
        raise ValueError(f"at most {MAX_DEPTH} levels of JSON")
    if len(json.dumps(value)) > MAX_AGENT_BYTES:
        raise ValueError(f"at most {MAX_AGENT_BYTES} bytes of JSON")
    is_unicode(json.dumps(value, ensure_ascii=False))
    return value


Agent = Annotated[dict[str, object], AfterValidator(_small_json)]


def shown_agent(stored: Mapping[str, object] | None) -> dict[str, object] | None:
    """As it is told; None also for one that was stored before its depth had a limit."""
    return None if stored is None or depth_of(stored) > MAX_DEPTH else dict(stored)


def depth_of(value: object) -> int:
    """Levels of lists and objects; those far above `MAX_DEPTH` are not all counted."""
    depth, level = 0, [value]
    while depth <= MAX_DEPTH:
        inner = [one for one in level if isinstance(one, Mapping | list)]
        if not inner:
            break
        depth += 1
        level = [one for held in inner for one in (held.values() if isinstance(held, Mapping) else held)]
    return depth
