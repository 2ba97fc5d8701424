"""Statements whose text is made once, and which run past SQLAlchemy: it takes longer over one than SQLite does.

For the few that run with every batch of receipts; all others are plain SQLAlchemy. Rows are inserted many at a time:
SQLite's driver lets other threads in between any two steps, and then waits for its turn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import Insert, Update

AT_ONCE = 64
VALUES = " VALUES "

Values = Sequence[Any] | Mapping[str, Any]


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
        if compiled.order is None or not isinstance(self._statement, Insert):
            for value in values:
                run(c, compiled.text, _ordered(value, compiled.order))
            return
        listed = [_ordered(value, compiled.order) for value in values]
        head, _, group = compiled.text.partition(VALUES)
        for first in range(0, len(listed), AT_ONCE):
            part = listed[first : first + AT_ONCE]
            run(c, head + VALUES + ", ".join([group] * len(part)), tuple(chain.from_iterable(part)))

    def _compile(self, c: Connection, row: Mapping[str, object]) -> _Compiled:
        key = (c.dialect.name, frozenset(row))
        if key not in self._compiled:
            made = self._statement.compile(dialect=c.dialect, column_keys=list(row))
            self._compiled[key] = _Compiled(text=str(made), order=made.positiontup, fixed=made.params)
        return self._compiled[key]


class Lookup:
    """A SELECT of plain columns by lists of values, each for an `IN` of its own (`bindparam(…, expanding=True)`)."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, tuple[int, ...]], _Compiled] = {}

    def rows(self, c: Connection, **lists: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What is found, as the columns stand in the statement."""
        if not all(lists.values()):
            return []
        lists = {name: _filled(values) for name, values in lists.items()}
        key = (c.dialect.name, tuple(len(values) for values in lists.values()))
        compiled = self._compiled.get(key)
        if compiled is None:
            made = self._statement.params(**lists).compile(
                dialect=c.dialect, compile_kwargs={"render_postcompile": True}
            )
            compiled = _Compiled(text=str(made), order=made.positiontup, fixed={})
            self._compiled[key] = compiled
        named = {f"{name}_{n}": value for name, values in lists.items() for n, value in enumerate(values, 1)}
        return list(run(c, compiled.text, _ordered(named, compiled.order)).fetchall())


def _ordered(named: Mapping[str, Any], order: Sequence[str] | None) -> Values:
    """Values as the statement takes them: by name, or in its order."""
    return named if order is None else tuple([named[name] for name in order])


def _filled(values: Sequence[Any]) -> Sequence[Any]:
    """The same up to a power of two, by the last one again: for all lengths there are a few texts."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def run(c: Connection, text: str, values: Values = ()) -> Any:
    """Run a statement in the connection's transaction; returns the driver's cursor, raises what SQLAlchemy would."""
    cursor = c.connection.cursor()
    try:
        cursor.execute(text, values)
    except c.dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(
            text, None, error, c.dialect.loaded_dbapi.Error, hide_parameters=True, dialect=c.dialect
        ) from error
    return cursor
