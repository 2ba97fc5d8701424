"""What a benchmark returns: figures, each beside its target.

A figure's module in this folder has `run(smoke: bool) -> list[Figure]`. `smoke` asks for the smallest input that still
takes the whole way, in seconds: it shows that the benchmark works, and its values mean nothing.
"""

import importlib
import operator
from dataclasses import dataclass

COMPARE = {"≤": operator.le, "≥": operator.ge, "=": operator.eq}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number.

    Attributes:
        name: What was measured, as on the scoreboard.
        value: The measurement; None when something it needs is missing, which `detail` then names.
        target: `≤`, `≥` or `=` and a number, in the unit of the value: "≤ 1.2".
        unit: "s", "ms", "MB", "×" (a ratio to the baseline of the same run) …
        detail: How it came about: both sides of the ratio, sizes, counts.
    """

    name: str
    value: float | None
    target: str
    unit: str
    detail: str = ""

    def __post_init__(self) -> None:
        sign, _, bound = self.target.partition(" ")
        if sign not in COMPARE:
            raise ValueError(f"a target is like '≤ 1.2', not {self.target!r}")
        float(bound)

    @property
    def reached(self) -> bool | None:
        """Whether the value meets the target; None when there is no value."""
        if self.value is None:
            return None
        sign, _, bound = self.target.partition(" ")
        return bool(COMPARE[sign](self.value, float(bound)))


def measure(module: str, smoke: bool) -> list[Figure]:
    """Import one benchmark and run it: the work of one child process."""
    run = importlib.import_module(module).run
    return list(run(smoke=smoke))
