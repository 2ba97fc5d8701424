"""Pages of lists, and the opaque cursors that say where the next one begins."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from longtake.model.errors import Invalid

LAST = "\U0010ffff"
"""Behind every id."""

Item = TypeVar("Item")


def page_of(
    found: Sequence[Item], limit: int, place: Callable[[Item], tuple[object, ...]]
) -> tuple[list[Item], str | None]:
    """The first of what was found behind a position, and the cursor of the next page if there was more than fits.

    `place` says where in the list something stands; `position` gives that back.
    """
    following = _cursor(place(found[limit - 1])) if len(found) > limit else None
    return list(found[:limit]), following


def position(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """The position behind a cursor, of values of these types; None of none. Raises Invalid if it is none of ours."""
    if cursor is None:
        return None
    try:
        key: object = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        json.dumps(key, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Invalid("the cursor is not one that a list gave out") from error
    if not isinstance(key, list) or [type(part) for part in key] != list(types):
        raise Invalid("the cursor is not one that this list gave out")
    if any(isinstance(part, int) and not 0 <= part < 2**63 for part in key):
        raise Invalid("the cursor holds a number that no list gave out")
    return tuple(key)


def _cursor(key: tuple[object, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).decode().rstrip("=")
