"""What can be said of a request in logs and figures without saying whose it is or what it holds."""

from __future__ import annotations

import re
import secrets

from starlette.types import Scope

ELSEWHERE = "none"
"""The route of an address that is none."""
HEADER = b"x-request-id"
GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
KEY = "longtake.request_id"


def template_of(scope: Scope) -> str:
    """A request's route, without what stands in it."""
    return str(getattr(scope.get("route"), "path_format", ELSEWHERE))


def request_id_of(scope: Scope) -> str:
    """By what its failure is found in the log: the sender's `X-Request-Id` if that is a plain word, else a new one."""
    if KEY not in scope:
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        scope[KEY] = given.decode() if GIVEN.fullmatch(given) else secrets.token_hex(8)
    return str(scope[KEY])
