"""Very many rows at once: what a service needs to keep while others write is left out and made good at the end.

Indexes beside keys are dropped before and made after; foreign keys are not checked, because whoever fills knows what it
refers to. Values go in as texts, numbers and bytes: an instant is text in UTC, so that nothing is turned over millions of
times.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

import psycopg
from sqlalchemy import URL, Index, Table, make_url, text

from bot.storage import tables
from bot.storage.database import Database

Value: TypeAlias = str | int | bytes | bool | None
LARGE = 5_000
"""From so many things on, indexes are made after them."""


class Into(Protocol):
    """Where rows go."""

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        """Put rows in; columns that are not named get their default."""

    def done(self) -> None:
        """A piece is complete: commit it."""


def instant(at: datetime) -> str:
    """An instant as both databases read it."""
    return at.astimezone(UTC).isoformat(" ", "microseconds")[:26]


@contextmanager
def prepared_for(database: Database, count: int) -> Iterator[None]:
    """The database is made ready for the rows of ``count`` things; at the end it is indexed and analysed."""
    apart = _indexes() if count >= LARGE else []
    with database.write() as connection:
        for index in apart:
            index.drop(connection, checkfirst=True)
    yield
    for index in apart:
        with database.write() as connection:
            if database.dialect == "postgresql":
                connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
            index.create(connection)
    _analyse(database)


@contextmanager
def putting(url: str) -> Iterator[Into]:
    """A connection of its own by which rows are put in; at the end they are committed."""
    parsed = make_url(url)
    with _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgres(parsed) as into:
        yield into


def _indexes() -> list[Index]:
    found = [index for each in tables.metadata.sorted_tables for index in each.indexes]
    return sorted(found, key=lambda index: str(index.name))


def _analyse(database: Database) -> None:
    """Bring statistics up to date, as autovacuum does in service."""
    if database.dialect == "sqlite":
        with database.write() as connection:
            connection.execute(text("ANALYZE"))
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _defaults(table: Table, columns: Sequence[str]) -> dict[str, Value]:
    """The plain defaults of the columns that are not named."""
    others = (column for column in table.columns if column.name not in columns)
    found = {column.name: column.default.arg for column in others if column.default is not None}  # type: ignore[attr-defined]  # every default of ours is a plain value
    return {name: value for name, value in found.items() if value is not None}


# --- SQLite -------------------------------------------------------------------------------------


@contextmanager
def _sqlite(url: URL) -> Iterator[Into]:
    connection = sqlite3.connect(url.database or "", timeout=60, isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-1000000", "foreign_keys=OFF", "wal_autocheckpoint=20000"):
        connection.execute(f"PRAGMA {pragma}")
    try:
        into = _Sqlite(connection)
        yield into
        into.done()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        others = _defaults(table, columns)
        names = ", ".join(f'"{name}"' for name in (*columns, *others))
        marks = ", ".join("?" * (len(columns) + len(others)))
        tail = tuple(others.values())
        given: Any = rows if not tail else [(*row, *tail) for row in rows]
        statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - names of our own tables
        self._connection.executemany(statement, given)

    def done(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")


# --- PostgreSQL ---------------------------------------------------------------------------------


@contextmanager
def _postgres(url: URL) -> Iterator[Into]:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET synchronous_commit = off")
        with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            # Foreign keys are triggers. Who may not switch them off fills more slowly.
            connection.execute("SET session_replication_role = replica")
        into = _Postgres(connection)
        yield into
        into.done()


class _Postgres:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def add(self, table: Table, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        others = _defaults(table, columns)
        names = ", ".join(f'"{name}"' for name in (*columns, *others))
        tail = tuple(others.values())
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy,
        ):
            for row in rows:
                copy.write_row((*row, *tail))

    def done(self) -> None:
        self._connection.commit()
