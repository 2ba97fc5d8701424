"""Statements whose text is made once: running one skips what SQLAlchemy does anew for every call.

For the few that run with every batch of receipts; all others are plain SQLAlchemy. Rows are inserted many at a time:
SQLite's driver lets other threads in between any two steps, and then waits for its turn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Connection
from sqlalchemy.sql.dml import Insert, Update

AT_ONCE = 64
VALUES = " VALUES "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """A statement's text for one row; `order` are the names of its `?`, None where the database names them itself."""

    text: str
    order: Sequence[str] | None
    fixed: Mapping[str, object]


class Prepared:
    """An INSERT or UPDATE whose values are plain text, numbers, bytes or None, all named in each row."""

    def __init__(self, statement: Insert | Update) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, frozenset[str]], _Compiled] = {}

    def run(self, c: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Run it for each row; all rows have the same names."""
        if not rows:
            return
        compiled = self._compile(c, rows[0])
        values = [{**compiled.fixed, **row} for row in rows]
        if compiled.order is None:
            c.exec_driver_sql(compiled.text, values)
            return
        listed = [tuple([value[name] for name in compiled.order]) for value in values]
        if not isinstance(self._statement, Insert):
            c.exec_driver_sql(compiled.text, listed)
            return
        head, _, group = compiled.text.partition(VALUES)
        for first in range(0, len(listed), AT_ONCE):
            part = listed[first : first + AT_ONCE]
            c.exec_driver_sql(head + VALUES + ", ".join([group] * len(part)), tuple(chain.from_iterable(part)))

    def _compile(self, c: Connection, row: Mapping[str, object]) -> _Compiled:
        key = (c.dialect.name, frozenset(row))
        if key not in self._compiled:
            made = self._statement.compile(dialect=c.dialect, column_keys=list(row))
            self._compiled[key] = _Compiled(text=str(made), order=made.positiontup, fixed=made.params)
        return self._compiled[key]
