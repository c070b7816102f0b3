"""One update and the rows that go with it: a single statement on PostgreSQL, several on SQLite.

PostgreSQL is asked over a connection, and every question costs both sides more than the rows themselves.
SQLite lives in our own process and knows no statement that changes two tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)

Values: TypeAlias = Mapping[str, object]
Rows: TypeAlias = Sequence[tuple[Table, Sequence[Values]]]
_Shape: TypeAlias = tuple[tuple[Table, tuple[str, ...]], ...]


def update_with(connection: Connection, change: Update, guard: Values, values: Values, rows: Rows) -> int:
    """Run ``change`` and insert ``rows``; gives how many rows were changed, so that the caller can take it back.

    ``change`` is an update without values, made once; ``guard`` fills the parameters of its conditions, whose
    names are not those of columns. Rows of later tables may refer to those of earlier ones.
    """
    if connection.dialect.name != "postgresql":
        changed = connection.execute(change, {**values, **guard}).rowcount
        for table, each in rows:
            if each:
                connection.execute(_insert(table), list(each))
        return changed
    # Without the columns that stay empty: psycopg keeps the parsed form of statements of up to 50 parameters.
    full = [
        (table, {name: value for name, value in row.items() if value is not None})
        for table, each in rows
        for row in each
    ]
    shape = tuple((table, tuple(row)) for table, row in full)
    given = {f"set_{name}": value for name, value in values.items()}
    for number, (_, row) in enumerate(full):
        given |= {f"{number}_{name}": value for name, value in row.items()}
    return int(connection.execute(_statement(change, tuple(values), shape), {**given, **guard}).scalar_one())


@lru_cache(maxsize=64)
def _insert(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=256)
def _statement(change: Update, columns: tuple[str, ...], shape: _Shape) -> Select[Any]:
    """The statement for these columns and rows: a guarded update, inserts beside it, and the count of the update."""
    changed = (
        change.values({name: bindparam(f"set_{name}") for name in columns})
        .returning(literal_column("1").label("one"))
        .cte("changed")
    )
    inserts = [
        insert(table).values({name: bindparam(f"{number}_{name}") for name in names}).cte(f"row_{number}")
        for number, (table, names) in enumerate(shape)
    ]
    return select(func.count()).select_from(changed).add_cte(*inserts)
