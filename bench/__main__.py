"""Measure the figures of the scoreboard: `python -m bench [--smoke] [--json FILE] [name …]`.

Each benchmark runs in a process of its own, one after the other, so that none inherits another's heap or threads.
Ends with 1 when a benchmark crashed or, unless it was a smoke run, when a figure misses its target.
"""

import argparse
import json
import pkgutil
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

import bench
from bench.figures import Figure, measure

OURS = ("__main__", "figures")
MARK = {True: "[green]yes", False: "[red]no", None: "[yellow]not measured"}


def benchmarks() -> list[str]:
    """The names of the benchmarks: every module of this folder but our own and helpers (`_name`)."""
    names = (module.name for module in pkgutil.iter_modules(bench.__path__))
    return sorted(name for name in names if name not in OURS and not name.startswith("_"))


def measure_apart(name: str, *, smoke: bool) -> list[Figure]:
    """Run one benchmark in a fresh process; its exception, or its death, is raised here."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, f"bench.{name}", smoke).result()


def table(figures: list[Figure]) -> Table:
    """The scoreboard."""
    board = Table("figure", Column("value", justify="right"), "target", "reached", "detail")
    for figure in figures:
        value = "–" if figure.value is None else f"{figure.value:.4g} {figure.unit}"
        board.add_row(figure.name, value, figure.target, MARK[figure.reached], figure.detail)
    return board


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether all went well."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(benchmarks())}; default all")
    parser.add_argument("--smoke", action="store_true", help="smallest inputs: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(benchmarks()):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(benchmarks())}")

    console = Console(width=None if sys.stdout.isatty() else 160)
    figures: list[Figure] = []
    crashed: list[str] = []
    for name in options.names or benchmarks():
        start = time.monotonic()
        try:
            figures += measure_apart(name, smoke=options.smoke)
        except Exception:
            traceback.print_exc()
            crashed.append(name)
        console.print(f"bench: {name} took {time.monotonic() - start:.0f} s", highlight=False)
    console.print(table(figures))
    if options.json:
        rows = [{**asdict(figure), "reached": figure.reached} for figure in figures]
        options.json.write_text(json.dumps({"smoke": options.smoke, "crashed": crashed, "figures": rows}, indent=2))
    if crashed:
        console.print(f"bench: crashed: {', '.join(crashed)}", style="red")
    missed = not options.smoke and any(figure.reached is False for figure in figures)
    return int(bool(crashed) or missed)


if __name__ == "__main__":
    sys.exit(main())
