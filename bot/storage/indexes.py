"""Indexes of tables that are in use, for migrations: made while others go on reading and writing.

PostgreSQL makes an index ``CONCURRENTLY`` outside any transaction. What a killed upgrade leaves of it is marked as
not valid, and would be passed over by ``IF NOT EXISTS`` and used by nobody: it is dropped and made again. Migrations
that call this do nothing else, because what went before them is committed already. On SQLite an index is made
as any other, since only one process writes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alembic import op
from sqlalchemy import text

_BROKEN: Final = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


def make(name: str, table: str, columns: Sequence[str], where: str | None = None) -> None:
    """Make an index that promises nothing of its rows; safe to repeat. ``where`` is the condition of a partial one."""
    condition = None if where is None else text(where)
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(name, table, list(columns), if_not_exists=True, sqlite_where=condition)
        return
    with op.get_context().autocommit_block():
        if op.get_bind().execute(_BROKEN, {"name": name}).first():
            op.drop_index(name, postgresql_concurrently=True)
        op.create_index(
            name,
            table,
            list(columns),
            if_not_exists=True,
            postgresql_concurrently=True,
            postgresql_where=condition,
        )


def drop(name: str, table: str) -> None:
    """Drop an index; safe to repeat."""
    op.drop_index(name, table, if_exists=True)
