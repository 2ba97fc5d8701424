"""Statements whose text is made once: running one skips what SQLAlchemy does anew for every call.

For the few that run with every batch of receipts; all others are plain SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.sql.dml import Insert, Update


class Prepared:
    """An INSERT or UPDATE whose values are plain text, numbers, bytes or None, all named in each row."""

    def __init__(self, statement: Insert | Update) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, frozenset[str]], tuple[str, Sequence[str] | None, Mapping[str, object]]] = {}

    def run(self, c: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Run it for each row; all rows have the same names."""
        if not rows:
            return
        key = (c.dialect.name, frozenset(rows[0]))
        if key not in self._texts:
            compiled = self._statement.compile(dialect=c.dialect, column_keys=list(rows[0]))
            self._texts[key] = (str(compiled), compiled.positiontup, compiled.params)
        text, order, fixed = self._texts[key]
        values = [{**fixed, **row} for row in rows]
        if order is None:
            c.exec_driver_sql(text, values)
        else:
            c.exec_driver_sql(text, [tuple([value[name] for name in order]) for value in values])
