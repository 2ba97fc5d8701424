"""What engines ask for their work: prices, estimates, sums. Pure: no rows, no framework.

Whatever runs on this machine costs nothing. Money is counted in whole millionths of a US dollar.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MICROS = 1_000_000
HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheard:
    """Sound that an engine is still to hear."""

    engine: str
    ns: int


class Prices:
    """What engines ask for an hour of sound."""

    def __init__(self, usd_per_hour: Mapping[str, float]) -> None:
        """`usd_per_hour` is by name; what is not in it is free."""
        self._usd_per_hour = usd_per_hour

    def is_paid(self, engine: str) -> bool:
        """Whether an engine asks for anything at all."""
        return self._usd_per_hour.get(engine, 0.0) > 0

    def of(self, engine: str, ns: int) -> int:
        """What an engine asks for so much sound, in millionths of a dollar, rounded up."""
        return math.ceil(self._usd_per_hour.get(engine, 0.0) * MICROS * max(0, ns) / HOUR_NS)

    def estimate(self, unheard: Iterable[Unheard]) -> int:
        """The most that hearing all of it can cost: engines are not asked where nobody speaks."""
        return sum(self.of(one.engine, one.ns) for one in unheard)


def is_within(cost_usd_micros: int, limit_usd: object) -> bool:
    """Whether a cost stays within a limit in dollars; None is none."""
    return not isinstance(limit_usd, int | float) or cost_usd_micros <= limit_usd * MICROS


def in_dollars(cost_usd_micros: int) -> str:
    """An amount as people read it: `0.36 USD`."""
    return f"{cost_usd_micros / MICROS:.6f}".rstrip("0").rstrip(".") + " USD"
