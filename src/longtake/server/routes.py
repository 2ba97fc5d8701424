"""The routes of an application, as a list, and what is possible at an address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlette.routing import BaseRoute, Route


def flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from flat(inner.routes)


def methods_at(routes: Iterable[BaseRoute], path: str) -> list[str]:
    """What may be asked of an address; whatever answers GET answers HEAD."""
    found = {
        method
        for route in flat(routes)
        if isinstance(route, Route) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return sorted(found | ({"HEAD"} if "GET" in found else set()))
